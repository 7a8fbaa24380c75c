"""The command line: files in, files out, one line and status 2 when it cannot."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile

import napari_convfact as cf
from napari_convfact.cli import main
from napari_convfact.kernels.bank import KernelBank


@pytest.fixture
def files(tmp_path):
    """A blurred picture and its PSF in files."""
    rng = np.random.default_rng(0)
    image = cf.SpatialImage(
        rng.random((40, 44), dtype=np.float32), "cells", (0.1, 0.1), ("um", "um"), ("y", "x")
    )
    psf = np.outer(np.hanning(7), np.hanning(9)).astype(np.float32)
    cf.write_image(tmp_path / "cells.tif", image)
    cf.write_image(
        tmp_path / "psf.tif", cf.SpatialImage(psf, "psf", (0.1, 0.1), ("um", "um"), ("y", "x"))
    )
    return tmp_path


def arguments(files, *more, output="out.tif"):
    return [
        "deconvolve", str(files / "cells.tif"), "--psf", str(files / "psf.tif"),
        "-o", str(files / output), *more,
    ]  # fmt: skip


def test_it_deconvolves_a_file(files, capsys):
    assert main(arguments(files, "--strength", "0.01")) == 0
    result = cf.read_image(files / "out.tif")
    psf, _ = cf.prepare_kernel(cf.read_image(files / "psf.tif").data)
    image = cf.read_image(files / "cells.tif")
    expected = cf.deconvolve(image.data, psf, strength=0.01).estimate
    np.testing.assert_array_equal(result.data, expected)
    assert result.scale == image.scale
    printed = capsys.readouterr()
    assert "strength: 0.01" in printed.out
    assert printed.err == ""


def record_in(path):
    """Return the provenance record that an OME-TIFF carries."""
    with tifffile.TiffFile(path) as file:
        text = file.ome_metadata
    part = text[text.index('K="napari_convfact">') + 20 :].split("</M>")[0]
    return json.loads(part.replace("&quot;", '"'))


def test_the_result_carries_its_recipe(files, tmp_path):
    assert main(arguments(files, "--strength", "0.01", "--residual")) == 0
    assert (files / "out-residual.tif").is_file()
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(record_in(files / "out.tif")))
    assert main(["run", str(recipe), "-o", str(files / "again.tif")]) == 0
    np.testing.assert_array_equal(
        cf.read_image(files / "again.tif").data, cf.read_image(files / "out.tif").data
    )


def test_a_recipe_knows_an_image_that_was_changed_since(files, capsys):
    assert main(arguments(files, "--strength", "0.01")) == 0
    (files / "recipe.json").write_text(json.dumps(record_in(files / "out.tif")))
    cells = cf.read_image(files / "cells.tif")
    changed = replace(cells, data=cells.data[::-1])
    cf.write_image(files / "cells.tif", changed, overwrite=True)
    command = ["run", str(files / "recipe.json"), "-o", str(files / "again.tif")]
    capsys.readouterr()
    assert main(command) == 2
    assert "cells.tif holds other values than the recipe was made with" in capsys.readouterr().err
    assert main([*command, "--input", f"image={files / 'cells.tif'}"]) == 0


def test_a_recipe_written_by_hand_needs_paths_only(files):
    recipe = {
        "operation": "deconvolve",
        "parameters": {"strength": 0.01},
        "sources": {"image": {"path": "cells.tif"}, "psf": {"path": "psf.tif"}},
    }
    (files / "recipe.json").write_text(json.dumps(recipe))
    assert main(["run", str(files / "recipe.json"), "-o", str(files / "again.tif")]) == 0
    assert main(arguments(files, "--strength", "0.01")) == 0
    again, out = cf.read_image(files / "again.tif"), cf.read_image(files / "out.tif")
    np.testing.assert_array_equal(again.data, out.data)
    assert again.scale == out.scale


@pytest.mark.parametrize(
    ("parts", "more", "words"),
    [
        ({"parameters": None}, [], "must be named values"),
        ({"sources": [1]}, [], "must be named values"),
        ({"sources": {"image": "cells.tif"}}, [], "must be named values"),
        ({}, ["--input", "psff=psf.tif"], "no input 'psff': it takes image, psf"),
    ],
)
def test_a_recipe_that_cannot_be_run_is_one_line(files, parts, more, words, capsys):
    (files / "recipe.json").write_text(json.dumps({"operation": "deconvolve"} | parts))
    assert main(["run", str(files / "recipe.json"), "-o", str(files / "again.tif"), *more]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_folder_gives_a_file_for_each_and_says_what_failed(files, capsys):
    folder = files / "many"
    folder.mkdir()
    for name in ("a.npy", "b.npy"):
        np.save(folder / name, np.random.default_rng(1).random((30, 30)))
    (folder / "c.tif").write_bytes(b"junk")
    command = ["deconvolve", str(folder), "--psf", str(files / "psf.tif"), "-o"]
    command += [str(files / "done"), "--strength", "0.1"]
    assert main(command) == 2
    printed = capsys.readouterr()
    assert sorted(p.name for p in (files / "done").iterdir()) == ["a.npy", "b.npy"]
    assert "1 of 3 files failed: c.tif" in printed.err
    (folder / "c.tif").unlink()
    assert main(command) == 0
    assert capsys.readouterr().out.count("skipped") == 2


def test_hidden_files_of_a_folder_are_no_images(files, capsys):
    folder = files / "from-a-mac"
    folder.mkdir()
    np.save(folder / "a.npy", np.random.default_rng(1).random((30, 30)))
    (folder / "._a.npy").write_bytes(b"\0\x05\x16\x07")
    assert main(["convolve", str(folder), "-o", str(files / "done")]) == 0
    assert [p.name for p in (files / "done").iterdir()] == ["a.npy"]
    assert capsys.readouterr().err == ""


BAD = [
    (["--method", "magic"], "magic"),
    (["--strength", "-1"], "strength must be a number"),
    (["--strength", "much"], "not a number"),
    (["--device", "gpu"], "Unknown device"),
    (["--rcond", "2", "--method", "pseudo-inverse"], "rcond must be"),
    (["--seam-error", "nan"], "must be a number between 0 and 1"),
    (["--seam-error", "-5"], "must be a number between 0 and 1"),
]


@pytest.mark.parametrize(("more", "words"), BAD)
def test_bad_arguments_are_refused_without_a_file(files, more, words, capsys):
    try:
        status = main(arguments(files, *more))
    except SystemExit as stop:  # argparse's own way
        status = stop.code
    assert status == 2
    error = capsys.readouterr().err
    assert words in error.splitlines()[-1]
    assert not (files / "out.tif").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("cells.tif", np.full((40, 44), np.nan, np.float32), "1760 values"),
        ("cells.tif", np.ones((40, 44), np.complex64), "complex"),
        ("psf.tif", np.zeros((5, 5), np.float32), "zero everywhere"),
        ("psf.tif", np.ones((3, 5, 5), np.float32), "3 axes"),
        ("psf.tif", -np.ones((5, 5), np.float32), "negative|positive"),
    ],
)
def test_bad_files_are_one_line_and_no_output(files, name, content, words, capsys):
    tifffile.imwrite(files / name, content, photometric="minisblack")
    assert main(arguments(files)) == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    assert error[0].startswith("convfact: ")
    assert any(word in error[0] for word in words.split("|"))
    assert not (files / "out.tif").exists()


def test_an_existing_output_is_kept(files, capsys):
    (files / "out.tif").write_bytes(b"precious")
    assert main(arguments(files)) == 2
    assert "exists already" in capsys.readouterr().err
    assert (files / "out.tif").read_bytes() == b"precious"


def test_a_missing_image_is_named(files, capsys):
    (files / "cells.tif").unlink()
    assert main(arguments(files)) == 2
    assert "cells.tif" in capsys.readouterr().err


def test_the_voxel_size_of_the_psf_is_matched(files, capsys):
    psf = cf.read_image(files / "psf.tif")
    coarse = cf.SpatialImage(psf.data, "psf", (0.2, 0.2), ("um", "um"), ("y", "x"))
    cf.write_image(files / "psf.tif", coarse, overwrite=True)
    assert main(arguments(files, "--strength", "0.01")) == 0
    assert "resampled from voxels of 0.2, 0.2 to 0.1, 0.1" in capsys.readouterr().out


def test_unknown_voxel_sizes_are_said(files, capsys):
    np.save(files / "cells.npy", cf.read_image(files / "cells.tif").data)
    command = arguments(files, "--strength", "0.01")
    command[1] = str(files / "cells.npy")
    assert main(command) == 0
    assert "taken as equal" in capsys.readouterr().out


def test_every_operation_has_a_help_page(capsys):
    for name in ("deconvolve", "factorize", "gabor", "convolve", "make-kernel", "demo", "run"):
        with pytest.raises(SystemExit) as stop:
            main([name, "--help"])
        assert stop.value.code == 0
        assert "usage: convfact" in capsys.readouterr().out


def test_each_image_of_a_folder_keeps_its_own_table_and_bank(files):
    folder = files / "textures"
    folder.mkdir()
    for seed, name in enumerate(("a.npy", "b.npy")):
        np.save(folder / name, np.random.default_rng(seed).random((64, 64)))
    table, bank = files / "t.csv", files / "bank.npz"
    command = ["texture", str(folder), "-o", str(files / "maps"), "--n-kernels", "1"]
    main([*command, "--table-file", str(table), "--bank-file", str(bank)])
    assert not table.exists()
    rows = [(files / f"t-{name}.csv").read_text() for name in "ab"]
    assert rows[0] != rows[1]
    for name in "ab":
        kernels = KernelBank.load(files / f"bank-{name}.npz").kernels[0]
        np.testing.assert_array_equal(np.load(files / "maps" / f"{name}-kernels.npy")[0], kernels)


def test_a_table_that_is_there_is_not_written_over(files, capsys):
    image, table = files / "noise.npy", files / "t.csv"
    np.save(image, np.random.default_rng(0).random((64, 64)))
    table.write_text("mine")
    command = ["texture", str(image), "-o", str(files / "o.npy"), "--n-kernels", "1"]
    assert main([*command, "--table-file", str(table)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert table.read_text() == "mine"
    assert not (files / "o.npy").exists()
    main([*command, "--table-file", str(table), "--overwrite"])
    assert table.read_text().startswith("image,")
