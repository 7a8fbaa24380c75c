"""Factorize kernel in the viewer."""

import numpy as np
import pytest
import scipy.ndimage
from tests.gui.helpers import (
    PLANE,
    assert_same_place,
    is_in_view,
    open_widget,
    provenance_of,
    run_and_cancel,
    run_and_fail,
    run_to_end,
)

from napari_convfact.kernels.shapes import disk, gaussian
from napari_convfact.kernels.wavelets import near_sym_a


@pytest.fixture
def factorize(make_napari_viewer):
    """A viewer with the low-pass wavelet kernel, calibrated and shifted, and the widget."""
    viewer = make_napari_viewer()
    viewer.add_image(near_sym_a("ll"), name="Wavelet LL", **PLANE)
    return viewer, open_widget(viewer, "Factorize kernel")


def test_the_pictures_show_the_factorization(factorize, qtbot):
    viewer, widget = factorize
    kernel = viewer.layers["Wavelet LL"]
    before = kernel.data.copy()
    layers = run_to_end(widget, qtbot)
    assert [layer.name for layer in layers] == [
        "Wavelet LL reconstruction",
        "Wavelet LL residual",
        "Wavelet LL factors",
    ]
    reconstruction, residual, factors = layers
    np.testing.assert_allclose(reconstruction.data + residual.data, before, atol=1e-6)
    np.testing.assert_allclose(residual.contrast_limits[0], -residual.contrast_limits[1])
    assert factors.data.shape == (3, 7)  # two of three taps with one between
    for layer in layers:
        assert layer.units == kernel.units
        assert layer.axis_labels == kernel.axis_labels
        assert is_in_view(viewer, layer)
        assert provenance_of(layer, "factorize")["sources"]["kernel"]["name"] == "Wavelet LL"
    np.testing.assert_array_equal(reconstruction.scale, kernel.scale)
    np.testing.assert_array_equal(kernel.data, before)


def test_the_table_has_error_status_and_multiplications(factorize, qtbot):
    _, widget = factorize
    run_to_end(widget, qtbot)
    text = widget._findings.text()
    for cell in ("certified", "3 %", "18", "49"):
        assert f">{cell}</td>" in text
    assert "ms" not in text  # no image, no times


def test_pictures_lie_beside_their_kernel(factorize, qtbot):
    viewer, widget = factorize
    reconstruction, *_ = run_to_end(widget, qtbot)
    kernel = viewer.layers["Wavelet LL"]
    assert reconstruction.translate[0] == kernel.translate[0]
    assert reconstruction.translate[1] > kernel.extent.world[1, 1]


def test_pictures_avoid_what_is_there_already(factorize, qtbot):
    _viewer, widget = factorize
    first = run_to_end(widget, qtbot)
    second = run_to_end(widget, qtbot)
    bottom = max(layer.extent.world[1, 0] for layer in first)
    assert all(layer.extent.world[0, 0] > bottom for layer in second)


def test_chains_are_compared_in_rows(factorize, qtbot):
    _, widget = factorize
    layers = run_to_end(widget, qtbot, compare=True)
    assert len(layers) == 9
    assert len({layer.translate[0] for layer in layers[::3]}) == 3
    assert len({tuple(layer.contrast_limits) for layer in layers[1::3]}) == 1
    assert widget._findings.text().count("3x3, 3x3, 3x3") == 2  # among chains, among ways


def test_the_pictures_of_a_volume_share_its_middle_plane(factorize, qtbot):
    viewer, widget = factorize
    viewer.layers.clear()
    kernel = viewer.add_image(
        gaussian(1.0, ndim=3, size=7), name="ball kernel", scale=(0.5, 0.1, 0.1)
    )
    layers = run_to_end(widget, qtbot, shapes="3x3x3, 3x3x3, 3x3x3")
    middle = kernel.extent.world[:, 0].mean()
    assert viewer.dims.point[0] == pytest.approx(middle)
    assert all(layer.extent.world[:, 0].mean() == pytest.approx(middle) for layer in layers)
    # Side by side, edge to edge with the kernel.
    tops = [layer.extent.world[0, 1] - layer.scale[1] / 2 for layer in (kernel, *layers)]
    np.testing.assert_allclose(tops, tops[0])


def test_the_chain_is_applied_to_an_image_and_timed(factorize, qtbot):
    viewer, widget = factorize
    viewer.add_image(disk(3.0), name="disk kernel")
    scene = np.random.default_rng(0).random((3, 40, 50), dtype=np.float32)
    image = viewer.add_image(scene, name="cells", scale=(1, 0.2, 0.2), units=("um",) * 3)
    widget.choices["kernel"].choose(viewer.layers["disk kernel"])
    widget.choices["image"].choose(image)
    layers = run_to_end(widget, qtbot, shapes="auto for 1 %", apply=True)
    filtered = viewer.layers["cells * disk kernel filtered"]
    assert_same_place(filtered, image)
    expected = [scipy.ndimage.convolve(p, layers[0].data, mode="reflect") for p in scene]
    np.testing.assert_allclose(filtered.data, expected, atol=1e-5)
    text = widget._findings.text()
    assert text.count(" ms</td>") >= 3
    assert "Fastest on this image" in text


def test_cancel_answers(factorize, qtbot):
    viewer, widget = factorize
    values = np.random.default_rng(1).normal(size=(15, 15)).astype(np.float32)
    viewer.add_image(values, name="hard kernel")
    widget.choices["kernel"].choose(viewer.layers["hard kernel"])
    run_and_cancel(widget, qtbot, shapes="9x9, 7x7", starts=10_000)


def test_a_zero_kernel_is_one_error(factorize, qtbot):
    viewer, widget = factorize
    viewer.layers["Wavelet LL"].data = np.zeros((7, 7))
    assert "zero" in run_and_fail(widget, qtbot)


def test_nonsense_for_the_factors_disables_run(factorize):
    _, widget = factorize
    widget.form.set_values({"shapes": "three by three"})
    assert not widget.bar.run.isEnabled()
    assert "three by three" in widget.bar.plan.text()
