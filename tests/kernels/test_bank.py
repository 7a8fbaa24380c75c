import json

import numpy as np
import pytest

from napari_convfact.kernels.bank import KernelBank


@pytest.fixture
def bank():
    kernels = np.random.default_rng(0).normal(size=(5, 3, 5))
    return KernelBank(
        kernels,
        names=("a", "b", "c", "d", "é"),
        dilations=(1, 1, 2, 2, 2),
        usage=[0.5, 0.2, 0.1, 0.1, 0.1],
        explained=[0.1, 0.2, 0.3, 0.4, 0.5],
        metadata={"method": "em", "radius": 2},
    )


def test_what_is_saved_is_what_is_loaded(bank, tmp_path):
    loaded = KernelBank.load(bank.save(tmp_path / "my bank"))
    assert loaded.names == bank.names
    assert loaded.dilations == bank.dilations
    assert loaded.metadata == bank.metadata
    for name in ("kernels", "usage", "explained"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(bank, name))


def test_the_file_holds_no_pickle(bank, tmp_path):
    with np.load(bank.save(tmp_path / "bank.npz"), allow_pickle=False) as archive:
        assert all(archive[name].dtype.kind in "fU" for name in archive.files)
        assert json.loads(str(archive["header"]))["kind"] == "kernel bank"


def test_a_pickled_array_is_refused_and_not_run(tmp_path):
    np.savez(tmp_path / "bad.npz", kernels=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="not a kernel bank"):
        KernelBank.load(tmp_path / "bad.npz")


def test_another_archive_is_refused_in_a_sentence(tmp_path):
    np.savez(tmp_path / "other.npz", kernels=np.ones((2, 3, 3)))
    with pytest.raises(ValueError, match="not a kernel bank"):
        KernelBank.load(tmp_path / "other.npz")


def test_a_file_that_is_no_archive_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "text.npz").write_text("kernels")
    with pytest.raises(ValueError, match="not a kernel bank"):
        KernelBank.load(tmp_path / "text.npz")


@pytest.mark.parametrize("share", [0, 0.5])
def test_an_archive_that_was_cut_off_is_refused_in_a_sentence(bank, share, tmp_path):
    written = bank.save(tmp_path / "bank.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(written[: int(share * len(written))])
    with pytest.raises(ValueError, match="not a kernel bank"):
        KernelBank.load(tmp_path / "cut.npz")


def test_a_missing_file_is_reported_as_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        KernelBank.load(tmp_path / "nowhere.npz")


def test_the_mosaic_shows_each_kernel_on_its_own_scale(bank):
    picture = bank.mosaic(columns=2, gap=1)
    assert picture.shape == (3 * 4 - 1, 2 * 6 - 1)
    tile = picture[4:7, 6:11]  # the fourth kernel: second row, second column
    kernel = bank.kernels[3]
    np.testing.assert_allclose(tile, (kernel - kernel.min()) / np.ptp(kernel), atol=1e-6)
    assert (picture[3] == 0.5).all()


def test_the_shared_scale_keeps_zero_in_the_middle():
    picture = KernelBank([[[-2.0]], [[1.0]], [[0.0]]]).mosaic(columns=3, gap=0, shared=True)
    np.testing.assert_allclose(picture, [[0, 0.75, 0.5]])


def test_a_flat_kernel_is_grey():
    assert (KernelBank(np.ones((1, 3, 3))).mosaic() == 0.5).all()


def test_channels_lie_side_by_side():
    kernels = np.arange(2 * 3 * 2 * 2, dtype=float).reshape(2, 3, 2, 2)
    bank = KernelBank(kernels)
    assert bank.channels == 3
    assert bank.mosaic(gap=1).shape == (2 * 3 - 1, 3 * 3 - 1)


def test_three_dimensional_kernels_give_a_stack_of_mosaics():
    bank = KernelBank(np.random.default_rng(0).normal(size=(4, 3, 5, 7)), ndim=3)
    assert bank.channels is None
    assert bank.mosaic(gap=0).shape == (3, 10, 14)


def test_the_selection_keeps_names_and_dilations(bank):
    chosen = bank.select([4, 0])
    assert chosen.names == ("é", "a")
    assert chosen.dilations == (2, 1)
    np.testing.assert_array_equal(chosen.kernels, bank.kernels[[4, 0]])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"kernels": np.ones((3, 3))}, "bank of 2-D kernels"),
        ({"kernels": np.ones((1, 1, 1, 3, 3))}, "bank of 2-D kernels"),
        ({"kernels": np.full((2, 3, 3), np.nan)}, "NaN"),
        ({"kernels": np.ones((2, 3, 3)), "names": ("one",)}, "2 kernels but 1 names"),
        ({"kernels": np.ones((2, 3, 3)), "dilations": (1, 2, 4)}, "2 kernels but 3 dilations"),
    ],
)
def test_bad_banks_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        KernelBank(**arguments)


@pytest.mark.parametrize("index", [3, -4])
def test_a_kernel_that_is_not_there(index):
    with pytest.raises(IndexError, match=f"no kernel {index} in a bank of 3"):
        KernelBank(np.ones((3, 2, 2))).select([0, index])


def test_a_mosaic_needs_a_column():
    with pytest.raises(ValueError, match="columns must be at least 1, not -1"):
        KernelBank(np.ones((3, 2, 2))).mosaic(columns=-1)
