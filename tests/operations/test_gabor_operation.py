import numpy as np
import pytest
from skimage import data

from napari_convfact.foundation.job import run
from napari_convfact.gabor.bank import gabor_bank
from napari_convfact.gabor.responses import gabor_filter
from napari_convfact.operations.gabor import OPERATION
from napari_convfact.operations.gabor_parameters import Gabor
from napari_convfact.operations.operation import SpatialImage
from napari_convfact.operations.placement import placed


@pytest.fixture(scope="module")
def camera():
    return SpatialImage(data.camera()[::8, ::8], "camera", (0.5, 0.5), ("um", "um"))


def outputs(image, **parameters):
    results = run(OPERATION.job({"image": image}, Gabor(**parameters)))
    return {result.name.rsplit(" ", 1)[-1]: result for result in results}


def test_ticked_outputs_are_those_of_the_bank(camera):
    ticked = dict.fromkeys(("strongest", "orientation", "coherence", "phase"), True)
    results = outputs(camera, n_scales=2, n_orientations=3, kernels=True, coverage=True, **ticked)
    bank = gabor_bank(n_scales=2, n_orientations=3)
    responses = gabor_filter(camera.data, bank)
    np.testing.assert_array_equal(results["energy"].data, responses.energy)
    np.testing.assert_array_equal(results["phase"].data, responses.phase)
    np.testing.assert_array_equal(results["orientation"].data, responses.orientation)
    np.testing.assert_array_equal(results["coherence"].data, responses.coherence)
    np.testing.assert_array_equal(results["strongest"].data, responses.energy.max(axis=(0, 1)))
    np.testing.assert_array_equal(results["colours"].data, responses.orientation_rgb())
    np.testing.assert_array_equal(results["kernels"].data, bank.kernels().real)
    middle = results["coverage"].data[128, 128]
    assert middle == 0
    assert results["energy"].summary["frequencies"] == [0.354, 0.177]
    assert results["energy"].summary["reach (pixels)"] == bank.reach


def test_results_lie_on_the_image(camera):
    results = outputs(camera, n_scales=2, n_orientations=3)
    energy = placed(results["energy"], {"image": camera})
    assert energy.axis_labels[:2] == ("scale", "orientation")
    assert energy.scale == (1, 1, 0.5, 0.5)
    colours = placed(results["colours"], {"image": camera})
    assert colours.rgb
    assert colours.scale == (0.5, 0.5)


def test_reconstruction_with_weights(camera):
    only = {"energy": False, "colours": False, "reconstruction": True}
    result = outputs(camera, **only)["reconstruction"]
    np.testing.assert_allclose(result.data, camera.data, atol=1e-5 * 255)
    weights = {"scale_weights": "0 1, 1 1 1", "orientation_weights": "1,0,1,1,1,1,1,0.5"}
    edited = outputs(camera, residual_weight=0.0, **weights, **only)["reconstruction"].data
    expected = gabor_filter(camera.data, gabor_bank()).reconstruct(
        np.outer([0, 1, 1, 1, 1], [1, 0, 1, 1, 1, 1, 1, 0.5]), residual=0
    )
    np.testing.assert_array_equal(edited, expected)


def test_colour_images():
    picture = SpatialImage(data.astronaut()[::8, ::8], "astronaut", rgb=True)
    results = outputs(picture, reconstruction=True, n_scales=3)
    grey = picture.data @ np.array([0.2126, 0.7152, 0.0722])
    expected = gabor_filter(grey, gabor_bank(n_scales=3)).energy
    np.testing.assert_allclose(results["energy"].data, expected, rtol=1e-5)
    reconstruction = results["reconstruction"]
    assert reconstruction.rgb
    np.testing.assert_array_equal(reconstruction.data, picture.data)
    assert "rounded" in reconstruction.summary["message"]


def test_three_dimensions():
    volume = SpatialImage(np.random.default_rng(0).standard_normal((12, 13, 14)))
    results = outputs(volume, ndim=3, n_scales=1, n_orientations=6, orientation=True)
    assert results["energy"].data.shape == (1, 6, 12, 13, 14)
    assert results["orientation"].data.shape == (3, 12, 13, 14)
    assert results["orientation"].leading_axes == ("component",)
    assert results["colours"].data.shape == (12, 13, 14, 3)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"ndim": 3}, "set the dimensions"),
        ({"energy": False, "colours": False}, "tick at least one"),
        ({"reconstruction": True, "scale_weights": "1 2"}, "2 numbers but the bank has 5"),
        ({"reconstruction": True, "orientation_weights": "one"}, "must be numbers"),
    ],
)
def test_bad_parameters(camera, parameters, message):
    with pytest.raises(ValueError, match=message):
        outputs(camera, **parameters)


def test_the_plan_says_what_will_happen(camera):
    plan = OPERATION.plan({"image": camera}, Gabor())
    assert plan.text.startswith("2-D over")
    assert "40 kernels. " in plan.text
    one = OPERATION.plan({"image": camera}, Gabor(n_scales=1, n_orientations=1))
    assert "1 kernel. " in one.text
    energies = 40 * camera.data.size * 4
    assert energies < plan.memory < 3 * energies
    with pytest.raises(ValueError, match="set the dimensions"):
        OPERATION.plan({"image": camera}, Gabor(ndim=3))
