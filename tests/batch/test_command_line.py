"""``convfact`` with an image that is larger than the memory limit."""

import json
import re

import numpy as np
import pytest
from tests.batch.tile_cases import blurred_beads, gaussian, relative_error

import napari_convfact as cf
from napari_convfact.batch.plan import BASE_MEMORY
from napari_convfact.batch.results import open_results
from napari_convfact.cli import main
from napari_convfact.operations.operation import SpatialImage

LIMIT = f"{BASE_MEMORY / 1e6 + 4}MB"
WIENER = ["--method", "wiener", "--boundary", "reflect", "--strength", "0.01"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    image = SpatialImage(blurred_beads((600, 700)).data, "a", (0.2, 0.1), ("um",) * 2, ("y", "x"))
    psf = SpatialImage(gaussian(1.5).data, "psf", (0.2, 0.1), ("um",) * 2, ("y", "x"))
    cf.write_image(folder / "beads.tif", image)
    cf.write_image(folder / "beads.ome.zarr", image)
    cf.write_image(folder / "psf.tif", psf)
    return folder


def arguments(files, output, *more, image="beads.ome.zarr", limit=LIMIT):
    psf = ["--psf", str(files / "psf.tif")]
    limits = ["--memory-limit", limit] if limit else []
    return ["deconvolve", str(files / image), *psf, "-o", str(output), *WIENER, *limits, *more]


@pytest.mark.parametrize("image", ["beads.ome.zarr", "beads.tif"])
def test_what_does_not_fit_is_tiled(files, tmp_path, image, capsys):
    output = tmp_path / "out.ome.zarr"
    assert main(arguments(files, output, image=image)) == 0
    assert "complete, " in capsys.readouterr().out
    assert main(arguments(files, tmp_path / "whole.ome.zarr", image=image, limit=None)) == 0
    tiles, whole = (cf.read_image(path) for path in (output, tmp_path / "whole.ome.zarr"))
    assert relative_error(tiles.data[:], whole.data[:]) < 1e-3
    assert tiles.scale == whole.scale == (0.2, 0.1)
    assert main(["verify", str(output), "--tiles", "2"]) == 0
    assert "2 tiles recomputed with a doubled halo" in capsys.readouterr().out


def test_the_plan_is_printed_and_nothing_is_written(files, tmp_path, capsys):
    assert main(["plan", *arguments(files, tmp_path / "out.ome.zarr")]) == 0
    printed = capsys.readouterr().out
    assert "In memory: about" in printed
    assert "predicted error at the seams" in printed
    assert re.search(r"About \d+ (s|min) in one process", printed)
    assert list(tmp_path.iterdir()) == []


def test_shards_status_and_the_last_one_completes(files, tmp_path, capsys):
    output = tmp_path / "out.ome.zarr"
    assert main(arguments(files, output, "--shard", "1/2")) == 0
    assert main(["status", str(output)]) == 0
    assert re.search(r"tiles are done, about .* left; .* computing \d+ %", capsys.readouterr().out)
    assert main(arguments(files, output)) == 2
    assert "unfinished run" in capsys.readouterr().err
    assert main(arguments(files, output, "--resume")) == 0
    assert output.is_dir()
    # A job array may be submitted once more than needed, but not for another result.
    assert main(arguments(files, output, "--shard", "1/2")) == 0
    assert main(arguments(files, output, "--shard", "1/2", "--strength", "0.5")) == 2
    assert "made with another recipe" in capsys.readouterr().err
    assert main(arguments(files, output)) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_recipe_runs_in_tiles(files, tmp_path):
    assert main(arguments(files, tmp_path / "a.ome.zarr")) == 0
    (result,) = open_results(tmp_path / "a.ome.zarr")
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(result.record))
    command = ["run", str(recipe), "-o", str(tmp_path / "b.ome.zarr"), "--memory-limit", LIMIT]
    assert main(command) == 0
    again = cf.read_image(tmp_path / "b.ome.zarr").data[:]
    np.testing.assert_array_equal(again, result.levels[0][:])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["-o", "out.tif"], "ends in .ome.zarr"),
        (["--residual"], "residual is made in memory only"),
        (["--memory-limit", "1MB"], "the program itself takes"),
        (["--memory-limit", "much"], "2GB"),
        (["--shard", "3/2"], "1/8"),
        (["--scheduler", "local:"], "local:2"),
    ],
)
def test_what_cannot_be_done_is_one_line(files, tmp_path, more, words, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        status = main(arguments(files, tmp_path / "out.ome.zarr", *more))
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_operations_that_need_the_whole_image_say_so(files, tmp_path, capsys):
    command = ["factorize", str(files / "psf.tif"), "-o", str(tmp_path / "a.ome.zarr")]
    assert main([*command, "--shard", "1/2"]) == 2
    assert "in memory only" in capsys.readouterr().err


def test_status_of_nothing_is_an_error(tmp_path, capsys):
    assert main(["status", str(tmp_path / "none.ome.zarr")]) == 2
    assert "not the result of a run in tiles" in capsys.readouterr().err
    (tmp_path / "notes.txt").write_text("words")
    assert main(["status", str(tmp_path / "notes.txt")]) == 2
    assert "not the result of a run in tiles" in capsys.readouterr().err


def test_results_are_opened_for_the_viewer(files, tmp_path):
    output = tmp_path / "out.ome.zarr"
    assert open_results(output) == []
    main(arguments(files, output, "--shard", "1/2"))
    (filling,) = open_results(output)
    assert filling.levels[0].shape == (600, 700)
    assert filling.levels[-1].shape[0] < 600
    main(arguments(files, output, "--shard", "2/2"))
    (complete,) = open_results(output)
    options = complete.layer_options()
    assert options["scale"] == (0.2, 0.1)
    low, high = options["contrast_limits"]
    assert low < high
    assert options["metadata"]["napari_convfact"]["operation"] == "deconvolve"


def test_lazy_arrays_of_a_viewer_are_sliced(tmp_path):
    dask = pytest.importorskip("dask.array")
    from tests.batch.tile_cases import limit, request

    from napari_convfact.foundation.job import run

    image = blurred_beads((600, 700))
    lazy = SpatialImage(dask.from_array(image.data, chunks=(128, 128)), "lazy")
    from napari_convfact.batch.run import tiled_job

    values = []
    for item, name in ((image, "a"), (lazy, "b")):
        job = request("convolve", {"image": item}, tmp_path / f"{name}.zarr")
        run(tiled_job(job, limit(6)))
        values.append(cf.read_image(tmp_path / f"{name}.zarr").data[:])
    np.testing.assert_array_equal(*values)
