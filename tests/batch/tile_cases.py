"""Volumes, PSFs and runs that the tests of tiles share."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.ndimage

from napari_convfact.batch.manifest import WorkFolder
from napari_convfact.batch.plan import BASE_MEMORY
from napari_convfact.batch.request import SEAM_ERROR, Options, Request
from napari_convfact.batch.run import tiled_job
from napari_convfact.foundation.job import run
from napari_convfact.operations.operation import SpatialImage
from napari_convfact.operations.registry import find_operation
from napari_convfact.storage import read_image

WIENER = {"method": "wiener", "boundary": "reflect", "strength": 0.01}


def gaussian(sigma, ndim=2):
    """Return a Gaussian PSF; `sigma` is a number, or one for each axis."""
    psf = np.ones((1,) * ndim)
    for axis, s in enumerate(np.broadcast_to(sigma, ndim)):
        radius = int(np.ceil(4 * s))
        line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / s) ** 2)
        psf = psf * line.reshape([-1 if a == axis else 1 for a in range(ndim)])
    return SpatialImage((psf / psf.sum()).astype(np.float32), "psf")


def blurred_beads(shape, sigma=1.5, seed=0):
    """Return counts of photons from beads over an uneven background."""
    rng = np.random.default_rng(seed)
    scene = np.zeros(shape)
    scene.ravel()[rng.integers(0, scene.size, scene.size // 250)] = 500
    scene += 20 + 100 * scipy.ndimage.gaussian_filter(rng.random(shape), 12) ** 2
    blurred = scipy.ndimage.gaussian_filter(scene, sigma, mode="reflect")
    return SpatialImage(rng.poisson(blurred).astype(np.uint16), "beads")


def request(name, inputs, output, **parameters):
    operation = find_operation(name)
    return Request(operation, operation.parameters.from_dict(parameters), inputs, Path(output))


def limit(megabytes):
    """Return options with so much memory for arrays."""
    return Options(memory_limit=BASE_MEMORY + 1e6 * megabytes)


def in_tiles(name, inputs, folder, megabytes, seam_error=SEAM_ERROR, **parameters):
    """Return the values that a run in tiles stores, and what it was planned to be."""
    from napari_convfact.batch.store import manifest_of

    output = Path(folder) / f"tiles-{megabytes}.ome.zarr"
    options = replace(limit(megabytes), seam_error=seam_error)
    paths = run(tiled_job(request(name, inputs, output, **parameters), options))
    values = [np.asarray(read_image(path).data) for path in paths]
    return values, manifest_of(output)


def in_memory(name, inputs, **parameters):
    operation = find_operation(name)
    results = run(operation.job(inputs, operation.parameters.from_dict(parameters)))
    return [result.data for result in results]


def relative_error(values, expected):
    low, high = np.percentile(expected, [0.1, 99.9])
    return float(np.abs(values - expected).max() / (high - low))


def wiener(files, output, **parameters):
    return request("deconvolve", files, output, **{**WIENER, **parameters})


def stop_after(job, tiles):
    """Drive a job until so many tiles are done, then cancel it."""
    for step in job:
        if step.done >= tiles:
            break
    job.close()


def markers(output):
    folder = WorkFolder(output).path / "done"
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


class Watch:
    """Follows the markers of a run step by step; each must stay as it was first seen."""

    def __init__(self, output):
        self.output = output
        self.latest = {}

    def __call__(self, _):
        if (WorkFolder(self.output).path / "done").exists():
            now = markers(self.output)
            assert self.latest.items() <= now.items()
            self.latest = now
