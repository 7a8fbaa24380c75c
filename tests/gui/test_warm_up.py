"""What a form gets ready is all that its first preview needs."""

import subprocess
import sys

import pytest

from napari_convfact.gui.convolve import ConvolveWidget
from napari_convfact.gui.deconvolve import DeconvolveWidget
from napari_convfact.gui.gabor import GaborBankWidget

FIRST_PREVIEW = """
import sys
import numpy as np
from napari_convfact.foundation.job import run
from napari_convfact.gui.warm_up import load
from napari_convfact.operations.operation import SpatialImage
from napari_convfact.operations.registry import OPERATIONS

operation = OPERATIONS[sys.argv[1]]
load(tuple(sys.argv[2:]))
there = set(sys.modules)
image = np.random.default_rng(0).random((200, 200), dtype=np.float32)
inputs = {"image": SpatialImage(image, "image")}
if operation.name == "deconvolve":
    inputs["psf"] = SpatialImage(np.ones((5, 5)), "PSF")
run(operation.job(inputs, operation.parameters()))
print(*sorted(set(sys.modules) - there))
"""


@pytest.mark.parametrize(
    ("operation", "widget"),
    [
        ("deconvolve", DeconvolveWidget),
        ("convolve", ConvolveWidget),
        ("gabor", GaborBankWidget),
    ],
)
def test_the_first_preview_imports_nothing(operation, widget):
    command = [sys.executable, "-c", FIRST_PREVIEW, operation, *widget.computes_with]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
