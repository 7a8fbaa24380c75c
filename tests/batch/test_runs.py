"""Runs that are killed, resumed, shared out: the same voxels, and no tile done twice."""

import json
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import zarr
from ome_zarr_models import open_ome_zarr
from tests.batch.tile_cases import (
    WIENER,
    Watch,
    blurred_beads,
    gaussian,
    limit,
    markers,
    relative_error,
    request,
    stop_after,
    wiener,
)

import napari_convfact as cf
from napari_convfact.batch import store
from napari_convfact.batch.manifest import WorkFolder, fingerprint
from napari_convfact.batch.methods.deconvolution import constants
from napari_convfact.batch.prepare import prepare_job
from napari_convfact.batch.process import process_tile
from napari_convfact.batch.request import Options
from napari_convfact.batch.run import tiled_job
from napari_convfact.batch.store import Destination, create_results
from napari_convfact.batch.tiles import make_tiling
from napari_convfact.batch.verify import status, verify_job
from napari_convfact.cli import main
from napari_convfact.foundation.job import run
from napari_convfact.kernels.bank import KernelBank
from napari_convfact.operations.deconvolve_parameters import Deconvolve
from napari_convfact.operations.operation import SpatialImage
from napari_convfact.storage import read_image

SCALE, UNITS = (0.2, 0.1), ("um", "um")


@pytest.mark.parametrize("share", [0, -5, 1, float("nan")])
def test_a_seam_error_is_a_share(share):
    with pytest.raises(ValueError, match="between 0 and 1"):
        Options(seam_error=share)


@pytest.mark.parametrize("change", [{"keep_every": 2}, {"warm_start": True}])
def test_what_tiles_would_leave_out_is_refused(change, files, tmp_path):
    job = tiled_job(wiener(files, tmp_path / "a.ome.zarr", method="richardson-lucy", **change))
    with pytest.raises(ValueError, match=f"{next(iter(change))} is made in memory only"):
        run(job)
    # Other methods know neither.
    run(prepare_job(wiener(files, tmp_path / "a.ome.zarr", **change), limit(4)))


@pytest.mark.parametrize("method", ["tikhonov", "richardson-lucy"])
@pytest.mark.parametrize("factor", [1e-25, 1e22])
def test_intensities_that_cannot_be_squared_are_refused(method, factor, files):
    """In memory they are deconvolved in a unit of their own."""
    image = SpatialImage(np.asarray(files["image"].data[:60, :70]) * np.float32(factor), "beads")
    parameters = Deconvolve(method=method, device="cpu")
    with pytest.raises(ValueError, match="multiply it by a constant"):
        run(constants({"image": image, "psf": gaussian(1.5)}, parameters))


def test_a_run_that_fails_before_its_first_tile_leaves_nothing(tmp_path):
    image = np.ones((600, 600), np.float32)
    image[300, 300] = np.nan
    cf.write_image(tmp_path / "holes.tif", SpatialImage(image, "holes"))
    inputs = {"image": read_image(tmp_path / "holes.tif")}
    output = tmp_path / "a.ome.zarr"
    job = tiled_job(request("convolve", inputs, output), limit(50))
    with pytest.raises(ValueError, match="NaN"):
        run(job)
    assert [path.name for path in tmp_path.iterdir()] == ["holes.tif"]


def test_a_cancelled_run_resumes_bit_equal_without_redoing_tiles(files, uninterrupted, tmp_path):
    output = tmp_path / "a.ome.zarr"
    stop_after(tiled_job(wiener(files, output), limit(4)), 3)
    assert not output.exists()
    assert status(output).done == 3
    before = markers(output)
    steps, watch = [], Watch(output)
    job = tiled_job(wiener(files, output), replace(limit(4), resume=True))
    for step in job:
        steps.append(step)
        watch(step)
    assert min(step.done for step in steps if step.total) == 3
    assert watch.latest.items() > before.items()
    np.testing.assert_array_equal(read_image(output).data[:], uninterrupted)
    assert not WorkFolder(output).path.exists()
    assert status(output).complete


def test_a_run_whose_file_was_deleted_is_told_so(files, tmp_path):
    output = tmp_path / "a.ome.zarr"
    stop_after(tiled_job(wiener(files, output), limit(4)), 3)
    shutil.rmtree(WorkFolder(output).path / output.name)
    with pytest.raises(ValueError, match=r"a.ome.zarr is gone from .*let it overwrite"):
        run(tiled_job(wiener(files, output), replace(limit(4), resume=True)))


