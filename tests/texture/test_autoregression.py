import numpy as np
import pytest
import scipy.ndimage
from texture_targets import CAUSAL, SYMMETRIC

from napari_convfact.foundation.job import Step
from napari_convfact.texture.autoregression import autoregression_job, fit_autoregression
from napari_convfact.texture.spectrum import ar_synthesize


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def smooth(rng):
    return scipy.ndimage.gaussian_filter(rng.normal(size=(60, 52)), (1.5, 0.8))


def test_a_causal_field_gives_its_kernel():
    field = ar_synthesize(CAUSAL, (256, 256), seed=1)
    fit = fit_autoregression(field, tie="causal")
    np.testing.assert_allclose(fit.kernels[0], CAUSAL, atol=0.01)
    np.testing.assert_allclose(fit.variance, 1, atol=0.02)


def test_the_error_of_a_fit_shrinks_with_the_root_of_the_number_of_pixels():
    errors = []
    for size in (32, 256):
        fields = np.stack([ar_synthesize(CAUSAL, (size, size), seed=s) for s in range(12)])
        kernels = fit_autoregression(fields, tie="causal").kernels
        errors.append(np.sqrt(np.mean((kernels - CAUSAL) ** 2)))
    # 64 times the pixels, 8 times the precision; 12 fields scatter by a quarter.
    assert 5 < errors[0] / errors[1] < 13


def test_least_squares_gives_the_kernel_of_a_gauss_markov_field():
    field = ar_synthesize(SYMMETRIC, (512, 512), model="conditional", seed=1)
    fit = fit_autoregression(field)
    np.testing.assert_allclose(fit.kernels[0], SYMMETRIC, atol=0.005)
    np.testing.assert_allclose(fit.variance, 1, atol=0.01)
    assert fit.model == "conditional"


def test_least_squares_is_biased_for_a_simultaneous_field_and_whittle_is_not():
    field = ar_synthesize(SYMMETRIC, (512, 512), seed=1)
    right, below, below_right, below_left = (1, 2), (2, 1), (2, 2), (2, 0)
    least_squares = fit_autoregression(field).kernels[0]
    biased = [least_squares[place] for place in (right, below, below_right, below_left)]
    np.testing.assert_allclose(biased, [0.362, 0.307, -0.190, 0.006], atol=0.005)
    whittle = fit_autoregression(field, estimator="whittle")
    np.testing.assert_allclose(whittle.kernels[0], SYMMETRIC, atol=0.005)
    np.testing.assert_allclose(whittle.variance, 1, atol=0.01)


def test_whittle_is_at_a_maximum_of_the_likelihood(rng):
    field = ar_synthesize(SYMMETRIC, (64, 48), seed=2).astype(np.float64)
    fit = fit_autoregression(field, estimator="whittle")

    def likelihood(kernel):
        gain = np.fft.fft2(np.fft.ifftshift(np.pad(kernel, ((31, 30), (23, 22))))).real
        periodogram = np.abs(np.fft.fft2(field - field.mean())) ** 2 / field.size
        power = np.mean(periodogram * (1 - gain) ** 2)
        return -np.log(power) + 2 * np.log(1 - gain).mean()

    best = likelihood(fit.kernels[0])
    for _ in range(20):
        step = rng.normal(size=(3, 3)) * 1e-2
        step[1, 1] = 0
        assert likelihood(fit.kernels[0] + step + step[::-1, ::-1]) < best


def test_white_noise_has_nothing_to_predict(rng):
    noise = rng.normal(size=(200, 128, 128))
    fit = fit_autoregression(noise)
    assert np.abs(fit.weights).max() < 4 / np.sqrt(128 * 128)
    # By chance each of the eight neighbours explains 1/N of the variance; the mean of 200
    # images scatters by 4 %.
    assert fit.r2.mean() * 128 * 128 == pytest.approx(8, rel=0.15)


def test_a_wave_is_predicted_exactly_from_two_pixels_before_it():
    x = np.arange(96)
    k = 2 * np.pi * 7 / 96
    wave = np.tile(np.cos(k * x), (64, 1))
    fit = fit_autoregression(wave, (0, 2), tie="causal")
    # Any kernel that is right at +-k predicts it; the ridge picks the smallest.
    assert fit.variance[0] < 1e-9
    assert np.isfinite(fit.kernels).all()
    assert np.abs(fit.kernels).max() < 4
    # At offsets -2 and -1 there are two weights for two conditions: -1 and 2 cos k.
    np.testing.assert_allclose(fit.weights[0], [-1, 2 * np.cos(k)], atol=1e-4)


@pytest.mark.parametrize("boundary", ["periodic", "valid", "zero", "reflect"])
def test_a_constant_image_has_a_kernel_of_zeros(boundary):
    fit = fit_autoregression(np.full((12, 12), 0.1), boundary=boundary)
    assert not fit.kernels.any()
    assert fit.variance[0] == 0
    assert fit.r2[0] == 0


