"""A PSF in nanometres beside an image in micrometres: the viewer then counts in nanometres."""

import numpy as np
import pytest
from tests.gui.helpers import gaussian_psf, is_in_view, open_widget, run_to_end

SIDE = 40
PIXEL = 0.1  # micrometres


@pytest.fixture
def viewer(make_napari_viewer):
    """Six planes half a micrometre apart, each with its own value, and a PSF."""
    viewer = make_napari_viewer()
    planes = np.arange(6.0)[:, None, None] * np.ones((6, SIDE, SIDE))
    viewer.add_image(planes, name="cells", scale=(0.5, PIXEL, PIXEL), units=("um",) * 3)
    viewer.add_image(
        gaussian_psf((1, 9, 9)), name="PSF", scale=(500, 100, 100), units=("nm",) * 3, visible=False
    )
    viewer.reset_view()
    viewer.dims.set_point(0, 2000)
    return viewer


def test_the_preview_is_of_the_plane_that_is_shown(viewer, qtbot):
    widget = open_widget(viewer, "Deconvolve")
    widget.form.set_values({"strength": 1e-3, "boundary": "reflect"})
    widget.bar.preview.setChecked(True)
    qtbot.waitUntil(lambda: widget.preview.layer is not None, timeout=20_000)
    np.testing.assert_allclose(widget.preview.layer.data, 4, atol=0.01)
    assert widget.preview.layer.translate[0] == pytest.approx(2.0)


def test_a_run_leaves_the_view(viewer, qtbot):
    before = viewer.scene.camera.center, viewer.dims.point
    run_to_end(open_widget(viewer, "Convolve"), qtbot)
    assert (viewer.scene.camera.center, viewer.dims.point) == before


@pytest.mark.parametrize("unit", ["um", "nm"])
def test_a_new_kernel_lies_beside_the_image(viewer, qtbot, unit):
    for layer in [layer for layer in viewer.layers if layer.name == "PSF" and unit == "um"]:
        viewer.layers.remove(layer)
    widget = open_widget(viewer, "Make kernel")
    (kernel,) = run_to_end(widget, qtbot, kind="gaussian")
    edge = (SIDE - 0.5) * PIXEL
    assert edge < kernel.extent.world[0, -1] < edge + 0.1 * SIDE * PIXEL
    assert {str(name) for name in kernel.units} == {"micrometer"}
    if unit == "um":
        assert is_in_view(viewer, kernel)
    else:
        centre = np.mean(kernel.extent.world[:, -2:], axis=0) * 1000
        np.testing.assert_allclose(viewer.scene.camera.center[-2:], centre)


def test_points_in_nanometres_are_found_in_the_image(viewer):
    widget = open_widget(viewer, "Make kernel")
    viewer.add_points([[2000, 1000, 500]], units=("nm",) * 3)
    widget.take_points()
    point = [float(number) for number in widget.form.values()["points"].split()]
    np.testing.assert_allclose(point, (4, 10, 5))


def test_the_pictures_of_a_factorization_lie_below_the_image(viewer, qtbot):
    line = np.outer([1.0, 4, 6, 4, 1], [1.0, 4, 6, 4, 1]) / 256
    viewer.add_image(line, name="binomial kernel", scale=(PIXEL, PIXEL), units=("um",) * 2)
    widget = open_widget(viewer, "Factorize kernel")
    widget.choices["kernel"].choose(viewer.layers["binomial kernel"])
    edge = (SIDE - 0.5) * PIXEL
    for picture in run_to_end(widget, qtbot):
        assert edge <= picture.extent.world[0, -2] <= picture.extent.world[1, -2] < 2 * edge
