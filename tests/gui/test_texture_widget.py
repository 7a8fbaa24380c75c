"""Texture features in the viewer: banks, maps and classes from paint."""

import csv

import numpy as np
import pytest
from skimage import data
from tests.gui.helpers import (
    assert_same_place,
    is_in_view,
    open_widget,
    provenance_of,
    run_and_cancel,
    run_and_fail,
    run_to_end,
)

import napari_convfact as cf
from napari_convfact.gui.arrange import bring_into_view

PLACE = {
    "scale": (0.5, 0.25),
    "translate": (3.0, 4.0),
    "units": ("um", "um"),
    "axis_labels": ("y", "x"),
}
MAPS_OFF = {"log_energy": False, "assignment": False, "mosaic": False, "kernel_stack": False}


@pytest.fixture
def texture(make_napari_viewer):
    """A viewer with brick beside grass, calibrated and shifted, and the widget."""
    viewer = make_napari_viewer()
    wall = np.concatenate([data.brick()[:96, :80], data.grass()[:96, :80]], axis=1)
    viewer.add_image(wall, name="wall", **PLACE)
    widget = open_widget(viewer, "Texture features")
    widget.features.form.set_values({"n_kernels": 3})
    return viewer, widget


def paint(layer, *spots):
    for label, (row, column) in enumerate(spots, 1):
        layer.data[row - 4 : row + 4, column - 4 : column + 4] = label
    layer.refresh()


def test_a_bank_is_learned_and_mapped(texture, qtbot):
    viewer, widget = texture
    source = viewer.layers["wall"]
    before = source.data.copy()
    layers = run_to_end(widget.features, qtbot)
    names = ["wall energies", "wall assignment", "wall novelty"]
    assert [layer.name for layer in layers] == [
        *names,
        "texture bank mosaic",
        "texture bank kernels",
    ]
    for layer in layers[:3]:
        assert_same_place(layer, source)
        provenance_of(layer, "texture")
    assert type(layers[1]).__name__ == "Labels"
    assert set(np.unique(layers[1].data)) <= {1, 2, 3}
    mosaic = layers[3]
    assert mosaic.units == source.units
    assert mosaic.extent.world[0, 1] > source.extent.world[1, 1]
    usage = provenance_of(mosaic, "texture")["summary"]["usage"]
    np.testing.assert_allclose(sum(usage), 1, atol=1e-3)
    findings = widget.features._findings.text()
    assert "Usage" in findings
    assert "% of the variance" in findings
    assert "explained" not in findings  # the same as a bare fraction
    np.testing.assert_array_equal(source.data, before)


