import json

import numpy as np
import pytest

from napari_convfact.foundation.job import run
from napari_convfact.kernels import shapes
from napari_convfact.kernels.beads import psf_from_beads
from napari_convfact.kernels.microscope import Microscope
from napari_convfact.kernels.psf import theoretical_psf
from napari_convfact.operations.coordinates import (
    format_points,
    format_region,
    parse_points,
    parse_region,
)
from napari_convfact.operations.make_kernel import OPERATION
from napari_convfact.operations.make_kernel_parameters import MakeKernel
from napari_convfact.operations.operation import SpatialImage
from napari_convfact.operations.parameters import fields_of
from napari_convfact.samples import load_sample

KINDS = next(field.choices for field in fields_of(MakeKernel) if field.name == "kind")
STACK = SpatialImage(
    np.zeros((9, 32, 32), np.float32), "stack", (0.3, 0.1, 0.1), ("um",) * 3, ("z", "y", "x")
)


def make(image=None, **parameters):
    inputs = {} if image is None else {"image": image}
    (result,) = run(OPERATION.job(inputs, MakeKernel(**parameters)))
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_makes_a_kernel_with_a_place(kind):
    image = load_sample("confocal_beads")
    result = make(image, kind=kind)
    assert result.like is None
    assert result.data.dtype == np.float32
    assert result.data.ndim == len(result.scale) == len(result.units) == len(result.leading_axes)
    assert result.units == ("um",) * result.data.ndim
    np.testing.assert_allclose(result.scale, image.scale[-result.data.ndim :])
    assert all(n % 2 == 1 for n in result.data.shape)
    assert json.loads(json.dumps(result.summary))["message"]
    assert OPERATION.plan({"image": image}, MakeKernel(kind=kind)).text


def test_formulas_are_the_kernel_functions():
    np.testing.assert_array_equal(
        make(kind="gaussian", sigma=1.5).data, shapes.gaussian(1.5, ndim=2)
    )
    np.testing.assert_array_equal(
        make(STACK, kind="disk", radius=2.5).data, shapes.disk(2.5, ndim=3)
    )
    np.testing.assert_array_equal(make(kind="box", size=7, ndim=3).data, shapes.box(7, ndim=3))
    np.testing.assert_array_equal(
        make(kind="motion", length=11, angle=90).data, shapes.motion(11, np.pi / 2)
    )
    assert make(kind="delta", ndim=3).data.shape == (5, 5, 5)


def test_a_flat_kernel_is_shown_as_bright_as_it_is():
    assert make(kind="box").display["contrast_limits"] == pytest.approx((0, 1 / 25))
    assert "contrast_limits" not in make(kind="disk").display  # the viewer sees its range


def test_without_an_image_voxels_are_pixels():
    result = make(kind="gaussian")
    assert result.units == ("pixel", "pixel")
    assert result.scale == (1.0, 1.0)
    assert result.leading_axes == ("y", "x")


def test_a_theoretical_psf_takes_the_voxel_size_of_the_image():
    result = make(STACK, modality="confocal", na=1.0, emission=600, excitation=561, size=15)
    microscope = Microscope(1.0, 0.6, modality="confocal", excitation_wavelength=0.561)
    expected = theoretical_psf(microscope, (0.3, 0.1, 0.1), size=15)
    np.testing.assert_allclose(result.data, expected, rtol=1e-5)
    assert result.scale == (0.3, 0.1, 0.1)


def test_a_sample_with_an_index_of_its_own():
    deep = {"na": 1.2, "refractive_index": 1.515, "sample_index": 1.33, "depth": 3.0, "size": 15}
    microscope = Microscope(1.2, 0.52, 1.515, sample_index=1.33, depth=3.0)
    expected = theoretical_psf(microscope, (0.3, 0.1, 0.1), size=15)
    np.testing.assert_allclose(make(STACK, **deep).data, expected, rtol=1e-5)
    reversed_ = make(STACK, reverse_z=True, **deep).data
    np.testing.assert_allclose(reversed_, expected[::-1], rtol=1e-5)
    assert abs(expected - expected[::-1]).max() > 0.02 * expected.max()


def test_a_psf_that_grows_out_of_hand_is_said_to_need_a_size():
    deep = {"na": 1.4, "refractive_index": 1.515, "sample_index": 1.33, "depth": 60.0}
    advice = "Give a size"
    assert advice in OPERATION.plan({"image": STACK}, MakeKernel(**deep)).text
    assert advice not in OPERATION.plan({"image": STACK}, MakeKernel(**deep, size=63)).text
    assert advice not in OPERATION.plan({"image": STACK}, MakeKernel()).text


