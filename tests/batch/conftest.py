"""An image with its PSF in files, and what Wiener's filter makes of them undisturbed."""

import numpy as np
import pytest
from tests.batch.tile_cases import blurred_beads, gaussian, limit, wiener

import napari_convfact as cf
from napari_convfact.batch.run import tiled_job
from napari_convfact.batch.verify import status
from napari_convfact.foundation.job import run
from napari_convfact.operations.operation import SpatialImage
from napari_convfact.storage import read_image

SCALE, UNITS = (0.2, 0.1), ("um", "um")


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """An image and a PSF in files, opened."""
    folder = tmp_path_factory.mktemp("sources")
    image = blurred_beads((600, 700))
    image = SpatialImage(image.data, "beads", SCALE, UNITS, ("y", "x"))
    psf = SpatialImage(gaussian(1.5).data, "psf", SCALE, UNITS, ("y", "x"))
    paths = {"image": folder / "beads.ome.zarr", "psf": folder / "psf.tif"}
    cf.write_image(paths["image"], image)
    cf.write_image(paths["psf"], psf)
    return {name: read_image(path) for name, path in paths.items()}


@pytest.fixture(scope="session")
def uninterrupted(files, tmp_path_factory):
    """The result of a run that nothing disturbed."""
    output = tmp_path_factory.mktemp("reference") / "a.ome.zarr"
    run(tiled_job(wiener(files, output), limit(4)))
    assert status(output).total > 3
    return np.asarray(read_image(output).data)
