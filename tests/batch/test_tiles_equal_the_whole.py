"""What is computed in tiles is what is computed in one piece."""

import numpy as np
import pytest
import scipy.ndimage
from tests.batch.tile_cases import (
    blurred_beads,
    gaussian,
    in_memory,
    in_tiles,
    relative_error,
)

from napari_convfact.kernels.shapes import disk
from napari_convfact.operations.operation import SpatialImage

DIRECT = [
    ("wiener", boundary, strength, sigma)
    for boundary in ("reflect", "periodic", "zero")
    for strength in (1e-1, 1e-2, 1e-3)
    for sigma in (0.8, 1.5)
] + [("tikhonov", "reflect", strength, sigma) for strength in (1e-1, 1e-2) for sigma in (0.8, 2.0)]


@pytest.mark.parametrize(("method", "boundary", "strength", "sigma"), DIRECT)
def test_direct_filters(method, boundary, strength, sigma, tmp_path):
    inputs = {"image": blurred_beads((550, 700), sigma), "psf": gaussian(sigma)}
    parameters = {"method": method, "boundary": boundary, "strength": strength}
    (values,), manifest = in_tiles("deconvolve", inputs, tmp_path, 7, **parameters)
    assert len(manifest.plan.tiling) > 1
    (whole,) = in_memory("deconvolve", inputs, **parameters)
    assert relative_error(values, whole) <= manifest.plan.seam_error <= 1e-3


def test_a_small_volume_with_channels(tmp_path):
    stack = [blurred_beads((24, 150, 160), (0.7, 1, 1), seed).data for seed in range(2)]
    image = SpatialImage(np.stack(stack), "a", (1, 0.3, 0.1, 0.1), axis_labels=("c", "z", "y", "x"))
    psf = SpatialImage(gaussian((0.7, 1, 1), 3).data, "psf", (0.3, 0.1, 0.1))
    inputs = {"image": image, "psf": psf}
    parameters = {"method": "wiener", "boundary": "reflect", "strength": 0.05}
    (values,), manifest = in_tiles("deconvolve", inputs, tmp_path, 96 + 10, **parameters)
    assert manifest.plan.tiling.grid[0] == 2
    assert len(manifest.plan.tiling) > 2
    (whole,) = in_memory("deconvolve", inputs, **parameters)
    assert relative_error(values, whole) <= manifest.plan.seam_error <= 1e-3


@pytest.mark.parametrize("method", ["tikhonov", "wiener"])
@pytest.mark.parametrize("strength", [1e-1, 1e-2, 1e-3])
def test_extended_least_squares(method, strength, tmp_path):
    inputs = {"image": blurred_beads((550, 600)), "psf": gaussian(1.5)}
    parameters = {"method": method, "strength": strength}
    (values,), manifest = in_tiles("deconvolve", inputs, tmp_path, 12, **parameters)
    assert len(manifest.plan.tiling) > 1
    (whole,) = in_memory("deconvolve", inputs, **parameters)
    # The solver stops while the rim, of which the picture says little, is still moving.
    rim = (slice(40, -40),) * 2
    assert relative_error(values[rim], whole[rim]) <= manifest.plan.seam_error <= 1e-3
    assert relative_error(values, whole) <= 0.01


def test_least_squares_stop_where_the_whole_does(tmp_path):
    """What the tolerance of the solver leaves is much more than the strictest seams."""
    inputs = {"image": blurred_beads((550, 600)), "psf": SpatialImage(disk(4), "psf")}
    parameters = {"method": "tikhonov", "strength": 1e-1}
    (values,), manifest = in_tiles(
        "deconvolve", inputs, tmp_path, 12, seam_error=1e-4, **parameters
    )
    assert len(manifest.plan.tiling) > 1
    (whole,) = in_memory("deconvolve", inputs, **parameters)
    rim = (slice(40, -40),) * 2
    assert relative_error(values[rim], whole[rim]) <= manifest.plan.seam_error <= 1e-4


@pytest.mark.parametrize("boundary", ["extended", "reflect", "periodic", "zero"])
@pytest.mark.parametrize("change", [{}, {"accelerate": False}, {"total_variation": 0.01}])
def test_richardson_lucy(boundary, change, tmp_path):
    inputs = {"image": blurred_beads((550, 600)), "psf": gaussian(1.5)}
    parameters = {"method": "richardson-lucy", "boundary": boundary, "iterations": 8, **change}
    (values,), manifest = in_tiles("deconvolve", inputs, tmp_path, 12, **parameters)
    assert len(manifest.plan.tiling) > 1
    (whole,) = in_memory("deconvolve", inputs, **parameters)
    assert relative_error(values, whole) <= manifest.plan.seam_error <= 1e-3


