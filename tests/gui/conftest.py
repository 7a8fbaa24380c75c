"""A real viewer needs a display: ``make test`` starts a virtual one."""

import os
import sys
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pytest
import scipy.ndimage

# Before napari is imported: tests must not touch the user's own settings.
os.environ["NAPARI_CONFIG"] = ""

from tests.gui.helpers import gaussian_psf

from napari_convfact.foundation.job import Step
from napari_convfact.operations.operation import Input, Operation, Plan, Result
from napari_convfact.operations.parameters import Field, Parameters

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    collect_ignore_glob = ["test_*.py"]


@dataclass(frozen=True)
class Count(Parameters):
    """Parameters of a job that only counts."""

    steps: Annotated[int, Field("Steps", "How far to count.", minimum=0, maximum=10**6)] = 3
    fail: Annotated[bool, Field("Fail", "Whether torch runs out of memory.")] = False


class CountingJob:
    """Counts, remembers whether it was closed, and can fail inside torch."""

    def __init__(self):
        self.closed = 0
        self.reached = 0

    def __call__(self, inputs, parameters):
        try:
            data = np.asarray(inputs["image"].data)
            for done in range(parameters.steps):
                self.reached = done
                yield Step(done, parameters.steps, "counting", preview=np.zeros(data.shape))
            if parameters.fail:
                import torch

                raise torch.OutOfMemoryError("no memory left")
            return [Result(data * 2.0, f"{inputs['image'].name} counted", summary={"sum": 1.5})]
        finally:
            self.closed += 1


@pytest.fixture
def counting():
    """An operation that counts, with its job as ``operation.job``."""
    return Operation(
        "count",
        "Count",
        "Counts.",
        Count,
        (Input("image", "Image", "Any image."),),
        CountingJob(),
        plan=lambda _, parameters: Plan(f"Counts to {parameters.steps}.", 1e6),
    )


@pytest.fixture
def viewer(make_napari_viewer):
    """A viewer with one calibrated, shifted volume."""
    viewer = make_napari_viewer()
    viewer.add_image(
        np.random.default_rng(0).random((4, 30, 40), dtype=np.float32),
        name="cells",
        scale=(0.5, 0.1, 0.1),
        translate=(1, 2, 3),
        units=("um", "um", "um"),
        axis_labels=("z", "y", "x"),
    )
    return viewer


PLACE = {
    "scale": (0.5, 0.1, 0.1),
    "translate": (1, 2, 3),
    "units": ("um", "um", "um"),
    "axis_labels": ("z", "y", "x"),
}


@pytest.fixture
def deconvolve(make_napari_viewer):
    """A viewer with a blurred volume and its PSF, and the widget."""
    viewer = make_napari_viewer()
    scene = np.zeros((4, 48, 56), dtype=np.float32)
    scene[1:3, 10:30, 20:24] = 100
    blurred = scipy.ndimage.convolve(scene, gaussian_psf(), mode="reflect")
    blurred += np.random.default_rng(0).normal(0, 0.1, blurred.shape).astype(np.float32)
    viewer.add_image(blurred, name="cells", **PLACE)
    viewer.add_image(gaussian_psf(), name="PSF", scale=PLACE["scale"], units=PLACE["units"])
    _, widget = viewer.window.add_plugin_dock_widget("napari-convfact", "Deconvolve")
    widget.form.set_values({"strength": 1e-4, "boundary": "reflect"})
    return viewer, widget, scene


@pytest.fixture
def flat_psf():
    """A PSF for pictures."""
    return gaussian_psf((1, 9, 9))[0]
