"""The checksum knows values, whatever they are stored as."""

import dask.array as da
import numpy as np
import pytest

from napari_convfact.operations.checksum import checksum

VALUES = np.random.default_rng(0).integers(0, 4000, (60, 70, 80)).astype(np.uint16)


@pytest.mark.parametrize(
    "same",
    [
        VALUES.astype(">u2"),
        VALUES.astype(np.float32),
        np.asfortranarray(VALUES),
        np.repeat(VALUES, 2, axis=2)[..., ::2],
    ],
    ids=["byte order", "type", "Fortran order", "strided"],
)
def test_storage_does_not_count(same):
    assert checksum(same) == checksum(VALUES)


@pytest.mark.parametrize(
    "other",
    [VALUES[::-1], VALUES + 1, VALUES.reshape(70, 60, 80), VALUES[:, :, ::-1], VALUES[1:]],
    ids=["turned", "brighter", "another shape", "mirrored", "cropped"],
)
def test_values_and_shape_count(other):
    assert checksum(other) != checksum(VALUES)


@pytest.mark.parametrize("shape", [(1500, 1500), (1050, 1575), (12, 500, 700)])
def test_every_row_and_column_is_looked_at(shape):
    values = np.zeros(shape, np.uint8)
    for axis, n in enumerate(shape):
        for index in range(0, n, 97):
            other = values.copy()
            np.moveaxis(other, axis, 0)[index] = 1
            assert checksum(other) != checksum(values)


def test_what_is_not_in_memory_is_not_read(tmp_path):
    def fail(_):
        raise AssertionError("The data were read.")

    assert checksum(da.zeros((10, 10)).map_blocks(fail, dtype=float)) is None
    mapped = np.memmap(tmp_path / "mapped", np.uint8, "w+", shape=(10, 10))
    assert checksum(np.asarray(mapped)[2:]) is None