def test_the_table_is_shown_and_saved_and_on_the_labels(texture, qtbot, tmp_path):
    viewer, widget = texture
    regions = np.zeros((96, 160), np.uint8)
    regions[:, :76], regions[:, 84:] = 1, 2
    viewer.add_labels(regions, name="regions", **PLACE)
    widget.features.choices["labels"].choose(viewer.layers["regions"])
    layers = run_to_end(widget.features, qtbot, **MAPS_OFF)
    assert widget.features.table.isVisibleTo(widget.features)
    features = layers[-1].features
    assert features["index"].tolist() == [1, 2]
    assert_same_place(layers[-1], viewer.layers["regions"])
    widget.features.table.save(tmp_path / "features.csv")
    with (tmp_path / "features.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["1", "2"]
    name = features.columns[-1]
    np.testing.assert_allclose([float(r[name]) for r in rows], features[name], rtol=1e-4)


def test_a_saved_bank_is_applied_again(texture, qtbot, tmp_path):
    viewer, widget = texture
    path = str(tmp_path / "bank.npz")
    first = run_to_end(widget.features, qtbot, bank_file=path)
    assert len(cf.KernelBank.load(path)) == 3
    second = run_to_end(widget.features, qtbot, bank="file", file=path, bank_file="")
    np.testing.assert_array_equal(first[0].data, second[0].data)
    widget.features.choices["kernels"].choose(viewer.layers["texture bank kernels"])
    third = run_to_end(widget.features, qtbot, bank="layer")
    np.testing.assert_array_equal(first[0].data, third[0].data)


def test_selected_layers_are_described_one_after_the_other(texture, qtbot, tmp_path):
    viewer, widget = texture
    viewer.add_image(data.gravel()[:64, :64], name="path")
    viewer.layers.selection = {viewer.layers["wall"], viewer.layers["path"]}
    files = {"bank_file": str(tmp_path / "bank.npz")}
    widget.features.form.set_values(MAPS_OFF | {"bank": "gabor"} | files)
    widget.features.run_selected()
    qtbot.waitUntil(lambda: "path novelty" in viewer.layers, timeout=60_000)
    assert "wall novelty" in viewer.layers
    assert sorted(path.name for path in tmp_path.glob("*.npz")) == [
        "bank-path.npz",
        "bank-wall.npz",
    ]


def test_the_picture_to_paint_on_comes_into_view(texture):
    viewer, widget = texture
    bring_into_view(viewer, [viewer.add_image(np.zeros((9, 9)), translate=(999, 999))])
    widget.classify.add_paint_layer()
    assert is_in_view(viewer, viewer.layers["wall paint"])


def test_paint_becomes_classes(texture, qtbot):
    viewer, widget = texture
    source = viewer.layers["wall"]
    widget.classify.add_paint_layer()
    layer = viewer.layers["wall paint"]
    assert_same_place(layer, source)
    assert layer.mode == "paint"
    assert widget.classify.choices["labels"].layer is layer
    paint(layer, (48, 30), (48, 130))
    painted = layer.data.copy()
    classes, probabilities = run_to_end(widget.classify, qtbot, probabilities=True, n_trees=30)
    truth = np.where(np.arange(160) < 80, 1, 2)
    assert np.mean(classes.data == truth) > 0.9
    assert type(classes).__name__ == "Labels"
    assert probabilities.data.shape == (2, 96, 160)
    for result in (classes, probabilities):
        assert_same_place(result, source)
        provenance_of(result, "classify-pixels")
    np.testing.assert_array_equal(layer.data, painted)


def test_one_label_is_not_enough(texture, qtbot):
    viewer, widget = texture
    widget.classify.add_paint_layer()
    paint(viewer.layers["wall paint"], (48, 30))
    assert "two" in run_and_fail(widget.classify, qtbot)


def test_a_file_that_is_no_bank_is_one_error(texture, qtbot, tmp_path):
    _, widget = texture
    path = tmp_path / "bank.npz"
    path.write_bytes(b"not a bank")
    widget.features.form.set_values({"bank": "file", "file": str(path)})
    assert run_and_fail(widget.features, qtbot).startswith("Texture features: ")


def test_both_can_be_cancelled(texture, qtbot):
    viewer, widget = texture
    large = np.random.default_rng(0).random((4, 400, 400), dtype=np.float32)
    viewer.add_image(large, name="large")
    widget.features.choices["image"].choose(viewer.layers["large"])
    run_and_cancel(widget.features, qtbot, n_kernels=8)
    widget.classify.choices["image"].choose(viewer.layers["large"])
    widget.classify.add_paint_layer()
    viewer.layers["large paint"].data[0, :9, :9] = 1
    viewer.layers["large paint"].data[0, 20:29, :9] = 2
    run_and_cancel(widget.classify, qtbot, n_trees=1000)


def test_labels_of_another_shape_disable_run(texture):
    viewer, widget = texture
    viewer.add_labels(np.ones((5, 5), np.uint8), name="small")
    widget.classify.choices["labels"].choose(viewer.layers["small"])
    assert not widget.classify.bar.run.isEnabled()
    assert "small has the shape" in widget.classify.bar.plan.text()
