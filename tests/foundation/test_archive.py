import numpy as np
import pytest

from napari_convfact.foundation.archive import read_archive, write_archive


def test_what_is_written_is_read(tmp_path):
    arrays = {"numbers": np.arange(6.0).reshape(2, 3), "names": np.array(["a", "é"])}
    path = write_archive(tmp_path / "thing", "thing", {"size": [1, 2]}, arrays)
    assert path.name == "thing.npz"
    header, read = read_archive(tmp_path / "thing", "thing")
    assert header["size"] == [1, 2]
    for name, values in arrays.items():
        np.testing.assert_array_equal(read[name], values)


def test_objects_are_neither_run_nor_read(tmp_path):
    np.savez(tmp_path / "bad.npz", header=np.array([{"kind": "thing"}], dtype=object))
    with pytest.raises(ValueError, match="not a thing"):
        read_archive(tmp_path / "bad.npz", "thing")


def test_another_kind_is_refused(tmp_path):
    path = write_archive(tmp_path / "one", "one", {}, {})
    with pytest.raises(ValueError, match="not a thing"):
        read_archive(path, "thing")