def test_given_voxel_sizes_go_before_the_image():
    result = make(STACK, pixel_size=0.05, size=11)
    np.testing.assert_allclose(result.scale, (0.3, 0.05, 0.05))
    assert make(pixel_size=0.05, size=11).data.shape == (11, 11)
    assert make(pixel_size=0.05, z_step=0.2, size=11).data.shape == (11, 11, 11)


def test_nanometres_become_micrometres():
    image = SpatialImage(np.zeros((8, 8)), "n", (65.0, 65.0), ("nm", "nm"))
    np.testing.assert_allclose(make(image, size=11).scale, (0.065, 0.065))


def test_gabor_is_even_or_odd_about_its_middle():
    even = make(kind="gabor", angle=30).data
    odd = make(kind="gabor", angle=30, phase="odd").data
    np.testing.assert_allclose(even, even[::-1, ::-1], atol=1e-6)
    np.testing.assert_allclose(odd, -odd[::-1, ::-1], atol=1e-6)
    assert np.abs(odd).max() > 0


def test_beads_by_points_are_those_of_the_function():
    beads = load_sample("confocal_beads")
    result = make(beads, kind="beads", points="24 82 75; 24 73 29")
    expected, _ = psf_from_beads(beads.data, [[24, 82, 75], [24, 73, 29]])
    np.testing.assert_array_equal(result.data, expected)
    assert "2 beads were averaged" in result.summary["message"]


def test_a_region_is_cut_out_and_prepared():
    data = np.zeros((20, 30))
    data[4:9, 10:15] = shapes.gaussian(1.0, size=5)
    result = make(SpatialImage(data, "scene"), kind="region", region="2:11, 7:17")
    np.testing.assert_allclose(result.data, shapes.gaussian(1.0, size=5), atol=1e-6)


def test_points_and_regions_survive_being_text():
    points = [[1.5, 2.25, 3.0], [4.0, 5.0, 6.125]]
    assert parse_points(format_points(points)) == points
    assert parse_points("  ") is None
    corners = [[4.0, 10.2, 20.0], [4.0, 30.7, 20.0], [4.0, 30.7, 44.9]]
    text = format_region(corners)
    assert text == ":, 10:31, 20:45"
    assert parse_region(text, (8, 64, 64)) == [[0, 10, 20], [7, 31, 45]]
    assert parse_region("", (4, 5)) == [[0, 0], [3, 4]]


@pytest.mark.parametrize(
    ("image", "parameters", "words"),
    [
        (None, {"kind": "beads"}, "Choose the image"),
        (None, {"kind": "region"}, "Choose the image"),
        (None, {"kind": "theoretical-psf"}, "voxel size is not known"),
        (STACK, {"na": 1.4}, "refractive index"),
        (STACK, {"kind": "gaussian", "size": 4}, "odd"),
        (STACK, {"pixel_size": 100.0}, "unit of the wavelength"),
        (STACK, {"kind": "beads", "points": "a b"}, "must be numbers"),
        (STACK, {"kind": "beads", "points": "1 2; 1 2 3"}, "same number"),
        (STACK, {"kind": "region", "region": "1:2"}, "3 axes"),
        (
            SpatialImage(np.zeros((8, 8, 3), np.uint8), "photo", rgb=True),
            {"kind": "beads"},
            "colour",
        ),
    ],
)
def test_what_cannot_be_made_is_refused_by_plan_or_job(image, parameters, words):
    inputs = {} if image is None else {"image": image}
    with pytest.raises(ValueError, match=words):
        OPERATION.plan(inputs, MakeKernel(**parameters))
    with pytest.raises(ValueError, match=words):
        make(image, **parameters)


@pytest.mark.parametrize("kind", ["gaussian", "laplacian-of-gaussian", "disk", "box", "delta"])
@pytest.mark.parametrize("size", ["auto", 33])
def test_the_plan_counts_the_kernel_and_its_work(kind, size):
    parameters = MakeKernel(kind=kind, ndim=3, size=size, sigma=6.0, radius=30.0)
    kernel = make(kind=kind, ndim=3, size=size, sigma=6.0, radius=30.0).data
    assert OPERATION.plan({}, parameters).memory >= 12 * kernel.size  # float64 and float32


def test_the_plan_counts_the_fine_samples_of_coarse_pixels():
    plans = [
        OPERATION.plan({}, MakeKernel(ndim=2, pixel_size=pixel, size=101)) for pixel in (0.02, 2.0)
    ]
    # Nearly a hundred times as many samples as pixels along each axis.
    assert plans[1].memory > 1000 * plans[0].memory


def test_the_module_does_not_import_torch():
    import subprocess
    import sys

    code = "import sys, napari_convfact.operations.make_kernel; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