SCRIPT = """
import sys, json
from pathlib import Path
from types import SimpleNamespace
sys.path.insert(0, {root!r})
from napari_convfact.storage import read_image
from napari_convfact.cli import main
from napari_convfact.foundation.job import run
from napari_convfact.batch.run import tiled_job
from tests.batch.tile_cases import limit, request
files = {{name: read_image(path) for name, path in json.loads({files!r}).items()}}
run(tiled_job(request("deconvolve", files, {output!r}, **json.loads({parameters!r})), limit(4)),
    lambda step: print(step.done, flush=True))
"""


def test_a_killed_process_leaves_a_run_that_resumes_bit_equal(files, uninterrupted, tmp_path):
    output = tmp_path / "a.ome.zarr"
    code = SCRIPT.format(
        root=str(Path(__file__).parents[2]),
        files=json.dumps({name: image.path for name, image in files.items()}),
        output=str(output),
        parameters=json.dumps(WIENER),
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if int(line) >= 2:
            process.send_signal(signal.SIGKILL)
            break
    process.wait(timeout=60)
    process.stdout.close()
    assert not output.exists()
    before = markers(output)
    assert 2 <= len(before) == status(output).done < status(output).total
    watch = Watch(output)
    run(tiled_job(wiener(files, output), replace(limit(4), resume=True)), watch)
    assert watch.latest.items() > before.items()
    np.testing.assert_array_equal(read_image(output).data[:], uninterrupted)


def test_a_changed_recipe_is_refused(files, tmp_path):
    output = tmp_path / "a.ome.zarr"
    stop_after(tiled_job(wiener(files, output), limit(4)), 1)
    resume = replace(limit(4), resume=True)
    with pytest.raises(ValueError, match=r"strength \(0\.01 before, 0\.02 now\)"):
        run(tiled_job(wiener(files, output, strength=0.02), resume))
    other = files | {"psf": gaussian(1.2)}
    with pytest.raises(ValueError, match="differs in the psf"):
        run(tiled_job(wiener(other, output), resume))
    values = np.asarray(files["image"].data).copy()
    values += 1
    changed = replace(files["image"], data=values)
    with pytest.raises(ValueError, match="differs in the image"):
        run(tiled_job(wiener(files | {"image": changed}, output), resume))


def test_a_changed_bank_file_is_refused(files, tmp_path):
    bank = tmp_path / "bank.npz"
    KernelBank(np.ones((2, 5, 5), np.float32)).save(bank)
    inputs, output = {"image": files["image"]}, tmp_path / "a.ome.zarr"
    job = request("convolve", inputs, output, kind="file", file=str(bank))
    stop_after(tiled_job(job, limit(4)), 1)
    KernelBank(np.eye(5, dtype=np.float32)[None].repeat(2, 0)).save(bank)
    with pytest.raises(ValueError, match="other kernels than the run was begun with"):
        run(tiled_job(job, replace(limit(4), resume=True)))


def test_a_marker_of_another_recipe_is_refused(files, tmp_path):
    output = tmp_path / "a.ome.zarr"
    stop_after(tiled_job(wiener(files, output), limit(4)), 1)
    next((WorkFolder(output).path / "done").iterdir()).write_text("other")
    with pytest.raises(ValueError, match="tiles of another recipe"):
        run(tiled_job(wiener(files, output), replace(limit(4), resume=True)))


@pytest.mark.parametrize("left", [0, 4, 17, 30])
def test_a_marker_that_a_crash_cut_short_marks_nothing(left, files, uninterrupted, tmp_path):
    output = tmp_path / "run.ome.zarr"
    stop_after(tiled_job(wiener(files, output), limit(4)), 2)
    work = WorkFolder(output)
    marker = next((work.path / "done").iterdir())
    marker.write_text(marker.read_text()[:left])
    (work.path / "done" / "Thumbs.db").write_bytes(b"from a file manager")
    assert status(output).done == 1
    (path,) = run(tiled_job(wiener(files, output), replace(limit(4), resume=True)))
    np.testing.assert_array_equal(read_image(path).data[:], uninterrupted)


def test_leftovers_are_named(files, tmp_path):
    output = tmp_path / "run.ome.zarr"
    stop_after(tiled_job(wiener(files, output), limit(4)), 1)
    record = output.with_name("run.ome.zarr.partial") / "run.json"
    record.write_text(record.read_text()[:100])
    with pytest.raises(ValueError, match="is damaged: delete run"):
        status(output)
    record.unlink()
    with pytest.raises(ValueError, match="in the way and holds no run"):
        run(tiled_job(wiener(files, output), limit(4)))


def test_removing_a_run_that_is_cut_short_leaves_nothing_in_the_way(files, tmp_path, monkeypatch):
    output = tmp_path / "run.ome.zarr"
    stop_after(tiled_job(wiener(files, output), limit(4)), 1)
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)  # as if killed there
    WorkFolder(output).remove()
    assert not WorkFolder(output).path.exists()


