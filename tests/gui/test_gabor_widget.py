"""Gabor bank in the viewer."""

import numpy as np
import pytest
from tests.gui.helpers import (
    PLACE,
    assert_same_place,
    open_widget,
    provenance_of,
    run_and_cancel,
    run_and_fail,
    run_to_end,
)

import napari_convfact as cf

SMALL = {"n_scales": 2, "n_orientations": 4}
NOTHING = {"energy": False, "colours": False}


@pytest.fixture
def gabor(make_napari_viewer):
    """A viewer with a calibrated, shifted volume, and the widget."""
    viewer = make_napari_viewer()
    scene = np.random.default_rng(0).random((4, 48, 56), dtype=np.float32)
    viewer.add_image(scene, name="cells", **PLACE)
    widget = open_widget(viewer, "Gabor bank")
    widget.form.set_values(SMALL)
    return viewer, widget


def test_energies_and_colours_lie_on_the_image(gabor, qtbot):
    viewer, widget = gabor
    source = viewer.layers["cells"]
    before = source.data.copy()
    energy, colours = run_to_end(widget, qtbot)
    assert energy.data.shape == (2, 4, 4, 48, 56)
    assert energy.axis_labels[:2] == ("scale", "orientation")
    assert colours.rgb
    for layer in (energy, colours):
        assert_same_place(layer, source)
        provenance_of(layer, "gabor")
    expected = cf.gabor_filter(before, cf.gabor_bank(n_scales=2, n_orientations=4)).energy
    np.testing.assert_array_equal(energy.data, expected)
    np.testing.assert_array_equal(source.data, before)


def test_volumes_are_filtered_in_three_dimensions(gabor, qtbot):
    viewer, widget = gabor
    energy, strongest = run_to_end(widget, qtbot, ndim=3, colours=False, strongest=True)
    assert energy.data.shape[-3:] == strongest.data.shape == (4, 48, 56)
    assert_same_place(strongest, viewer.layers["cells"])


def test_the_coverage_is_drawn_and_follows_the_form(gabor, qtbot):
    _, widget = gabor
    picture = widget._picture
    qtbot.waitUntil(lambda: widget._scales.value() == "" and len(widget._scales._sliders) == 2)
    first = picture.pixmap().toImage()
    assert not picture.pixmap().isNull()
    widget.form.set_values({"bandwidth": 2.0})
    qtbot.waitUntil(lambda: picture.pixmap().toImage() != first, timeout=20_000)
    widget.form.set_values({"ndim": 3})
    second = picture.pixmap().toImage()
    qtbot.waitUntil(lambda: picture.pixmap().toImage() != second, timeout=20_000)


def test_coverage_and_kernels_lie_beside_the_image(gabor, qtbot):
    viewer, widget = gabor
    layers = run_to_end(widget, qtbot, **NOTHING, kernels=True, coverage=True)
    assert [layer.name for layer in layers] == ["gabor kernels", "gabor coverage"]
    right = viewer.layers["cells"].extent.world[1, -1]
    assert all(layer.extent.world[0, -1] > right for layer in layers)


def test_the_preview_follows_the_sliders_and_equals_the_run(gabor, qtbot):
    viewer, widget = gabor
    viewer.reset_view()
    widget.form.set_values(NOTHING | {"reconstruction": True})
    qtbot.waitUntil(lambda: len(widget._orientations._sliders) == 4, timeout=20_000)
    widget.bar.preview.setChecked(True)
    qtbot.waitUntil(lambda: widget.preview.layer is not None, timeout=30_000)
    plane = round(viewer.layers["cells"].world_to_data(viewer.dims.point)[0])
    shown = widget.preview.layer.data[0].copy()
    # All weights are 1: the reconstruction is the image.
    np.testing.assert_allclose(shown, viewer.layers["cells"].data[plane], atol=1e-4)
    widget._orientations._sliders[1].setValue(0)
    qtbot.waitUntil(lambda: not np.array_equal(widget.preview.layer.data[0], shown), timeout=20_000)
    edited = widget.preview.layer.data[0].copy()
    (layer,) = run_to_end(widget, qtbot)
    np.testing.assert_allclose(edited, layer.data[plane], atol=1e-4)
    assert provenance_of(layer, "gabor")["parameters"]["orientation_weights"] == "1, 0, 1, 1"


def test_weights_of_a_recipe_are_kept(gabor, qtbot):
    _, widget = gabor
    widget.form.set_values(NOTHING | {"reconstruction": True})
    qtbot.waitUntil(lambda: len(widget._orientations._sliders) == 4, timeout=20_000)
    widget.form.set_values({"orientation_weights": "1.013, 3.5, 0, 1"})
    assert widget.form.parameters().orientation_weights == "1.013, 3.5, 0, 1"
    widget._orientations._sliders[2].setValue(25)
    assert widget.form.parameters().orientation_weights == "1.013, 3.5, 0.5, 1"


def test_the_preview_of_energies_is_a_stack_on_the_image(gabor, qtbot):
    viewer, widget = gabor
    viewer.reset_view()
    widget.form.set_values({"colours": False})
    widget.bar.preview.setChecked(True)
    qtbot.waitUntil(lambda: widget.preview.layer is not None, timeout=30_000)
    assert widget.preview.layer.data.shape == (2, 4, 1, 48, 56)
    widget.form.set_values({"colours": True})
    qtbot.waitUntil(lambda: widget.preview.layer.rgb, timeout=30_000)
    assert sum("preview" in layer.name for layer in viewer.layers) == 1


def test_cancel_answers(gabor, qtbot):
    viewer, widget = gabor
    viewer.add_image(np.random.default_rng(1).random((8, 512, 512), dtype=np.float32), name="large")
    widget.choices["image"].choose(viewer.layers["large"])
    run_and_cancel(widget, qtbot, n_scales=5, n_orientations=8)


def test_missing_values_are_one_error(gabor, qtbot):
    viewer, widget = gabor
    spoiled = viewer.layers["cells"].data.copy()
    spoiled[0, 3, 4] = np.nan
    viewer.layers["cells"].data = spoiled
    assert run_and_fail(widget, qtbot).startswith("Gabor bank: ")


def test_the_kernels_leave_the_slider_of_time_as_it_was(gabor, qtbot):
    viewer, widget = gabor
    movie = np.random.default_rng(0).random((5, 48, 56), dtype=np.float32)
    where = {"scale": (2, 0.1, 0.1), "units": ("s", "um", "um"), "axis_labels": ("t", "y", "x")}
    viewer.layers.clear()
    viewer.add_image(movie, name="movie", **where)
    before = viewer.dims.range[0]
    (kernels,) = run_to_end(widget, qtbot, **NOTHING, kernels=True)
    assert viewer.dims.axis_labels == ("scale", "orientation", "t", "y", "x")
    assert viewer.dims.range[2] == before
    assert viewer.dims.nsteps[:3] == (2, 4, 5)
    for time in range(5):  # each kernel is seen all the time
        viewer.dims.set_current_step(2, time)
        viewer.dims.set_current_step(1, 3)
        assert kernels.get_value(kernels_middle(kernels, viewer), world=True) is not None


def kernels_middle(kernels, viewer):
    """Return the middle of a kernel where the sliders are."""
    place = np.array(viewer.dims.point)
    place[-2:] = kernels.extent.world[:, -2:].mean(axis=0)
    return place
