"""One run of the large-data benchmark, in a process of its own: what it costs is printed.

``python large_data_run.py '{"way": "loop", ...}'``. The ways: ``loop`` processes tiles one after
the other, ``workers`` on two dask workers, ``memory`` does the same operation in one piece.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from napari_convfact.batch.prepare import prepare_job
from napari_convfact.batch.request import Options, Request
from napari_convfact.batch.run import tiled_job
from napari_convfact.batch.store import costs_of, manifest_of
from napari_convfact.foundation.job import run
from napari_convfact.operations.registry import find_operation
from napari_convfact.storage.formats import open_image

WORKERS = 2
# A piece with which the in-memory run warms up: compilers and caches.
_WARM_UP = (slice(0, 64), slice(0, 192), slice(0, 192))


def main() -> None:
    """Do what the first argument says."""
    task: dict[str, Any] = json.loads(sys.argv[1])
    operation = find_operation(task["operation"])
    inputs = {name: open_image(path) for name, path in task["inputs"].items()}
    parameters = operation.parameters.from_dict(task["parameters"])
    request = Request(operation, parameters, inputs, Path(task["output"]))
    clock = time.perf_counter()
    if task["way"] == "memory":
        found = in_memory(request)
    else:
        found = in_tiles(request, task["memory_limit"], workers=task["way"] == "workers")
    found |= {
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "processor": processor_seconds(),
        "seconds": time.perf_counter() - clock,
    }
    print(json.dumps(found))


def processor_seconds() -> float:
    """Return what this process took, with its children and what they waited for."""
    own = psutil.Process()
    return float(sum(sum(p.cpu_times()[:4]) for p in (own, *own.children(recursive=True))))


def in_tiles(request: Request, memory_limit: float, *, workers: bool) -> dict[str, Any]:
    """Process tiles; return the plan and what its phases cost."""
    scheduler = f"local:{WORKERS}" if workers else None
    limit = memory_limit * (WORKERS if workers else 1)
    run(tiled_job(request, Options(memory_limit=limit, scheduler=scheduler)))
    plan = manifest_of(request.output).plan
    return {
        "plan": asdict(plan),
        "voxels": plan.overhead * np.prod(plan.tiling.shape),
        "phases": costs_of(request.output).processor,
    }


def in_memory(request: Request) -> dict[str, Any]:
    """Run in one piece; return what computing costs, without reading."""
    whole = run(prepare_job(request, Options(memory_limit=1e15)))[0].plan
    read = {name: replace(i, data=np.asarray(i.data)) for name, i in request.inputs.items()}
    for window in (_WARM_UP, ...):
        part = replace(read["image"], data=np.ascontiguousarray(read["image"].data[window]))
        before = time.process_time()
        run(request.operation.job(read | {"image": part}, request.parameters))
        computing = time.process_time() - before
    voxels = whole.overhead * np.prod(whole.tiling.shape)
    return {"voxels": voxels, "phases": {"computing": computing}}


if __name__ == "__main__":
    main()