@pytest.mark.parametrize("memory", [14, 6], ids=["whole planes", "cut planes"])
@pytest.mark.parametrize(
    "parameters",
    [
        {"method": "wiener", "strength": 0.05},
        {"method": "tikhonov", "prior": "gradient", "strength": 0.01},
        {"method": "richardson-lucy", "iterations": 5, "accelerate": False},
    ],
    ids=lambda parameters: parameters["method"],
)
def test_channels_of_different_brightness(parameters, memory, tmp_path):
    """Every channel has a mean of its own, with which its estimate begins."""
    bright = blurred_beads((300, 540)).data
    stack = np.stack([bright, 20 * bright, bright + 1000])
    inputs = {"image": SpatialImage(stack, "channels"), "psf": gaussian(1.5)}
    (values,), manifest = in_tiles("deconvolve", inputs, tmp_path, 96 + memory, **parameters)
    assert (len(manifest.plan.tiling) > 3) == (memory < 10)
    (whole,) = in_memory("deconvolve", inputs, **parameters)
    rim = (slice(40, -40),) * 2  # as far as least squares for a scene without end have settled
    for tiles, expected in zip(values, whole, strict=True):
        assert relative_error(tiles[rim], expected[rim]) <= 1e-3


def test_a_shared_strength_is_chosen_once(tmp_path):
    inputs = {"image": blurred_beads((550, 700)), "psf": gaussian(1.5)}
    parameters = {"method": "wiener", "boundary": "reflect"}
    (values,), manifest = in_tiles("deconvolve", inputs, tmp_path, 7, **parameters)
    (whole,) = in_memory("deconvolve", inputs, **parameters)
    assert relative_error(values, whole) <= manifest.plan.seam_error
    assert manifest.constants["rule"] != "given"


@pytest.mark.parametrize("boundary", ["reflect", "periodic", "zero"])
@pytest.mark.parametrize(
    "parameters",
    [
        {"kind": "gaussian", "sigma": 3.0},
        {"kind": "sobel"},
        {"kind": "sobel", "result": "magnitude"},
        {"kind": "box", "size": 9, "result": "sharpened"},
    ],
)
def test_convolution_is_exact(parameters, boundary, tmp_path):
    inputs = {"image": blurred_beads((550, 700))}
    (values,), manifest = in_tiles("convolve", inputs, tmp_path, 8, boundary=boundary, **parameters)
    assert len(manifest.plan.tiling) > 1
    (whole,) = in_memory("convolve", inputs, boundary=boundary, **parameters)
    scale = np.abs(inputs["image"].data).max()
    np.testing.assert_allclose(values, whole, atol=2e-6 * scale)


@pytest.mark.parametrize(
    ("name", "megabytes", "parameters"),
    [
        ("convolve", 5, {"kind": "sobel", "missing": "fill"}),
        ("deconvolve", 9, {"method": "tikhonov", "strength": 0.05, "missing": "fill"}),
        ("deconvolve", 9, {"method": "richardson-lucy", "iterations": 3, "missing": "fill"}),
        ("texture", 30, {"log_energy": False, "assignment": False, "novelty": False,
                         "predictability": True, "sigma": 2.0, "mosaic": False,
                         "kernel_stack": False, "table": False}),
    ],
)  # fmt: skip
def test_tiles_without_any_value(name, megabytes, parameters, tmp_path):
    values = blurred_beads((900, 910)).data.astype(np.float32)
    values[:600, :500] = np.nan
    inputs = {"image": SpatialImage(values, "mosaic")}
    if name == "deconvolve":
        inputs["psf"] = gaussian(1.2)
    (found,), manifest = in_tiles(name, inputs, tmp_path, megabytes, **parameters)
    assert min(manifest.plan.tiling.grid) > 1
    (whole,) = in_memory(name, inputs, **parameters)
    whole = whole.reshape(found.shape)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(whole))
    inside = ~np.isnan(whole)
    assert relative_error(found[inside], whole[inside]) < 1e-2


@pytest.mark.parametrize("boundary", ["reflect", "periodic", "zero"])
def test_missing_values_at_the_faces(boundary, tmp_path):
    """What lies beyond a face is made of what was filled there."""
    values = blurred_beads((900, 910)).data.astype(np.float32)
    values[:600, :500] = np.nan
    values[-3:, 700:] = np.nan
    inputs = {"image": SpatialImage(values, "mosaic"), "psf": gaussian(1.2)}
    parameters = {"method": "wiener", "strength": 0.01, "missing": "fill", "boundary": boundary}
    (found,), manifest = in_tiles("deconvolve", inputs, tmp_path, 9, **parameters)
    assert min(manifest.plan.tiling.grid) > 1
    (whole,) = in_memory("deconvolve", inputs, **parameters)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(whole))
    inside = ~np.isnan(whole)
    assert relative_error(found[inside], whole[inside]) <= manifest.plan.seam_error