def test_an_unfinished_run_is_neither_mixed_nor_lost_without_a_word(files, uninterrupted, tmp_path):
    output = tmp_path / "a.ome.zarr"
    stop_after(tiled_job(wiener(files, output), limit(4)), 1)
    with pytest.raises(ValueError, match="left from an unfinished run"):
        run(tiled_job(wiener(files, output), limit(4)))
    assert status(output).done == 1
    run(tiled_job(wiener(files, output), replace(limit(4), overwrite=True)))
    np.testing.assert_array_equal(read_image(output).data[:], uninterrupted)


def test_shards_together_make_the_whole(files, uninterrupted, tmp_path):
    output = tmp_path / "a.ome.zarr"
    for index in (2, 3):
        paths = run(tiled_job(wiener(files, output), replace(limit(4), shard=(index, 3))))
        assert paths == []
        assert not output.exists()
    (path,) = run(tiled_job(wiener(files, output), replace(limit(4), shard=(1, 3))))
    np.testing.assert_array_equal(read_image(path).data[:], uninterrupted)
    with pytest.raises(ValueError, match="two whole numbers"):
        run(tiled_job(wiener(files, tmp_path / "b.zarr"), replace(limit(4), shard=(4, 3))))


def test_shards_that_start_together_agree(files, uninterrupted, tmp_path):
    output = tmp_path / "a.ome.zarr"
    options = [replace(limit(4), shard=(i, 3)) for i in (1, 2, 3)]
    with ThreadPoolExecutor(3) as pool:
        ends = list(pool.map(lambda o: run(tiled_job(wiener(files, output), o)), options))
    assert [output] in ends
    np.testing.assert_array_equal(read_image(output).data[:], uninterrupted)


def test_four_writers_at_once_leave_no_wrong_voxel(files, uninterrupted, tmp_path):
    plan = run(prepare_job(wiener(files, tmp_path / "a.zarr"), limit(4)))
    manifest, prepared = plan
    image, tiling = files["image"], prepared.tiling
    outputs = prepared.method.outputs
    create_results(tmp_path, manifest, outputs, image, {})
    destination = Destination(tmp_path, manifest.files, outputs, image, tiling)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            jobs = [
                pool.submit(process_tile, image.data, destination, tile, tiling.halo, prepared)
                for tile in tiling
            ]
            for job in jobs:
                job.result()
    np.testing.assert_array_equal(read_image(tmp_path / "a.zarr").data[:], uninterrupted)


