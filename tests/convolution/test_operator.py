"""`Convolution` against peer libraries and the definition of the adjoint."""

import doctest
import itertools

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import torch

from napari_convfact.convolution import operator as operator_module
from napari_convfact.convolution.geometry import BOUNDARIES
from napari_convfact.convolution.operator import Convolution

# One asymmetric kernel shape and image shape per dimension and parity.
SIZES = [
    ((3,), (12,)),
    ((4,), (13,)),
    ((9,), (7,)),
    ((3, 4), (11, 8)),
    ((5, 2), (10, 13)),
    ((2, 3, 4), (6, 7, 5)),
    ((1, 3), (1, 9)),
]


def inner(a, b):
    return float(np.vdot(a, b))


def adjoint_defect(operator, rng):
    x = rng.standard_normal(operator.input_shape)
    y = rng.standard_normal(operator.output_shape)
    ax, aty = operator.forward(x), operator.adjoint(y)
    scale = np.linalg.norm(ax) * np.linalg.norm(y) + np.linalg.norm(x) * np.linalg.norm(aty)
    return abs(inner(ax, y) - inner(x, aty)) / scale


def fits(kernel_shape, shape, boundary, dilation):
    return boundary != "valid" or all(
        (k - 1) * dilation < n for k, n in zip(kernel_shape, shape, strict=True)
    )


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("kernel_shape", "shape"), SIZES)
def test_adjoint_is_exact(boundary, kernel_shape, shape):
    rng = np.random.default_rng(0)
    for stride, dilation, mixed in itertools.product((1, 2, 3), (1, 2), (False, True)):
        if not fits(kernel_shape, shape, boundary, dilation):
            continue
        kernel = rng.standard_normal((3, 2, *kernel_shape) if mixed else kernel_shape)
        operator = Convolution(
            kernel, shape, boundary=boundary, stride=stride, dilation=dilation, dtype="float64"
        )
        assert adjoint_defect(operator, rng) <= 1e-13


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_adjoint_is_exact_for_every_origin_and_with_a_mask(boundary):
    rng = np.random.default_rng(1)
    kernel = rng.standard_normal((3, 4))
    for origin in itertools.product(range(3), range(4)):
        operator = Convolution(kernel, (8, 9), boundary=boundary, origin=origin, dtype="float64")
        assert adjoint_defect(operator, rng) <= 1e-13
        mask = rng.random(operator.output_shape) > 0.2
        masked = Convolution(
            kernel, (8, 9), boundary=boundary, origin=origin, dtype="float64", mask=mask
        )
        assert adjoint_defect(masked, rng) <= 1e-13
        x = rng.standard_normal(operator.input_shape)
        np.testing.assert_array_equal(masked.forward(x), operator.forward(x) * mask)


NDIMAGE_MODES = {"zero": "constant", "periodic": "wrap", "reflect": "reflect"}