def test_an_asymmetric_kernel_layer(tmp_path):
    kernel = np.random.default_rng(0).standard_normal((4, 9))
    inputs = {"image": blurred_beads((550, 700)), "kernel": SpatialImage(kernel, "k")}
    (values,), manifest = in_tiles("convolve", inputs, tmp_path, 8)
    assert len(manifest.plan.tiling) > 1
    (whole,) = in_memory("convolve", inputs)
    np.testing.assert_allclose(values, whole, atol=1e-5 * np.abs(whole).max())


@pytest.mark.parametrize("boundary", ["reflect", "periodic", "zero"])
def test_gabor_energies_and_maps(boundary, tmp_path):
    image = blurred_beads((550, 700))
    parameters = {"n_scales": 2, "n_orientations": 4, "strongest": True, "colours": False}
    parameters["boundary"] = boundary
    (energy, strongest), manifest = in_tiles("gabor", {"image": image}, tmp_path, 20, **parameters)
    assert len(manifest.plan.tiling) > 1
    whole_energy, whole_strongest = in_memory("gabor", {"image": image}, **parameters)
    # Scale and orientation are one channel axis in the file.
    assert energy.shape == (8, 550, 700)
    assert relative_error(energy, whole_energy.reshape(energy.shape)) <= manifest.plan.seam_error
    assert relative_error(strongest, whole_strongest) <= manifest.plan.seam_error


def test_mirrored_planes_that_are_whole_end_at_their_halo(tmp_path):
    stack = np.stack([blurred_beads((120, 130), seed=seed).data for seed in range(2)])
    inputs = {"image": SpatialImage(stack, "a", axis_labels=("t", "y", "x"))}
    parameters = {"n_scales": 2, "n_orientations": 3, "colours": False}
    (energy,), manifest = in_tiles("gabor", inputs, tmp_path, 96 + 20, **parameters)
    assert manifest.plan.tiling.grid == (2, 1, 1)
    (whole,) = in_memory("gabor", inputs, **parameters)
    whole = np.moveaxis(whole.reshape(6, 2, 120, 130), 1, 0)
    assert 1e-6 < relative_error(energy, whole) <= manifest.plan.seam_error


def test_gabor_colours_have_one_brightness(tmp_path):
    image = blurred_beads((550, 700))
    parameters = {"n_scales": 2, "n_orientations": 4, "energy": False}
    (colours,), manifest = in_tiles("gabor", {"image": image}, tmp_path, 20, **parameters)
    assert len(manifest.plan.tiling) > 1
    (whole,) = in_memory("gabor", {"image": image}, **parameters)
    # Where nothing has an orientation, its hue is decided by round-off.
    error = np.abs(colours - np.moveaxis(whole, -1, 0))
    assert np.median(error) < 1e-5
    assert np.percentile(error, 99.9) < 1e-2


@pytest.mark.parametrize("planes", [1, 3])
@pytest.mark.parametrize("method", ["richardson-lucy", "tikhonov"])
def test_volumes_too_thin_to_cut_across(method, planes, tmp_path):
    inputs = {"image": blurred_beads((planes, 300, 350)), "psf": gaussian((1, 1.5, 1.5), 3)}
    parameters = {"method": method, "boundary": "extended", "iterations": 5, "strength": 0.01}
    (values,), manifest = in_tiles("deconvolve", inputs, tmp_path, 8 * planes + 20, **parameters)
    assert manifest.plan.tiling.core[0] == planes
    assert len(manifest.plan.tiling) > 1
    (whole,) = in_memory("deconvolve", inputs, **parameters)
    rim = (slice(None), *(slice(40, -40),) * 2)  # as in test_extended_least_squares
    assert relative_error(values[rim], whole[rim]) <= manifest.plan.seam_error <= 1e-3


@pytest.mark.parametrize("planes", [1, 3])
def test_thin_volumes_with_more_margin_than_planes(planes, tmp_path):
    image = blurred_beads((planes, 300, 400))
    parameters = {"kind": "gaussian", "ndim": 3, "sigma": 2.0}
    (values,), manifest = in_tiles("convolve", {"image": image}, tmp_path, 8, **parameters)
    assert len(manifest.plan.tiling) > 1
    expected = scipy.ndimage.gaussian_filter(image.data.astype(float), 2.0, truncate=4)
    np.testing.assert_allclose(values, expected, atol=1e-4 * expected.max())


def test_planes_of_a_stack_are_tiles(tmp_path):
    stack = np.stack([blurred_beads((120, 130), seed=seed).data for seed in range(5)])
    inputs = {"image": SpatialImage(stack, "a", axis_labels=("z", "y", "x")), "psf": gaussian(1.5)}
    parameters = {"method": "wiener", "boundary": "reflect", "strength": 0.01}
    (values,), manifest = in_tiles("deconvolve", inputs, tmp_path, 96 + 1, **parameters)
    assert len(manifest.plan.tiling) == 5
    assert manifest.plan.seam_error == 0
    (whole,) = in_memory("deconvolve", inputs, **parameters)
    assert relative_error(values, whole) < 1e-6
