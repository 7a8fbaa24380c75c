"""Every row of the table of bad input that concerns arrays."""

import numpy as np
import pytest

from napari_convfact.foundation.validate import check_image, check_kernel, check_psf


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "uint16", "int32", "int64", "float16", "float64", ">f4", ">u2"]
)
def test_every_real_dtype_becomes_native_float32(dtype):
    values = np.array([[0, 1], [1, 0]]).astype(dtype)
    checked = check_image(values).data
    assert checked.dtype == np.dtype("=f4")
    np.testing.assert_array_equal(checked, [[0, 1], [1, 0]])


def test_unsigned_integers_do_not_wrap_around():
    values = np.array([[1, 2]], dtype=np.uint16)
    checked = check_image(values).data
    assert checked[0, 0] - checked[0, 1] == -1


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::-1],
        lambda a: a[:, ::2],
        lambda a: a.T,
        lambda a: np.broadcast_to(a[:1], a.shape),
    ],
)
def test_any_strides_are_taken(view):
    base = np.arange(12, dtype=np.float32).reshape(3, 4)
    checked = check_image(view(base)).data
    assert checked.flags.c_contiguous
    np.testing.assert_array_equal(checked, view(base))


def test_a_read_only_array_is_taken():
    values = np.ones((3, 3), dtype=np.uint8)
    values.flags.writeable = False
    assert check_image(values).data.sum() == 9


def test_a_boolean_image_is_converted_and_said():
    assert "boolean" in check_image(np.ones((2, 2), bool)).notes[0]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.zeros((0, 4)), "empty"),
        (np.ones((2, 2), complex), "complex"),
        (np.array(["a"]), "numbers are needed"),
        (np.array([object()]), "numbers are needed"),
        (np.zeros(2, dtype=[("a", "f4")]), "numbers are needed"),
        ([np.ones((4, 4)), np.ones((2, 2))], "first level"),
        (np.full((2, 2), 1e300), "beyond float32"),
    ],
)
def test_what_cannot_be_computed_with_is_refused(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_image(values)


def test_a_list_of_frames_is_a_stack():
    assert check_image([np.ones((4, 4)), np.zeros((4, 4))]).data.shape == (2, 4, 4)


def test_too_few_axes_are_refused():
    with pytest.raises(ValueError, match="1 axes but 2 are needed"):
        check_image(np.ones(4), ndim=2)


def test_missing_values_are_counted():
    values = np.ones((4, 4))
    values[0, 0], values[1, 1] = np.nan, np.inf
    with pytest.raises(ValueError, match="2 values that are NaN or infinite"):
        check_image(values)


def test_filling_is_offered_only_where_it_can_be_had():
    values = np.array([1.0, np.nan])
    with pytest.raises(ValueError, match="missing="):
        check_image(values, missing="error")
    for refuse in (check_image, check_kernel, check_psf):
        with pytest.raises(ValueError, match=r"NaN or infinite: replace them\.$"):
            refuse(values)
    with pytest.raises(ValueError, match=r"replace them\.$"):
        check_image(values * np.nan, missing="fill")


def test_missing_values_can_be_filled_and_put_back():
    values = np.arange(16.0).reshape(4, 4)
    values[2, 2] = np.nan
    checked = check_image(values, missing="fill")
    assert checked.data[2, 2] in (6, 9, 11, 14)  # one of its four neighbours
    restored = checked.restore_missing(checked.data)
    assert np.isnan(restored[2, 2])
    assert np.isnan(restored).sum() == 1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_nothing_is_filled_from_another_frame(axis):
    frames = np.stack([np.full((4, 4), value) for value in (1.0, 2.0, 3.0)])
    frames[0, 1, 1] = frames[1, :3, :3] = np.nan
    frames[2] = np.nan
    checked = check_image(np.moveaxis(frames, 0, axis), missing="fill", apart=(axis,))
    filled = np.moveaxis(checked.data, axis, 0)
    np.testing.assert_array_equal(filled[0], 1)
    np.testing.assert_array_equal(filled[1], 2)
    assert set(filled[2].flat) <= {1.0, 2.0}  # it has none of its own


def test_a_frame_without_values_is_the_nearest_frame():
    frames = np.random.default_rng(0).random((4, 5, 6)).astype(np.float32)
    frames[1, :, :4] = frames[2:] = np.nan
    checked = check_image(frames, missing="fill", apart=(0,))
    np.testing.assert_array_equal(checked.data[2], checked.data[1])
    np.testing.assert_array_equal(checked.data[3], checked.data[1])
    assert np.isnan(checked.restore_missing(checked.data)[2:]).all()


def test_all_missing_is_refused_even_then():
    with pytest.raises(ValueError, match="4 values"):
        check_image(np.full((2, 2), np.nan), missing="fill")


def test_the_input_is_never_changed():
    values = np.array([[1.0, np.nan], [3.0, 4.0]], dtype=np.float32)
    before = values.copy()
    check_image(values, missing="fill").data[:] = 0
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize(
    ("psf", "sentence"),
    [
        (np.zeros((3, 3)), "zero everywhere"),
        (-np.ones((3, 3)), "filter kernel"),
        (np.array([1.0, -2.0, 1.0]), "filter kernel"),
        (np.array([1.0, np.nan]), "NaN"),
    ],
)
def test_what_is_no_psf_is_refused(psf, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_psf(psf)


def test_a_psf_is_normalized_and_its_negatives_clipped():
    psf, notes = check_psf([4, -1, 4])
    np.testing.assert_allclose(psf, [0.5, 0, 0.5])
    assert "1 negative" in notes[0]


def test_a_kernel_keeps_its_negatives():
    np.testing.assert_array_equal(check_kernel([1, -2, 1]), [1, -2, 1])


@pytest.mark.parametrize("largest", [1e-300, 1e-40, 1.0, 1e40, 1.5e308])
def test_a_psf_of_any_size_is_divided_by_its_sum(largest):
    """The sum of nine times the largest number is infinite, and the PSF was zero after it."""
    psf, _ = check_psf(np.full((3, 3), largest))
    np.testing.assert_allclose(psf, 1 / 9)


def test_masked_values_are_missing():
    image = np.ma.masked_equal([[1.0, 2.0, 9.0], [3.0, 4.0, 5.0]], 9.0)
    with pytest.raises(ValueError, match="1 values that are masked, NaN or infinite"):
        check_image(image)
    checked = check_image(image, missing="fill")
    np.testing.assert_array_equal(checked.data, [[1, 2, 2], [3, 4, 5]])
    assert np.isnan(checked.restore_missing(checked.data)[0, 2])
    np.testing.assert_array_equal(check_image(np.ma.asarray([1.0, 2.0])).data, [1, 2])