def test_tiles_that_are_not_whole_shards_are_refused(files, tmp_path):
    manifest, prepared = run(prepare_job(wiener(files, tmp_path / "a.zarr"), limit(4)))
    image = files["image"]
    create_results(tmp_path, manifest, prepared.method.outputs, image, {})
    destination = Destination(
        tmp_path, manifest.files, prepared.method.outputs, image, prepared.tiling
    )
    core = prepared.tiling.core
    shifted = make_tiling((600, 700), 2, [c // 2 for c in core], (0, 0))
    with pytest.raises(ValueError, match="whole shards"):
        destination.write(shifted[0], [np.zeros(shifted[0].size, np.float32)])


def test_tiles_of_zeros_are_done_although_nothing_is_stored(tmp_path):
    inputs = {"image": SpatialImage(np.zeros((600, 700), np.uint8), "empty")}
    output = tmp_path / "a.zarr"
    job = request("convolve", inputs, output)
    stop_after(tiled_job(job, limit(6)), 2)
    folder = WorkFolder(output).path
    assert not (folder / "a.zarr" / "0" / "c").exists()
    steps = []
    run(tiled_job(job, replace(limit(6), resume=True)), steps.append)
    assert min(step.done for step in steps if step.total) == 2
    assert not read_image(output).data[:].any()


def test_the_result_is_valid_and_lies_on_its_source(files, tmp_path):
    output = tmp_path / "a.ome.zarr"
    run(tiled_job(wiener(files, output), limit(4)))
    open_ome_zarr(zarr.open_group(output, mode="r"))
    result = read_image(output)
    assert (result.scale, result.units, result.axis_labels) == (SCALE, UNITS, ("y", "x"))
    record = zarr.open_group(output, mode="r").attrs["napari_convfact"]
    assert record["operation"] == "deconvolve"
    assert record["parameters"]["strength"] == 0.01
    assert "tiles of" in record["summary"]["message"]
    assert "kernel" in record["summary"]


@pytest.mark.parametrize("memory", [4, 4000])
def test_the_result_lies_where_its_source_lies(files, tmp_path, memory):
    stored = replace(files["image"], data=np.asarray(files["image"].data), translate=(40.0, -3.0))
    path = cf.write_image(tmp_path / "there.ome.zarr", stored)
    arguments = ["deconvolve", str(path), "--psf", files["psf"].path, "--method", "wiener"]
    arguments += ["--strength", "0.1", "--boundary", "reflect", "-o", str(tmp_path / "a.ome.zarr")]
    arguments += ["--memory-limit", str(limit(memory).memory_limit)]
    assert main(arguments) == 0
    assert read_image(tmp_path / "a.ome.zarr").translate == (40.0, -3.0)


def test_random_tiles_are_verified(files, tmp_path):
    output = tmp_path / "a.ome.zarr"
    run(tiled_job(wiener(files, output), limit(4)))
    found = run(verify_job(output, count=3))
    assert 0 < found.seam_error <= found.predicted
    level = zarr.open_group(output, mode="r+")["0"]
    level[:] = level[:] + 50
    assert run(verify_job(output, count=1)).seam_error > 0.01
    cf.write_image(tmp_path / "plain.zarr", SpatialImage(np.zeros((4, 5)), "a"))
    with pytest.raises(ValueError, match="not the result of a run in tiles"):
        run(verify_job(tmp_path / "plain.zarr"))
    with pytest.raises(ValueError, match="At least one tile"):
        run(verify_job(output, count=0))
    with pytest.raises(ValueError, match="seed must be 0 or"):
        run(verify_job(output, seed=-1))


def test_a_source_of_another_shape_is_not_what_was_run_on(files, tmp_path):
    """As a layer that a viewer took from a file with more axes, or a file that was replaced."""
    source = tmp_path / "beads.ome.zarr"
    cf.write_image(source, files["image"])
    output = tmp_path / "a.ome.zarr"
    run(tiled_job(wiener({**files, "image": read_image(source)}, output), limit(4)))
    cropped = replace(files["image"], data=np.asarray(files["image"].data)[:500])
    cf.write_image(source, cropped, overwrite=True)
    with pytest.raises(
        ValueError, match=r"the shape \(500, 700\) and the recipe says \(600, 700\)"
    ):
        run(verify_job(output))


def test_lost_values_are_no_small_error(files, tmp_path):
    output = tmp_path / "a.ome.zarr"
    run(tiled_job(wiener(files, output), limit(4)))
    level = zarr.open_group(output, mode="r+")["0"]
    level[10, 20] = np.nan
    tiles = status(output).total
    found = run(verify_job(output, count=tiles))
    assert found.seam_error == np.inf
    assert "other voxels" in str(found)


def test_errors_are_relative_to_more_than_one_dark_tile(tmp_path):
    """A tile beside the specimen holds nothing but the ringing of its rim."""
    values = blurred_beads((300, 900)).data.astype(np.float32)
    values[:, :540] = 0
    cf.write_image(tmp_path / "image.tif", SpatialImage(values, "image"))
    cf.write_image(tmp_path / "psf.tif", gaussian(1.5))
    inputs = {name: cf.open_image(tmp_path / f"{name}.tif") for name in ("image", "psf")}
    output = tmp_path / "a.ome.zarr"
    run(tiled_job(wiener(inputs, output), limit(4)))
    found = run(verify_job(output, count=status(output).total))
    assert 0 < found.seam_error <= found.predicted


def test_renamed_results_are_verified(files, tmp_path):
    parameters = {"n_scales": 1, "n_orientations": 2, "strongest": True, "colours": False}
    output, renamed = tmp_path / "a.ome.zarr", tmp_path / "b.ome.zarr"
    run(tiled_job(request("gabor", {"image": files["image"]}, output, **parameters), limit(20)))
    output.rename(renamed)
    with pytest.raises(ValueError, match=r"b-strongest\.ome\.zarr is not beside"):
        run(verify_job(renamed))
    output.with_name("a-strongest.ome.zarr").rename(tmp_path / "b-strongest.ome.zarr")
    found = run(verify_job(renamed))
    assert found.seam_error <= found.predicted


def test_further_results_are_replaced_only_if_asked_for(files, tmp_path):
    parameters = {"n_scales": 1, "n_orientations": 2, "strongest": True, "colours": False}
    job = request("gabor", {"image": files["image"]}, tmp_path / "a.ome.zarr", **parameters)
    other = tmp_path / "a-strongest.ome.zarr"
    cf.write_image(other, SpatialImage(np.zeros((4, 5)), "mine"))
    with pytest.raises(ValueError, match=r"a-strongest\.ome\.zarr exists already"):
        run(tiled_job(job, limit(20)))
    assert [path.name for path in tmp_path.iterdir()] == [other.name]
    run(tiled_job(job, replace(limit(20), overwrite=True)))
    assert read_image(other).data.shape == (600, 700)


def test_results_of_which_some_have_their_names_are_completed(files, tmp_path, monkeypatch):
    parameters = {"n_scales": 1, "n_orientations": 2, "strongest": True, "colours": False}
    job = request("gabor", {"image": files["image"]}, tmp_path / "a.ome.zarr", **parameters)
    moved = []

    def killed_at_the_second(source, target):
        if moved:
            raise KeyboardInterrupt
        moved.append(target)
        source.replace(target)

    with monkeypatch.context() as patch:
        patch.setattr(store, "move_into_place", killed_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            run(tiled_job(job, limit(20)))
    paths = run(tiled_job(job, replace(limit(20), resume=True)))
    assert [path.name for path in paths] == ["a.ome.zarr", "a-strongest.ome.zarr"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)


@pytest.mark.parametrize("largest", [150_000, 50_000])
def test_a_device_without_memory_gets_smaller_windows(
    files, uninterrupted, tmp_path, monkeypatch, largest
):
    from napari_convfact.batch.methods.inverse_filter import InverseFilterTiles

    made = InverseFilterTiles.filter
    refused = []

    def scarce(self, padded):
        apply = made(self, padded)

        def limited(window, leading):
            if window.size > largest:
                refused.append(window.shape)
                raise torch.OutOfMemoryError
            return apply(window, leading)

        return limited

    monkeypatch.setattr(InverseFilterTiles, "filter", scarce)
    steps = []
    (path,) = run(tiled_job(wiener(files, tmp_path / "a.zarr"), limit(6.5)), steps.append)
    assert refused
    assert any("out of memory" in step.message for step in steps)
    assert relative_error(read_image(path).data[:], uninterrupted) < 1e-3


def test_a_device_with_no_memory_at_all_gives_up(files, tmp_path, monkeypatch):
    from napari_convfact.batch.methods.inverse_filter import InverseFilterTiles

    def none(self, padded):  # noqa: ARG001
        raise torch.OutOfMemoryError

    monkeypatch.setattr(InverseFilterTiles, "filter", none)
    with pytest.raises(torch.OutOfMemoryError):
        run(tiled_job(wiener(files, tmp_path / "a.zarr"), limit(6.5)))


def test_a_full_disk_is_noticed_before_the_work(files, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000.0))
    with pytest.raises(ValueError, match="the disk has 1 kB left"):
        run(tiled_job(wiener(files, tmp_path / "a.zarr"), limit(4)))
    assert list(tmp_path.iterdir()) == []


def test_fingerprints_tell_images_apart_by_their_voxels():
    data = np.zeros((50, 60), np.uint16)
    other = data.copy()
    other[7, 8] = 1
    assert fingerprint(data) == fingerprint(data.copy())
    assert fingerprint(data) != fingerprint(other)
    assert fingerprint(data) != fingerprint(data.astype(np.int32))
