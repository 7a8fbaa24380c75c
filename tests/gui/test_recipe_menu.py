"""A script and a recipe give the numbers of the layer, wherever its image came from."""

import numpy as np
import pytest
import skimage.io
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QApplication
from tests.gui.helpers import finish, open_widget, run_to_end

import napari_convfact as cf
from napari_convfact.cli import main
from napari_convfact.foundation.job import run
from napari_convfact.gui import recipe_menu
from napari_convfact.gui.recipe_menu import RecipeMenu

_RNG = np.random.default_rng(0)
PICTURE = _RNG.random((40, 50)).astype(np.float32)
COLOURS = _RNG.integers(0, 255, (40, 50, 3), dtype=np.uint8)


def from_png(viewer, folder):
    skimage.io.imsave(folder / "cells.png", COLOURS)
    viewer.open(folder / "cells.png", plugin="napari")


def with_another_voxel_size(viewer, folder):
    image = cf.SpatialImage(PICTURE, "cells", (0.1, 0.1), ("um", "um"))
    cf.write_image(folder / "cells.tif", image)
    viewer.open(folder / "cells.tif", plugin="napari", scale=(0.3, 0.3), units=("um", "um"))


def changed_since_it_was_read(viewer, folder):
    cf.write_image(folder / "cells.tif", cf.SpatialImage(PICTURE, "cells"))
    viewer.open(folder / "cells.tif", plugin="napari")
    viewer.layers[0].data = PICTURE[::-1].copy()


LAYERS = {
    "colour": lambda viewer, _: viewer.add_image(COLOURS, rgb=True),
    "pyramid": lambda viewer, _: viewer.add_image([PICTURE, PICTURE[::2, ::2]]),
    "PNG": from_png,
    "voxel size": with_another_voxel_size,
    "changed": changed_since_it_was_read,
}


@pytest.fixture(params=LAYERS)
def ran(request, make_napari_viewer, qtbot, monkeypatch, tmp_path):
    """A menu and the viewer after a run on a layer."""
    monkeypatch.chdir(tmp_path)
    viewer = make_napari_viewer()
    LAYERS[request.param](viewer, tmp_path)
    psf = np.outer(*[np.hanning(9)[1:-1].astype(np.float32)] * 2)
    viewer.add_image(psf, name="PSF", scale=(0.2, 0.2), units=("um", "um"))
    widget = open_widget(viewer, "Deconvolve")
    (layer,) = run_to_end(widget, qtbot, method="wiener", strength=0.1)
    return viewer, widget.findChild(RecipeMenu), layer


def test_copy_as_python(ran, qtbot):
    viewer, menu, layer = ran
    menu.copy_as_python()
    finish(menu, qtbot)
    scope = {"viewer": viewer}
    exec(QApplication.clipboard().text(), scope)
    np.testing.assert_array_equal(scope["results"][0].data, layer.data)


def test_a_recipe(ran, qtbot, tmp_path):
    _, menu, layer = ran
    menu.save(tmp_path / "recipe.json")
    finish(menu, qtbot)
    assert main(["run", str(tmp_path / "recipe.json"), "-o", str(tmp_path / "again.tif")]) == 0
    np.testing.assert_array_equal(cf.read_image(tmp_path / "again.tif").data, layer.data)


def test_a_recipe_that_cannot_be_written(ran, qtbot, tmp_path):
    _, menu, _ = ran
    notification_manager.records.clear()
    menu.save(tmp_path / "no folder" / "recipe.json")
    finish(menu, qtbot)
    errors = [r.message for r in notification_manager.records if r.severity == "error"]
    assert len(errors) == 1
    assert "no folder" in errors[0]
    assert menu.isEnabled()


def test_a_mapped_file_is_not_read_to_compare_it_with_itself(tmp_path, monkeypatch):
    values = np.random.default_rng(0).random((20, 30))
    np.save(tmp_path / "a.npy", values)
    monkeypatch.setattr(recipe_menu, "read_image", None)
    image = cf.open_image(tmp_path / "a.npy")
    assert isinstance(image.data, np.memmap)
    kept = run(recipe_menu._compared_with_files({"image": image}))
    assert kept["image"].path == image.path
