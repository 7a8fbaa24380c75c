"""The form guesses which layer is for what, and lets go of a guess but not of a choice."""

import numpy as np
import pytest
from tests.gui.helpers import gaussian_psf, open_widget


@pytest.fixture
def empty(make_napari_viewer):
    """A viewer without layers, and the Deconvolve widget."""
    viewer = make_napari_viewer()
    return viewer, open_widget(viewer, "Deconvolve")


def chosen(widget):
    layers = {item.name: widget.choices[item.name].layer for item in widget.operation.inputs}
    return {name: layer.name if layer else None for name, layer in layers.items()}


def choose_by_hand(choice, index):
    """Choose as a user does, with the keyboard or the mouse."""
    choice.setCurrentIndex(index)
    choice.activated.emit(index)


def test_a_lone_image_is_not_its_own_psf(empty):
    viewer, widget = empty
    viewer.add_image(np.zeros((60, 64)), name="cells")
    assert chosen(widget) == {"image": "cells", "psf": None}
    assert "“PSF”" in widget.bar.plan.text()
    assert not widget.bar.run.isEnabled()


@pytest.mark.parametrize("order", [("cells", "PSF"), ("PSF", "cells")])
def test_the_order_of_opening_does_not_matter(empty, order):
    viewer, widget = empty
    data = {"cells": np.zeros((60, 64)), "PSF": gaussian_psf()[1]}
    for name in order:
        viewer.add_image(data[name], name=name)
    assert chosen(widget) == {"image": "cells", "psf": "PSF"}


def test_what_the_user_chose_stays(empty):
    viewer, widget = empty
    viewer.add_image(np.zeros((60, 64)), name="cells")
    viewer.add_image(np.zeros((50, 50)), name="average")
    choose_by_hand(widget.choices["psf"], 1)
    viewer.add_image(gaussian_psf()[1], name="PSF")
    assert chosen(widget)["psf"] == "average"
    viewer.layers.remove("average")
    assert chosen(widget)["psf"] == "PSF"


def test_a_guess_stays_when_there_is_no_better_one(empty):
    viewer, widget = empty
    for name in ("cells", "average", "a result"):
        viewer.add_image(np.zeros((60, 64)), name=name)
    assert chosen(widget) == {"image": "cells", "psf": "average"}


def test_none_stays_chosen(make_napari_viewer):
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((60, 64)), name="cells")
    widget = open_widget(viewer, "Make kernel")
    choose_by_hand(widget.choices["image"], 0)
    viewer.add_image(np.zeros((60, 64)), name="more")
    assert chosen(widget) == {"image": None}


def test_what_was_run_stays(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    widget = open_widget(viewer, "Make kernel")
    widget.form.set_values({"kind": "gaussian"})
    with qtbot.waitSignal(widget.runner.finished, timeout=60_000):
        widget.run()
    assert len(viewer.layers) == 1
    assert chosen(widget) == {"image": None}


def test_the_plan_follows_the_layer(empty):
    viewer, widget = empty
    viewer.add_image(np.zeros((60, 64)), name="cells")
    viewer.add_image(gaussian_psf()[1], name="PSF")
    assert "60 × 64" in widget.bar.plan.text()
    viewer.layers["cells"].data = np.zeros((50, 40))
    assert "50 × 40" in widget.bar.plan.text()


def test_run_is_offered_when_the_layer_has_what_it_lacked(make_napari_viewer):
    viewer = make_napari_viewer()
    layer = viewer.add_image(np.zeros((60, 64)), name="cells")
    widget = open_widget(viewer, "Make kernel")
    assert "voxel size is not known" in widget.bar.plan.text()
    layer.scale = (0.1, 0.1)
    layer.units = ("um", "um")
    assert widget.bar.run.isEnabled()


def test_long_names_keep_their_end(empty):
    viewer, widget = empty
    choice = widget.choices["image"]
    name = "a movie of many cells " * 10
    for end in ("raw", "deconvolved"):
        layer = viewer.add_image(np.zeros((60, 64)), name=name + end)
        choice.choose(layer)
        shown = choice.shown_name()
        assert shown.endswith(end)
        assert choice.fontMetrics().horizontalAdvance(shown) <= choice.width()
    viewer.add_image(np.zeros((60, 64)), name="cells")
    choice.choose(viewer.layers["cells"])
    assert choice.shown_name() == "cells"


@pytest.mark.parametrize("order", [("beads", "cells", "PSF from beads"), ("PSF", "cells", "beads")])
def test_a_psf_is_more_of_a_psf_than_the_beads_it_was_measured_from(empty, order):
    viewer, widget = empty
    for name in order:
        viewer.add_image(np.zeros((60, 64)), name=name)
    assert "PSF" in chosen(widget)["psf"]
    assert chosen(widget)["image"] == "cells"


def test_one_bead_is_no_image(empty):
    viewer, widget = empty
    for name in ("Bead_Image1_crop", "cells"):
        viewer.add_image(np.zeros((60, 64)), name=name)
    assert chosen(widget) == {"image": "cells", "psf": "Bead_Image1_crop"}
