"""Tiles on other processes: the same voxels, whatever happens to them."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest
from tests.batch.tile_cases import Watch, blurred_beads, gaussian, limit, markers, wiener

from napari_convfact.batch.cluster import batches
from napari_convfact.batch.manifest import WorkFolder
from napari_convfact.batch.run import tiled_job
from napari_convfact.batch.tiles import make_tiling
from napari_convfact.foundation.job import run
from napari_convfact.storage import read_image

pytest.importorskip("distributed")


def test_local_workers_give_the_same_bits(files, uninterrupted, tmp_path):
    output = tmp_path / "a.ome.zarr"
    options = replace(limit(4), scheduler="local:2")
    options = replace(options, memory_limit=2 * options.memory_limit)
    run(tiled_job(wiener(files, output), options))
    np.testing.assert_array_equal(read_image(output).data[:], uninterrupted)


def test_a_wrong_address_leaves_nothing(files, tmp_path):
    options = replace(limit(50), scheduler="nowhere")
    with pytest.raises((ValueError, OSError)):
        run(tiled_job(wiener(files, tmp_path / "a.ome.zarr"), options))
    assert not list(tmp_path.iterdir())


def test_a_run_leaves_the_environment_as_it_was(files, tmp_path):
    before = dict(os.environ)
    options = replace(limit(50), scheduler="local:1")
    run(tiled_job(wiener(files, tmp_path / "a.ome.zarr"), options))
    assert dict(os.environ) == before


def worker_processes():
    """Return dask's workers: spawned by this process, or forked by the one that it started."""
    own = psutil.Process()
    return [
        child
        for child in own.children(recursive=True)
        if child.ppid() != own.pid or "spawn_main" in " ".join(child.cmdline())
    ]


def test_a_killed_worker_costs_no_tile(files, tmp_path):
    slow = {"method": "richardson-lucy", "iterations": 30, "accelerate": False}
    expected = tmp_path / "expected.ome.zarr"
    run(tiled_job(wiener(files, expected, **slow), limit(7)))
    output = tmp_path / "a.ome.zarr"
    killed, watch = [], Watch(output)

    def kill_one(step):
        watch(step)  # what is done stays as it is, also what the dead worker did
        if step.done and not killed:
            workers = worker_processes()
            assert len(workers) == 2
            workers[0].kill()
            killed.append(workers[0].pid)

    options = replace(limit(7), scheduler="local:2")
    options = replace(options, memory_limit=2 * options.memory_limit)
    run(tiled_job(wiener(files, output, **slow), options), kill_one)
    assert killed
    np.testing.assert_array_equal(read_image(output).data[:], read_image(expected).data[:])


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent in another way")
def test_ctrl_c_ends_the_workers_in_one_line(files, tmp_path):
    output = tmp_path / "a.ome.zarr"
    command = [sys.executable, "-m", "napari_convfact.cli", "deconvolve", files["image"].path]
    command += ["--psf", files["psf"].path, "-o", str(output), "--scheduler", "local:2"]
    command += ["--method", "richardson-lucy", "--iterations", "200", "--memory-limit", "900MB"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: WorkFolder(output).exists() and markers(output))
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "convfact: cancelled"
    assert "Traceback" not in said
    assert not output.exists()
    wait_for(lambda: not is_running(process.pid), 20)


def is_running(group):
    """Whether any process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(happened, seconds=120):
    """Wait until something has happened."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


CLUSTER = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


def test_a_scheduler_elsewhere_is_found_by_its_address(files, uninterrupted, tmp_path):
    script = tmp_path / "cluster.py"
    script.write_text(CLUSTER)
    cluster = subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        address = cluster.stdout.readline().strip()
        assert address.startswith("tcp://")
        output = tmp_path / "a.ome.zarr"
        run(tiled_job(wiener(files, output), replace(limit(4), scheduler=address)))
    finally:
        cluster.communicate(timeout=60)
    np.testing.assert_array_equal(read_image(output).data[:], uninterrupted)


def test_workers_need_files(tmp_path):
    inputs = {"image": blurred_beads((600, 700)), "psf": gaussian(1.5)}
    options = replace(limit(50), scheduler="local:1")
    with pytest.raises(ValueError, match="not in a file"):
        run(tiled_job(wiener(inputs, tmp_path / "a.zarr"), options))


@pytest.mark.parametrize("scheduler", ["local:", "local:0", "local:x"])
def test_a_scheduler_that_is_none(files, scheduler, tmp_path):
    with pytest.raises(ValueError, match="local:2"):
        run(tiled_job(wiener(files, tmp_path / "a.zarr"), replace(limit(4), scheduler=scheduler)))


def test_tiles_with_short_windows_go_together():
    tiling = make_tiling((2048 * 9, 2048 * 10), 2, (4096, 4096), (8, 8))
    todo = sorted(range(len(tiling)), key=tiling.order)
    found = batches(todo, tiling)
    assert sorted(number for batch in found for number in batch) == list(range(len(tiling)))
    assert [len(batch) for batch in found] == [5] + [1] * 20
    assert {tiling.window(tiling[number])[1] for number in found[0]} == {(2064, 4112)}


def test_neighbouring_planes_go_together_and_every_worker_has_some():
    tiling = make_tiling((64, 512, 512), 2, (512, 512), (8, 8))
    found = batches(range(64), tiling, workers=2)
    assert found == [list(range(first, first + 8)) for first in range(0, 64, 8)]
    assert [len(batch) for batch in batches(range(64), tiling, workers=100)] == [1] * 64
