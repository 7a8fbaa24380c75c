"""Make kernel in the viewer."""

import numpy as np
import pytest
import scipy.ndimage
from napari.utils.notifications import notification_manager
from tests.gui.helpers import (
    PLACE,
    is_in_view,
    open_widget,
    provenance_of,
    run_and_cancel,
    run_and_fail,
    run_to_end,
)

from napari_convfact.operations.coordinates import parse_points, parse_region

BEADS = np.array([[8.0, 20, 22], [7, 45, 50]])
# Layers with a grid of their own, so that only world coordinates can agree.
OTHER = {"scale": (0.25, 0.2, 0.05), "translate": (0.5, 1.0, 2.0), "units": ("um",) * 3}


@pytest.fixture
def make_kernel(make_napari_viewer):
    """A viewer with two beads in a calibrated, shifted volume, and the widget."""
    viewer = make_napari_viewer()
    volume = np.zeros((16, 64, 72), dtype=np.float32)
    volume[tuple(BEADS.astype(int).T)] = 1e4
    volume = scipy.ndimage.gaussian_filter(volume, (1.0, 2.0, 2.0))
    volume += np.random.default_rng(0).normal(10, 0.1, volume.shape).astype(np.float32)
    viewer.add_image(volume, name="cells", **PLACE)
    widget = open_widget(viewer, "Make kernel")
    widget.choices["image"].choose(viewer.layers["cells"])
    return viewer, widget


def in_other_grid(viewer, points):
    """Return voxels of the image as coordinates of a layer with the grid `OTHER`."""
    world = [viewer.layers["cells"].data_to_world(point) for point in points]
    return (np.array(world) - OTHER["translate"]) / OTHER["scale"]


def test_beads_are_taken_from_a_points_layer(make_kernel, qtbot):
    viewer, widget = make_kernel
    viewer.add_points(in_other_grid(viewer, BEADS), name="beads", **OTHER)
    before = viewer.layers["cells"].data.copy()
    widget.take_points()
    values = widget.form.values()
    assert values["kind"] == "beads"
    np.testing.assert_allclose(parse_points(values["points"]), BEADS, atol=1e-4)
    (psf,) = run_to_end(widget, qtbot)
    np.testing.assert_array_equal(psf.scale, PLACE["scale"])
    assert psf.units == viewer.layers["cells"].units
    assert psf.axis_labels == PLACE["axis_labels"]
    assert is_in_view(viewer, psf)
    # A Gaussian of 2 pixels, seen across the middle: its half maximum is 4.7 pixels wide.
    line = psf.data[tuple(n // 2 for n in psf.data.shape[:2])]
    assert 4 <= (line > line.max() / 2).sum() <= 6
    record = provenance_of(psf, "make-kernel")
    assert len(record["summary"]["positions"]) == 2
    np.testing.assert_array_equal(viewer.layers["cells"].data, before)


def test_a_region_is_taken_from_a_rectangle(make_kernel, qtbot):
    viewer, widget = make_kernel
    corners = np.array([[8, 12, 14], [8, 12, 30], [8, 28, 30], [8, 28, 14]])
    viewer.add_shapes([in_other_grid(viewer, corners)], name="around a bead", **OTHER)
    widget.take_region()
    values = widget.form.values()
    assert values["kind"] == "region"
    low, high = parse_region(values["region"], (16, 64, 72))
    assert (low, high) == ([0, 12, 14], [15, 28, 30])  # the plane's axis is taken whole
    (kernel,) = run_to_end(widget, qtbot)
    np.testing.assert_array_equal(kernel.scale, PLACE["scale"])
    assert is_in_view(viewer, kernel)


def test_the_selected_layer_is_taken_before_others(make_kernel):
    viewer, widget = make_kernel
    first = viewer.add_points(in_other_grid(viewer, BEADS[:1]), **OTHER)
    viewer.add_points(in_other_grid(viewer, BEADS), **OTHER)
    viewer.layers.selection = {first}
    widget.take_points()
    assert len(parse_points(widget.form.values()["points"])) == 1


def test_without_points_it_says_what_to_add(make_kernel):
    _, widget = make_kernel
    notification_manager.records.clear()
    widget.take_points()
    (record,) = [r for r in notification_manager.records if r.severity == "error"]
    assert "Points layer" in record.message


def test_a_theoretical_psf_has_the_image_s_voxels_and_is_in_view(make_kernel, qtbot):
    viewer, widget = make_kernel
    viewer.scene.camera.center = (0.0, 1000.0, 1000.0)
    (psf,) = run_to_end(widget, qtbot, kind="theoretical-psf", modality="confocal")
    np.testing.assert_allclose(psf.scale, PLACE["scale"])
    assert {str(unit) for unit in psf.units} == {"micrometer"}
    np.testing.assert_allclose(psf.data.sum(), 1, rtol=1e-4)
    assert is_in_view(viewer, psf)
    # The plane that is shown is the PSF's brightest.
    shown = psf.world_to_data(viewer.dims.point)[0]
    assert shown == pytest.approx(np.argmax(psf.data.max(axis=(1, 2))), abs=1e-6)
    provenance_of(psf, "make-kernel")


def test_formulas_need_no_image(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    widget = open_widget(viewer, "Make kernel")
    (kernel,) = run_to_end(widget, qtbot, kind="disk", radius=3.0)
    assert kernel.data.shape == (7, 7)
    assert is_in_view(viewer, kernel)


def test_a_psf_without_voxel_size_disables_run(make_napari_viewer):
    viewer = make_napari_viewer()
    widget = open_widget(viewer, "Make kernel")
    widget.form.set_values({"kind": "theoretical-psf"})
    assert not widget.bar.run.isEnabled()
    assert "voxel size" in widget.bar.plan.text()


def test_beads_where_there_are_none_are_one_error(make_kernel, qtbot):
    viewer, widget = make_kernel
    viewer.layers["cells"].data = np.zeros((16, 64, 72), dtype=np.float32)
    widget.form.set_values({"kind": "beads"})
    assert run_and_fail(widget, qtbot).startswith("Make kernel: ")


def test_cancel_answers(make_kernel, qtbot):
    _, widget = make_kernel
    values = {"kind": "theoretical-psf", "modality": "confocal", "size": 257}
    run_and_cancel(widget, qtbot, **values, pixel_size=0.02, z_step=0.05)