def test_an_image_that_is_masked_out_has_zeros_and_no_variance(rng):
    fit = fit_autoregression(rng.normal(size=(12, 12)), mask=np.zeros((12, 12)))
    assert not fit.kernels.any()
    assert np.isnan(fit.variance[0])
    assert np.isnan(fit.r2[0])


def test_brightness_and_contrast_change_nothing_but_the_variance(smooth):
    first = fit_autoregression(smooth, 2)
    second = fit_autoregression(-3 * smooth + 1000, 2)
    np.testing.assert_allclose(second.kernels, first.kernels, atol=1e-6)
    np.testing.assert_allclose(second.variance, 9 * first.variance, rtol=1e-6)
    np.testing.assert_allclose(second.r2, first.r2, rtol=1e-6)


@pytest.mark.parametrize("boundary", ["periodic", "valid", "reflect"])
@pytest.mark.parametrize("tie", ["full", "symmetric", "ring"])
def test_turning_the_image_turns_the_kernel(smooth, tie, boundary):
    def kernel(image):
        return fit_autoregression(image, 2, tie=tie, boundary=boundary).kernels[0]

    plain = kernel(smooth)
    np.testing.assert_allclose(kernel(smooth.T), plain.T, atol=1e-6)
    np.testing.assert_allclose(kernel(smooth[::-1]), plain[::-1], atol=1e-6)
    np.testing.assert_allclose(kernel(np.rot90(smooth)), np.rot90(plain), atol=1e-6)
    if tie == "ring":
        np.testing.assert_allclose(kernel(np.rot90(smooth)), plain, atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
def test_the_type_of_the_image_does_not_matter(smooth, dtype):
    whole = np.round(100 + 20 * smooth / smooth.std()).clip(0, 255)
    offset = 20000 if dtype in ("uint16", "float32") else 0
    kernel = fit_autoregression((whole + offset).astype(dtype)).kernels
    np.testing.assert_allclose(kernel, fit_autoregression(whole).kernels, atol=2e-6)


def test_zeros_beyond_the_edges_do_little_harm_once_the_mean_is_removed():
    fields = [ar_synthesize(SYMMETRIC, (n, n), seed=5) + 50 for n in (48, 384)]
    gaps = []
    for field in fields:
        zero = fit_autoregression(field, boundary="zero").kernels
        gaps.append(np.abs(zero - fit_autoregression(field, boundary="valid").kernels).max())
    # The border is a share of the area that falls as 1/L.
    assert gaps[0] < 0.05
    assert gaps[1] < gaps[0] / 4


def test_each_image_is_fitted_for_itself(smooth, rng):
    stack = np.stack([smooth, rng.normal(size=smooth.shape), smooth**2])
    together = fit_autoregression(stack, dilations=(1, 2))
    for index, image in enumerate(stack):
        alone = fit_autoregression(image, dilations=(1, 2))
        np.testing.assert_allclose(together.kernels[index], alone.kernels[0], atol=1e-6)
        np.testing.assert_allclose(together.variance[index], alone.variance[0], rtol=1e-9)


def test_images_of_different_shapes_keep_their_order(rng):
    images = [rng.normal(size=shape) for shape in ((20, 20), (30, 17), (20, 20), (9, 40))]
    images[2] = scipy.ndimage.gaussian_filter(images[2], 1)
    fit = fit_autoregression(images)
    np.testing.assert_allclose(fit.kernels[2], fit_autoregression(images[2]).kernels[0])
    assert fit.r2[2] > 0.8


def test_the_kernel_is_a_convolution_kernel():
    field = ar_synthesize(CAUSAL, (128, 128), seed=3).astype(np.float64)
    noise = np.random.default_rng(3).normal(size=field.shape)
    kernel = fit_autoregression(field, tie="causal").kernels[0]

    def found(kernel):
        residual = field - scipy.ndimage.convolve(field, kernel, mode="wrap")
        return np.corrcoef(residual.ravel(), noise.ravel())[0, 1]

    # The flipped kernel predicts as well (the autocorrelation is even), but leaves other noise.
    assert found(kernel) > 0.999
    assert found(kernel[::-1, ::-1]) < 0.9


@pytest.mark.parametrize(
    ("shape", "radius", "dilation"), [((11, 24), (1, 2), 1), ((24, 24), 2, 3), ((9, 11, 10), 1, 2)]
)
def test_the_solution_is_that_of_dense_least_squares(rng, shape, radius, dilation):
    image = rng.normal(size=shape)
    fit = fit_autoregression(
        image, radius, dilations=(dilation,), tie="full", boundary="valid", ndim=len(shape)
    )
    support = fit.moments[0].support
    inner = [n - 2 * r for n, r in zip(shape, support.reach, strict=True)]
    rows = [
        image[
            tuple(slice(r + d, r + d + n) for r, d, n in zip(support.reach, o, inner, strict=True))
        ]
        for o in [(0,) * len(shape), *support.offsets]
    ]
    matrix = np.stack([row.ravel() for row in rows], axis=1)
    design = np.column_stack([matrix[:, 1:], np.ones(len(matrix))])
    solution, residual, *_ = np.linalg.lstsq(design, matrix[:, 0])
    # The ridge shrinks the weights by about 1e-6 of themselves.
    np.testing.assert_allclose(fit.weights[0], solution[:-1], atol=1e-5)
    np.testing.assert_allclose(fit.variance[0], residual[0] / len(matrix), rtol=1e-6)


def test_the_loss_is_within_a_millionth_of_the_dense_solution(texture_patches):
    patches = texture_patches[0][:30]
    loss = fit_autoregression(patches, tie="full").variance.mean()
    dense = []
    for patch in patches.astype(np.float64):
        offsets = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
        design = np.stack([np.roll(patch, o, axis=(0, 1)).ravel() for o in offsets], axis=1)
        _, residual, *_ = np.linalg.lstsq(design - design.mean(), patch.ravel() - patch.mean())
        dense.append(residual[0] / patch.size)
    assert loss == pytest.approx(np.mean(dense), rel=1e-6)


def test_channels_predict_each_other(rng):
    red = rng.normal(size=(40, 40))
    green = np.roll(red, 1, axis=1)  # each green pixel repeats the red one to its left
    fit = fit_autoregression(np.stack([red, green], axis=-1), tie="full", channel_axis=-1)
    assert fit.kernels.shape == (1, 2, 2, 3, 3)
    assert fit.r2.shape == (1, 2)
    expected = np.zeros((3, 3))
    expected[1, 2] = 1  # a convolution kernel reads the left neighbour at +1
    np.testing.assert_allclose(fit.kernels[0, 1, 0], expected, atol=1e-4)
    np.testing.assert_allclose(fit.r2[0], 1, atol=1e-4)


def test_several_dilations_are_models_of_their_own(smooth):
    fit = fit_autoregression(smooth, dilations=(1, 2, 4))
    assert fit.kernels.shape == (1, 3, 9, 9)
    assert fit.weights.shape == (1, 3, 4)
    for index, dilation in enumerate((1, 2, 4)):
        alone = fit_autoregression(smooth, dilations=(dilation,))
        pad = 4 - dilation
        np.testing.assert_allclose(fit.kernels[0, index], np.pad(alone.kernels[0], pad), atol=1e-7)


def test_the_spectrum_of_a_fit_is_that_of_the_field():
    field = ar_synthesize(SYMMETRIC, (256, 256), model="conditional", seed=4)
    fit = fit_autoregression(field)
    assert fit.spectrum((64, 64)).mean() == pytest.approx(field.var(), rel=0.02)


def test_the_job_can_be_closed_between_images(rng):
    job = autoregression_job([rng.normal(size=(20, 20)), rng.normal(size=(21, 20))])
    assert isinstance(next(job), Step)
    job.close()


def test_the_input_is_not_changed(smooth):
    before = smooth.copy()
    fit_autoregression(smooth, mask=np.ones(smooth.shape))
    np.testing.assert_array_equal(smooth, before)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"radius": 0}, "radius must be"),
        ({"radius": (1, 1, 1)}, "radius must be"),
        ({"dilations": (0,)}, "dilation must be"),
        ({"dilations": ()}, "dilations must be"),
        ({"dilations": (12,)}, "do not fit"),
        ({"radius": 13}, "do not fit"),
        ({"tie": "isotropic"}, "tie must be one of"),
        ({"boundary": "same"}, "boundary must be one of"),
        ({"estimator": "ls"}, "estimator must be one of"),
        ({"estimator": "whittle", "tie": "full"}, "whittle"),
        ({"ridge": 0}, "ridge must be positive"),
        ({"mask": np.ones((3, 3))}, "mask's shape"),
        ({"mask": -np.ones((20, 24))}, "negative"),
        ({"ndim": 3}, "axes"),
        ({"ndim": 4}, "ndim must be"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(rng, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        fit_autoregression(rng.normal(size=(20, 24)), **arguments)


@pytest.mark.parametrize("factor", [1e-25, 1e-12, 1e12, 1e25])
def test_very_small_and_very_large_contrasts_change_nothing(smooth, factor):
    image = smooth.astype(np.float32)
    fit, scaled = fit_autoregression(image), fit_autoregression(image * np.float32(factor))
    np.testing.assert_allclose(scaled.r2, fit.r2, rtol=1e-6)
    np.testing.assert_allclose(scaled.kernels, fit.kernels, atol=1e-5)


def test_whittle_takes_an_image_without_any_noise():
    checkerboard = np.indices((32, 32)).sum(axis=0) % 2
    fit = fit_autoregression(checkerboard, estimator="whittle")
    np.testing.assert_allclose(fit.r2, 1, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"dilations": 2}, "sequence of whole numbers"),
        ({"channel_axis": 5}, "channel_axis is 5"),
        ({"radius": 1.5}, "radius must be"),
    ],
)
def test_numbers_of_the_wrong_kind_are_refused_in_a_sentence(smooth, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        fit_autoregression(smooth, **arguments)


def test_images_of_different_numbers_of_axes_are_told_apart(smooth):
    with pytest.raises(ValueError, match="image 1 has 3 axes, not 2"):
        fit_autoregression([smooth, smooth[None]])
