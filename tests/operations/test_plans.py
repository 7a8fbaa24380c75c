"""Plans run in the viewer's main thread whenever a form changes: they must be light."""

import subprocess
import sys

import pytest

from napari_convfact.operations.registry import OPERATIONS

PLAN = """
import sys
import numpy as np
from napari_convfact.operations.operation import SpatialImage
from napari_convfact.operations.registry import OPERATIONS

image = SpatialImage(np.zeros((8, 64, 64), np.float32), scale=(0.5, 0.1, 0.1), units=("um",) * 3)
kernel = SpatialImage(np.ones((7, 7), np.float32))
given = {"image": image, "labels": image, "kernel": kernel, "psf": kernel, "kernels": kernel}
operation = OPERATIONS[sys.argv[1]]
plan = operation.plan({i.name: given[i.name] for i in operation.inputs}, operation.parameters())
assert plan.text and plan.memory > 0
print(*sys.modules)
"""


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_plan_loads_neither_torch_nor_numba(name):
    done = subprocess.run(
        [sys.executable, "-c", PLAN, name], capture_output=True, text=True, check=True, timeout=120
    )
    loaded = {module.split(".")[0] for module in done.stdout.split()}
    assert not loaded & {"torch", "numba", "sklearn", "pandas"}