@pytest.mark.parametrize("boundary", NDIMAGE_MODES)
@pytest.mark.parametrize(("kernel_shape", "shape"), SIZES)
def test_forward_equals_ndimage(boundary, kernel_shape, shape):
    rng = np.random.default_rng(2)
    kernel, x = rng.standard_normal(kernel_shape), rng.standard_normal(shape)
    for origin in itertools.product(*(range(k) for k in kernel_shape)):
        # ndimage.convolve counts its origin from k // 2.
        shift = [o - k // 2 for o, k in zip(origin, kernel_shape, strict=True)]
        expected = scipy.ndimage.convolve(x, kernel, mode=NDIMAGE_MODES[boundary], origin=shift)
        operator = Convolution(kernel, shape, boundary=boundary, origin=origin, dtype="float64")
        np.testing.assert_allclose(operator.forward(x), expected, atol=1e-12)


@pytest.mark.parametrize("kernel_shape", [(3, 5), (4, 6), (2, 3)])
def test_forward_equals_scipy_full_and_valid(kernel_shape):
    rng = np.random.default_rng(3)
    kernel, x = rng.standard_normal(kernel_shape), rng.standard_normal((11, 14))
    for boundary in ("full", "valid"):
        operator = Convolution(kernel, x.shape, boundary=boundary, dtype="float64")
        expected = scipy.signal.convolve2d(x, kernel, mode=boundary)
        np.testing.assert_allclose(operator.forward(x), expected, atol=1e-12)
    data_shape = scipy.signal.convolve2d(x, kernel, mode="valid").shape
    extended = Convolution(kernel, data_shape, boundary="extended", dtype="float64")
    np.testing.assert_allclose(extended.forward(x), expected, atol=1e-12)


def test_full_takes_kernels_larger_than_the_image():
    rng = np.random.default_rng(4)
    kernel, x = rng.standard_normal((9, 8)), rng.standard_normal((4, 5))
    operator = Convolution(kernel, x.shape, boundary="full", dtype="float64")
    np.testing.assert_allclose(operator.forward(x), scipy.signal.convolve2d(x, kernel), atol=1e-12)


def test_forward_equals_conv2d_with_flipped_weights():
    rng = np.random.default_rng(5)
    weights = rng.standard_normal((4, 3, 3, 5))
    x = rng.standard_normal((2, 3, 12, 17))
    for stride, dilation in itertools.product((1, 2, 3), (1, 2)):
        expected = torch.nn.functional.conv2d(
            torch.as_tensor(x),
            torch.as_tensor(weights),
            stride=stride,
            dilation=dilation,
            padding=(dilation, 2 * dilation),
        )
        operator = Convolution(
            weights[..., ::-1, ::-1],
            (12, 17),
            stride=stride,
            dilation=dilation,
            dtype="float64",
        )
        np.testing.assert_allclose(operator.forward(x), expected.numpy(), atol=1e-12)


def test_extended_window_is_where_the_data_lie():
    # A delta kernel moves nothing: the data are x inside the window, for any origin.
    rng = np.random.default_rng(6)
    for origin in ((0, 0), (2, 1), (1, 3)):
        kernel = np.zeros((3, 4))
        kernel[origin] = 1
        operator = Convolution(kernel, (6, 7), boundary="extended", origin=origin, dtype="float64")
        x = rng.standard_normal(operator.input_shape)
        (top, left), (height, width) = operator.estimate_window
        assert operator.input_shape == (8, 10)
        np.testing.assert_allclose(
            operator.forward(x), x[top : top + height, left : left + width], atol=1e-14
        )


def test_dense_is_the_matrix():
    rng = np.random.default_rng(7)
    for boundary in BOUNDARIES:
        operator = Convolution(
            rng.standard_normal((2, 3, 2, 3)), (4, 5), boundary=boundary, dtype="float64"
        )
        matrix = operator.dense()
        x = rng.standard_normal(operator.input_shape)
        y = rng.standard_normal(operator.output_shape)
        np.testing.assert_allclose(matrix @ x.ravel(), operator.forward(x).ravel(), atol=1e-13)
        np.testing.assert_allclose(matrix.T @ y.ravel(), operator.adjoint(y).ravel(), atol=1e-13)


def test_leading_axes_are_independent_and_inputs_are_not_changed():
    rng = np.random.default_rng(8)
    frames = rng.standard_normal((2, 3, 8, 9)).astype(np.float32)
    before = frames.copy()
    operator = Convolution(rng.standard_normal((3, 3)), (8, 9), boundary="reflect")
    blurred = operator.forward(frames)
    assert blurred.dtype == np.float32
    np.testing.assert_allclose(blurred[1, 2], operator.forward(frames[1, 2]), atol=1e-6)
    assert operator.adjoint(blurred).shape == frames.shape
    np.testing.assert_array_equal(frames, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"boundary": "same"}, "boundary must be one of"),
        ({"origin": (3, 0)}, "origin must be an index"),
        ({"stride": 0}, "stride must be"),
        ({"dilation": (1, 2, 3)}, "dilation must be"),
        ({"dtype": "int8"}, "dtype must be"),
        ({"engine": "magic"}, "engine must be"),
        ({"mask": np.ones((3, 3))}, "The mask has shape"),
    ],
)
def test_illegal_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Convolution(np.ones((3, 3)), (8, 9), **arguments)


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="does not fit images of 2 axes"):
        Convolution(np.ones((3, 3, 3)), (8, 9))
    with pytest.raises(ValueError, match="larger than the image"):
        Convolution(np.ones((3, 10)), (8, 9), boundary="valid")
    with pytest.raises(ValueError, match="takes \\(8, 9\\)"):
        Convolution(np.ones((3, 3)), (8, 9)).forward(np.zeros((9, 8)))


@pytest.mark.parametrize("boundary", ["periodic", "reflect", "valid", "extended"])
def test_a_constant_image_stays_constant(boundary):
    kernel = np.random.default_rng(9).random((4, 5))
    operator = Convolution(kernel / kernel.sum(), (13, 17), boundary=boundary)
    blurred = operator.forward(np.full(operator.input_shape, 7, np.uint16))
    np.testing.assert_allclose(blurred, 7, rtol=1e-6)


def test_the_example_in_the_docstring_holds():
    assert doctest.testmod(operator_module).attempted
    assert not doctest.testmod(operator_module).failed


def test_integers_do_not_wrap_around():
    edge = Convolution([1, -1], (3,), boundary="valid").forward(np.array([1, 2, 1], np.uint8))
    np.testing.assert_array_equal(edge, [1, -1])
