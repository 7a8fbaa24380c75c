"""Colour images in tiles: each colour, or the luminance, as of the whole image in memory."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from tests.batch.tile_cases import (
    blurred_beads,
    gaussian,
    in_memory,
    in_tiles,
    limit,
    relative_error,
    request,
    stop_after,
)

from napari_convfact.batch.cluster import reopen
from napari_convfact.batch.colours import colours_apart, luminance_only
from napari_convfact.batch.forecast import forecast_job
from napari_convfact.batch.manifest import WorkFolder
from napari_convfact.batch.prepare import prepare_job
from napari_convfact.batch.run import tiled_job
from napari_convfact.batch.source import Slabs
from napari_convfact.batch.verify import verify_job
from napari_convfact.foundation.job import run
from napari_convfact.operations.operation import SpatialImage
from napari_convfact.storage import read_image, write_image
from napari_convfact.storage.formats import open_image

WIENER = {"method": "wiener", "boundary": "reflect", "strength": 0.03}
GABOR = {"n_scales": 2, "n_orientations": 4}
TEXTURE = {"mosaic": False, "kernel_stack": False, "table": False, "sigma": 2.0}
SCALE, UNITS = (0.2, 0.1), ("um", "um")


def photograph(shape=(550, 700), dtype=np.float32, channels=3):
    planes = [blurred_beads(shape, seed=seed).data * (1 + seed / 2) for seed in range(channels)]
    data = np.stack(planes, -1)
    if dtype == np.uint8:
        data = data / data.max() * 255
    return SpatialImage(data.astype(dtype), "photo", rgb=True)


@pytest.fixture(scope="module")
def picture():
    return photograph()


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """A TIFF as scanners write it: tiles, with smaller pictures of the same."""
    data = photograph(dtype=np.uint8).data
    path = tmp_path_factory.mktemp("slides") / "slide.ome.tif"
    options = {"photometric": "rgb", "tile": (128, 128)}
    size = {"PhysicalSizeY": 0.2, "PhysicalSizeX": 0.1}
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(data, subifds=1, metadata={"axes": "YXS", **size}, **options)
        file.write(data[::2, ::2], subfiletype=1, **options)
    return path


@pytest.mark.parametrize(
    ("parameters", "megabytes"),
    [
        (WIENER, 7),
        ({**WIENER, "strength": "auto"}, 7),
        ({"method": "tikhonov", "boundary": "periodic", "strength": 0.1}, 7),
        ({"method": "richardson-lucy", "iterations": 5, "accelerate": False}, 12),
    ],
)
def test_colours_are_deconvolved_as_one_axis(picture, parameters, megabytes, tmp_path):
    inputs = {"image": picture, "psf": gaussian(1.5)}
    (values,), manifest = in_tiles("deconvolve", inputs, tmp_path, 96 + megabytes, **parameters)
    assert manifest.plan.tiling.grid[0] == 3
    assert len(manifest.plan.tiling) > 3
    (whole,) = in_memory("deconvolve", inputs, **parameters)
    for stored, expected in zip(values, np.moveaxis(whole, -1, 0), strict=True):
        assert relative_error(stored, expected) <= manifest.plan.seam_error <= 1e-3


@pytest.mark.parametrize(
    "parameters",
    [{"kind": "gaussian", "sigma": 3.0}, {"kind": "box", "size": 9, "result": "sharpened"}],
)
def test_colours_are_convolved_apart(picture, parameters, tmp_path):
    (values,), manifest = in_tiles("convolve", {"image": picture}, tmp_path, 96 + 8, **parameters)
    assert len(manifest.plan.tiling) > 3
    (whole,) = in_memory("convolve", {"image": picture}, **parameters)
    expected = np.moveaxis(whole, -1, 0)
    np.testing.assert_allclose(values, expected, atol=2e-6 * picture.data.max())


def test_each_kernel_of_a_bank_meets_each_colour(picture, tmp_path):
    kernels = np.random.default_rng(0).standard_normal((2, 3, 5))
    inputs = {"image": picture, "kernel": SpatialImage(kernels, "bank")}
    parameters = {"stack": True, "result": "difference"}
    (values,), manifest = in_tiles("convolve", inputs, tmp_path, 96 + 8, **parameters)
    assert len(manifest.plan.tiling) > 3
    (whole,) = in_memory("convolve", inputs, **parameters)
    assert whole.shape == (2, 3, 550, 700)
    expected = whole.reshape(values.shape)  # kernels and colours are one axis in the file
    np.testing.assert_allclose(values, expected, atol=1e-5 * np.abs(whole).max())


def test_integers_are_not_rounded(tmp_path):
    inputs = {"image": photograph(dtype=np.uint8, channels=4)}  # with alpha, which is no colour
    (values,), manifest = in_tiles("convolve", inputs, tmp_path, 96 + 8, kind="gaussian")
    assert len(manifest.plan.tiling) > 3
    assert values.shape == (3, 550, 700)
    (whole,) = in_memory("convolve", inputs, kind="gaussian")
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(np.rint(values).clip(0, 255), np.moveaxis(whole, -1, 0)[:3])


def test_waves_of_the_luminance(picture, tmp_path):
    parameters = {**GABOR, "strongest": True}
    values, manifest = in_tiles("gabor", {"image": picture}, tmp_path, 26, **parameters)
    assert len(manifest.plan.tiling) > 1
    energy, strongest, colours = in_memory("gabor", {"image": picture}, **parameters)
    expected = energy.reshape(values[0].shape)
    assert relative_error(values[0], expected) <= manifest.plan.seam_error
    assert relative_error(values[1], strongest) <= manifest.plan.seam_error
    # Where nothing has an orientation, its hue is decided by round-off.
    error = np.abs(values[2] - np.moveaxis(colours, -1, 0))
    assert np.percentile(error, 99.9) < 1e-2


def test_textures_of_the_luminance_are_equal_to_the_bit(picture, tmp_path):
    parameters = {**TEXTURE, "n_kernels": 3, "radius": 1, "novelty": True}
    values, manifest = in_tiles("texture", {"image": picture}, tmp_path, 25, **parameters)
    assert len(manifest.plan.tiling) > 1
    expected = in_memory("texture", {"image": picture}, **parameters)
    for stored, whole in zip(values, expected, strict=True):
        np.testing.assert_array_equal(stored, whole.reshape(stored.shape))


def test_pictures_of_a_movie_keep_their_time(tmp_path):
    movie = np.stack([photograph((60, 70)).data * (1 + t) for t in range(2)])
    image = SpatialImage(
        movie, "movie", (5.0, *SCALE), ("s", *UNITS), ("t", "y", "x"), rgb=True, path="movie.tif"
    )
    apart = colours_apart(image)
    assert apart.axis_labels == ("colour", "t", "y", "x")
    assert apart.scale == (1.0, 5.0, *SCALE)
    assert apart.units == ("pixel", "s", *UNITS)
    assert (apart.rgb, apart.path) == (False, "movie.tif")
    np.testing.assert_array_equal(np.asarray(apart.data), np.moveaxis(movie, -1, 0))
    assert luminance_only(image).axis_labels == ("t", "y", "x")
    output = tmp_path / "out.ome.zarr"
    job = request("deconvolve", {"image": image, "psf": gaussian(1.5)}, output, **WIENER)
    run(tiled_job(job, limit(100)))
    (whole,) = in_memory("deconvolve", job.inputs, **WIENER)
    result = read_image(output)
    assert result.axis_labels == ("t", "c", "y", "x")
    assert result.scale == (5.0, 1.0, *SCALE)
    assert relative_error(result.data[:], np.moveaxis(whole, -1, 1)) < 1e-5


def as_dask(data):
    return pytest.importorskip("dask.array").from_array(data, chunks=(100, 128, 3))


@pytest.mark.parametrize("given", [np.asarray, as_dask])
def test_only_what_is_asked_for_is_read(given):
    data = photograph((300, 400), np.uint8, channels=4).data
    image = SpatialImage(given(data), "photo", rgb=True)
    apart, grey = colours_apart(image).data, luminance_only(image).data
    box = (slice(10, 60), slice(300, 320))
    where = (slice(10, 60), slice(300, 320), 1)
    np.testing.assert_array_equal(apart[(1, *box)], data[where])
    later = np.moveaxis(data, -1, 0)[(slice(1, 3), *box)]
    np.testing.assert_array_equal(apart[(slice(1, 9), *box)], later)
    expected = data[..., :3].astype(float) @ [0.2126, 0.7152, 0.0722]
    np.testing.assert_allclose(grey[box], expected[box], rtol=1e-6)
    assert grey.dtype == grey[box].dtype == np.float32
    if given is as_dask:
        assert apart.chunks == (3, 100, 128)
        assert grey.chunks == (100, 128)


class Counting:
    """An array that counts how often it is read."""

    def __init__(self, data):
        self.data, self.reads = data, 0
        self.shape, self.dtype, self.chunks = data.shape, data.dtype, (128, 128, 3)

    def __getitem__(self, where):
        self.reads += 1
        return self.data[where]


def test_colours_that_lie_together_are_read_once():
    source = Counting(photograph((300, 400), np.uint8).data)
    slabs = Slabs(colours_apart(SpatialImage(source, "photo", rgb=True)).data, 1)
    for colour in range(3):
        plane = slabs[(colour, slice(0, 200), slice(100, 400))]
        np.testing.assert_array_equal(plane, source.data[:200, 100:, colour])
    assert source.reads == 1


def test_a_slide_is_resumed_verified_and_reopened(slide, tmp_path):
    psf = tmp_path / "psf.tif"
    write_image(psf, SpatialImage(gaussian(1.5).data, "psf", SCALE, UNITS, ("y", "x")))
    inputs = {"image": open_image(slide), "psf": read_image(psf)}
    assert inputs["image"].rgb
    assert inputs["image"].data.shape == (550, 700, 3)
    output = tmp_path / "out.ome.zarr"
    job = request("deconvolve", inputs, output, **WIENER)
    options = limit(96 + 4)
    stop_after(tiled_job(job, options), 5)
    work = WorkFolder(output)
    again, prepared = reopen(work.manifest())
    assert again["image"].data.shape == (3, 550, 700)
    assert again["image"].scale == (1.0, *SCALE)
    assert prepared.tiling.shape == (3, 550, 700)
    run(tiled_job(job, replace(options, resume=True)))
    result = read_image(output)
    assert result.axis_labels == ("c", "y", "x")
    assert (result.scale, result.units) == ((1.0, *SCALE), ("pixel", *UNITS))
    found = run(verify_job(output))
    assert found.seam_error <= found.predicted
    (whole,) = in_memory("deconvolve", {**inputs, "image": read_image(slide)}, **WIENER)
    np.testing.assert_allclose(
        result.data[:].clip(0, 255), np.moveaxis(whole, -1, 0), atol=0.5 + 1e-3 * 255
    )


@pytest.mark.parametrize(
    ("name", "parameters", "outputs"),
    [("convolve", {"kind": "gaussian"}, 1), ("gabor", GABOR, 2)],
)
def test_workers_open_slides_themselves(slide, name, parameters, outputs, tmp_path):
    pytest.importorskip("distributed")
    job = request(name, {"image": open_image(slide)}, tmp_path / "out.ome.zarr", **parameters)
    here = replace(job, output=tmp_path / "here.ome.zarr")
    options = limit(96 + 20)
    expected = run(tiled_job(here, options))
    paths = run(tiled_job(job, replace(options, scheduler="local:1")))
    assert len(paths) == len(expected) == outputs
    for path, other in zip(paths, expected, strict=True):
        np.testing.assert_array_equal(read_image(path).data[:], read_image(other).data[:])


def test_what_a_viewer_took_for_colours_is_reopened_as_that(tmp_path):
    data = photograph((300, 400), np.uint8).data
    np.save(tmp_path / "photo.npy", data)
    path = str(tmp_path / "photo.npy")
    image = SpatialImage(data, "photo", SCALE, UNITS, ("y", "x"), rgb=True, path=path)
    output = tmp_path / "out.ome.zarr"
    job = request("convolve", {"image": image}, output, kind="gaussian")
    run(tiled_job(job, limit(100)))
    assert run(verify_job(output)).seam_error == 0


def test_a_forecast(slide, tmp_path):
    inputs = {"image": open_image(slide), "psf": gaussian(1.5)}
    job = request("deconvolve", inputs, tmp_path / "a.zarr", **WIENER)
    plan = run(forecast_job(job, limit(100)))
    assert plan.tiling.leading == (3,)
    assert plan.seconds > 0


def refused(name, inputs, tmp_path, **parameters):
    run(prepare_job(request(name, inputs, tmp_path / "a.zarr", **parameters), limit(200)))


def test_colours_are_no_axis_of_space(picture, tmp_path):
    inputs = {"image": picture, "psf": gaussian(1.5, 3)}
    with pytest.raises(ValueError, match="has 3 axes and the image photo only 2"):
        refused("deconvolve", inputs, tmp_path, **WIENER)
    for name in ("convolve", "gabor"):
        with pytest.raises(ValueError, match="photo has 2 axes"):
            refused(name, {"image": picture}, tmp_path, ndim=3)


def test_a_saved_bank_of_volumes_is_refused(picture, tmp_path):
    from napari_convfact.kernels.bank import KernelBank

    KernelBank(np.ones((2, 3, 3, 3), np.float32), ndim=3).save(tmp_path / "bank.npz")
    parameters = {"kind": "file", "file": str(tmp_path / "bank.npz")}
    with pytest.raises(ValueError, match="3 axes"):
        refused("convolve", {"image": picture}, tmp_path, **parameters)
    with pytest.raises(ValueError, match="3 axes"):
        in_memory("convolve", {"image": picture}, **parameters)


def test_pixels_are_classified_in_memory(tmp_path):
    rng = np.random.default_rng(0)
    image = SpatialImage(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8), "photo", rgb=True)
    paint = np.zeros((40, 50), np.int32)
    paint[:5], paint[-5:] = 1, 2
    model = str(tmp_path / "model.npz")
    only = {"gabor": False, "residual": False, "n_trees": 5}
    inputs = {"image": image, "labels": SpatialImage(paint, "paint")}
    in_memory("classify-pixels", inputs, model_file=model, **only)
    with pytest.raises(ValueError, match="Colour images are classified in memory only"):
        refused("classify-pixels", {"image": image}, tmp_path, model=model)
