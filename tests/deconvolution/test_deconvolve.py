"""What `deconvolve` promises for every method: axes, types, messages, cancelling."""

from __future__ import annotations

import dataclasses
import inspect
import re

import numpy as np
import pytest
import scipy.ndimage

from napari_convfact.deconvolution.curve import strength_curve
from napari_convfact.deconvolution.deconvolve import deconvolve, deconvolve_job
from napari_convfact.deconvolution.settings import Settings
from napari_convfact.foundation.job import run

RNG = np.random.default_rng(0)
PSF = np.outer([1.0, 2.0, 1.0], [1.0, 3.0, 2.0]) / 24

LINEAR = {
    "tikhonov extended": {"strength": 0.01},
    "tikhonov reflect": {"strength": 0.01, "boundary": "reflect"},
    "tikhonov identity": {"strength": 0.01, "prior": "identity", "boundary": "zero"},
    "wiener extended": {"method": "wiener", "strength": 0.02},
    "wiener periodic": {"method": "wiener", "strength": 0.02, "boundary": "periodic"},
    "pseudo-inverse": {"method": "pseudo-inverse", "rcond": 0.1},
}
EVERY = {
    **LINEAR,
    "automatic": {},
    "automatic wiener": {"method": "wiener"},
    "automatic pseudo-inverse": {"method": "pseudo-inverse"},
    "discrepancy": {"strength": "discrepancy", "boundary": "reflect"},
    "richardson-lucy": {"method": "richardson-lucy", "iterations": 4},
}


def parametrize(cases):
    return pytest.mark.parametrize("options", cases.values(), ids=cases)


@parametrize(EVERY)
def test_shape_and_type_are_kept(options):
    for shape in ((16, 17), (2, 3, 8, 9)):
        image = RNG.integers(0, 200, shape).astype(np.uint16)
        before = image.copy()
        result = deconvolve(image, PSF, **options)
        assert result.estimate.shape == shape
        assert result.estimate.dtype == np.float32
        assert result.estimate.flags.c_contiguous
        assert np.isfinite(result.estimate).all()
        np.testing.assert_array_equal(image, before)


@parametrize(LINEAR)
def test_linearity(options):
    first, second = RNG.random((2, 14, 15))
    options = {**options, "dtype": "float64", "tolerance": 1e-10, "iterations": 500}
    estimate = deconvolve(2 * first - 3 * second, PSF, **options).estimate
    parts = [deconvolve(image, PSF, **options).estimate for image in (first, second)]
    np.testing.assert_allclose(estimate, 2 * parts[0] - 3 * parts[1], atol=1e-7)


@parametrize(LINEAR)
def test_precision(options):
    image = RNG.random((20, 21))
    single = deconvolve(image, PSF, **options)
    double = deconvolve(image, PSF, dtype="float64", **options)
    assert double.estimate.dtype == np.float64
    np.testing.assert_allclose(single.estimate, double.estimate, atol=1e-5)


@pytest.mark.parametrize("options", [EVERY["tikhonov extended"], EVERY["wiener periodic"]])
def test_the_image_comes_in_any_dress(options):
    image = RNG.integers(0, 200, (12, 13))
    expected = deconvolve(image.astype(np.float32), PSF, **options).estimate
    read_only = image.astype(np.float32)
    read_only.flags.writeable = False
    dresses = [
        image.astype(np.uint8),
        image.astype(">u2"),
        image.astype(">f8"),
        image.astype(np.float16),
        image.tolist(),
        np.asfortranarray(image),
        np.repeat(image, 2, axis=1)[:, ::2],
        image[::-1].copy()[::-1],
        read_only,
    ]
    for dress in dresses:
        np.testing.assert_array_equal(deconvolve(dress, PSF, **options).estimate, expected)


@parametrize(LINEAR)
def test_leading_axes_are_independent(options):
    stack = RNG.random((2, 3, 12, 11))
    together = deconvolve(stack, PSF, **options).estimate
    for index in np.ndindex(2, 3):
        alone = deconvolve(stack[index], PSF, **options).estimate
        np.testing.assert_allclose(together[index], alone, atol=1e-5)


def test_a_stack_shares_one_strength():
    """Chosen from all items: between what each would have got."""
    scene = np.cumsum(RNG.standard_normal((40, 40)), 0)
    calm, noisy = (scene + level * RNG.standard_normal(scene.shape) for level in (0.05, 2))
    shared = deconvolve(np.stack([calm, noisy]), PSF)
    alone = [deconvolve(image, PSF).strength for image in (calm, noisy)]
    assert alone[0] < shared.strength < alone[1]
    fixed = deconvolve(np.stack([calm, noisy]), PSF, strength=shared.strength)
    np.testing.assert_array_equal(shared.estimate, fixed.estimate)


@pytest.mark.parametrize("axis", [0, 1, -1])
@parametrize({name: EVERY[name] for name in ("tikhonov reflect", "automatic", "richardson-lucy")})
def test_colour_is_a_leading_axis(axis, options):
    planes = RNG.random((3, 12, 13))
    expected = deconvolve(planes, PSF, **options).estimate
    colour = np.moveaxis(planes, 0, axis)
    estimate = deconvolve(colour, PSF, channel_axis=axis, **options).estimate
    np.testing.assert_array_equal(estimate, np.moveaxis(expected, 0, axis))
    assert estimate.flags.c_contiguous


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (1, 1), (3, 2)])
@parametrize(EVERY)
def test_tiny_images(shape, options):
    """Axes of one sample, and a PSF larger than the image."""
    estimate = deconvolve(5 + RNG.random(shape), np.ones((5, 4)), **options).estimate
    assert estimate.shape == shape
    assert np.isfinite(estimate).all()


@parametrize({name: EVERY[name] for name in ("automatic", "discrepancy", "automatic wiener")})
def test_the_choice_depends_on_neither_unit_nor_offset(options):
    scene = np.cumsum(RNG.standard_normal((30, 30)), 0)
    choice = deconvolve(scene, PSF, dtype="float64", **options).strength
    rescaled = deconvolve(1000 * scene + 500, PSF, dtype="float64", **options).strength
    assert rescaled == pytest.approx(choice, rel=1e-6)


def test_the_psf_is_divided_by_its_sum():
    image = RNG.random((10, 11))
    np.testing.assert_array_equal(
        deconvolve(image, 4 * PSF, strength=0.1).estimate,
        deconvolve(image, PSF, strength=0.1).estimate,
    )


def test_the_background_is_removed():
    image = RNG.random((10, 11))
    with_background = deconvolve(image + 100, PSF, strength=0.1, background=100).estimate
    np.testing.assert_allclose(
        with_background, deconvolve(image, PSF, strength=0.1).estimate, atol=1e-4
    )


def test_missing_values_come_back():
    image = RNG.random((2, 10, 11))
    image[0, 3, 4] = np.nan
    with pytest.raises(ValueError, match="1 values that are NaN"):
        deconvolve(image, PSF)
    for channel_axis in (None, 0):
        result = deconvolve(image, PSF, missing="fill", channel_axis=channel_axis)
        np.testing.assert_array_equal(np.isnan(result.estimate), np.isnan(image))
        assert "were filled" in result.message


@pytest.mark.parametrize("channel_axis", [None, 0, 1, -1])
def test_missing_values_are_not_taken_from_other_channels(channel_axis):
    channels = np.stack([RNG.random((10, 11)), 100 + RNG.random((10, 11))])
    channels[0, 3:8, 4:9] = np.nan
    alone = deconvolve(channels[0], PSF, strength=0.01, missing="fill").estimate
    image = np.moveaxis(channels, 0, channel_axis or 0)
    found = deconvolve(image, PSF, strength=0.01, missing="fill", channel_axis=channel_axis)
    both = np.moveaxis(found.estimate, channel_axis or 0, 0)
    np.testing.assert_allclose(both[0], alone, atol=1e-4)


def test_the_rule_is_told():
    image = RNG.random((20, 20))
    told = {
        name: deconvolve(image, PSF, **EVERY[name]) for name in EVERY if name != "richardson-lucy"
    }
    assert told["tikhonov extended"].rule == "given"
    assert told["tikhonov extended"].strength == 0.01
    assert told["pseudo-inverse"].strength == 0.1
    assert told["automatic"].rule == "generalized cross-validation"
    assert told["automatic pseudo-inverse"].rule == "generalized cross-validation"
    assert 0.01 <= told["automatic pseudo-inverse"].strength <= 1
    assert told["discrepancy"].rule == "discrepancy"
    assert told["tikhonov reflect"].iterations == 0
    assert told["tikhonov extended"].iterations == len(told["tikhonov extended"].history) > 0
    assert "reflection" in told["pseudo-inverse"].message
    assert "CPU" in deconvolve(image, PSF, device="cpu").message


@pytest.mark.parametrize("number", [np.float32(0.25), np.float64(0.25), np.array(0.25)[()]])
def test_numbers_may_be_numpys(number):
    image = RNG.random((12, 12))
    assert deconvolve(image, PSF, strength=number).strength == 0.25
    assert deconvolve(image, PSF, method="pseudo-inverse", rcond=number).strength == 0.25


def test_richardson_lucy_never_goes_below_zero():
    scene = np.zeros((24, 24))
    scene[12, 12] = 1000
    result = deconvolve(
        RNG.poisson(scene + 2), PSF, method="richardson-lucy", iterations=10, background=2
    )
    assert result.estimate.min() >= 0
    assert result.strength is None
    assert result.iterations == 10


BAD_OPTIONS = [
    ({"method": "inverse"}, "method must be tikhonov, .* not 'inverse'"),
    ({"boundary": "mirror"}, "boundary must be extended, reflect, periodic or zero"),
    ({"prior": "laplace"}, "prior must be gradient or identity"),
    ({"strength": 0}, "strength must be a number above 0"),
    ({"strength": -1.0}, "strength must be"),
    ({"strength": np.nan}, "strength must be"),
    ({"strength": True}, "strength must be"),
    ({"strength": "gcv"}, "strength must be auto, discrepancy or a positive number"),
    ({"rcond": 0}, "rcond must be a number from 1e-12 to 1, not 0"),
    ({"rcond": "auto"}, "rcond must be"),
    ({"rcond": 2.0}, "rcond must be"),
    ({"iterations": 0}, "iterations must be 'auto' or a whole number"),
    ({"iterations": 2.5}, "iterations must be"),
    ({"tolerance": 0.0}, "tolerance must be"),
    ({"background": np.inf}, "background must be a number from -3.4e\\+38 to 3.4e\\+38, not inf"),
    ({"background": 1e40}, "background must be"),
    ({"read_noise": "much"}, "read_noise must be a number from 0 to"),
    ({"read_noise": -1.0}, "read_noise must be"),
    ({"total_variation": np.nan}, "total_variation must be a number from 0 to"),
    ({"strength": 1e39}, "strength must be a number above 0 and at most"),
    ({"channel_axis": "c"}, "channel_axis must be None or a whole number"),
    ({"missing": "ignore"}, "missing must be"),
    ({"dtype": "float16"}, "dtype must be float32 or float64"),
]


@pytest.mark.parametrize(("options", "sentence"), BAD_OPTIONS, ids=[str(o) for o, _ in BAD_OPTIONS])
def test_illegal_options_are_refused_at_once(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        deconvolve_job(np.ones((8, 8)), PSF, **options)


BAD_ARRAYS = [
    (np.ones(8), PSF, {}, "1 axes but 2 are needed"),
    (np.ones((8, 8)), PSF, {"channel_axis": -1}, "2 axes but 3 are needed"),
    (np.ones((8, 8, 3)), PSF, {"channel_axis": 3}, "channel_axis is 3"),
    (np.ones((8, 8), complex), PSF, {}, "complex"),
    (np.ones((0, 8)), PSF, {}, "empty"),
    (np.array([["a"]]), PSF, {}, "numbers are needed"),
    ([np.ones((8, 8)), np.ones((4, 4))], PSF, {}, "pyramid"),
    (np.ones((8, 8)), np.zeros((3, 3)), {}, "zero everywhere"),
    (np.ones((8, 8)), -PSF, {}, "positive sum"),
    (np.ones((8, 8)), np.full((3, 3), np.nan), {}, "NaN"),
    (np.ones((8, 8)), PSF, {"device": "tpu"}, "Unknown device"),
]


@pytest.mark.parametrize(("image", "psf", "options", "sentence"), BAD_ARRAYS)
def test_bad_input_gets_a_sentence(image, psf, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        deconvolve(image, psf, **options)


def test_negative_values_of_the_psf_are_told():
    psf = PSF.copy()
    psf[0, 0] = -0.01
    assert "negative values of the PSF" in deconvolve(np.ones((8, 8)), psf).message


@parametrize(EVERY)
def test_steps_count_up_and_can_be_closed(options):
    image = 50 * RNG.random((3, 32, 32))
    job = deconvolve_job(image, PSF, **options)
    first = next(job)
    assert first.done == 0
    next(job)
    job.close()
    with pytest.raises(StopIteration):
        next(job)

    steps = []
    run(deconvolve_job(image, PSF, **options), steps.append)
    done = [step.done for step in steps]
    assert done == sorted(done)
    assert all(step.done <= step.total for step in steps if step.total)


@pytest.mark.parametrize("shape", [(64, 64), (1, 64, 64)])
def test_least_squares_shows_its_estimate(shape):
    steps = []
    image = RNG.random(shape)
    result = run(deconvolve_job(image, np.ones((7, 7)), strength=1e-3), steps.append)
    previews = [step.preview for step in steps if step.preview is not None]
    assert len(previews) == result.iterations > 1
    np.testing.assert_array_equal(previews[-1], result.estimate)


def test_the_signature_is_that_of_the_settings():
    """`deconvolve` spells the options out for its readers; they are declared in `Settings`."""
    parameters = list(inspect.signature(deconvolve).parameters.values())[2:]
    fields = dataclasses.fields(Settings)
    assert [(p.name, p.default) for p in parameters] == [(f.name, f.default) for f in fields]


def test_the_curve_shows_the_choice():
    image = np.cumsum(RNG.standard_normal((2, 40, 40)), 1)
    curve = strength_curve(image, 3 * PSF)
    best = curve.strength[np.argmin(curve.cross_validation)]
    # Ten points per decade.
    assert abs(np.log10(best / deconvolve(image, PSF).strength)) <= 0.05 + 1e-9
    assert strength_curve(image, PSF, prior="identity", strengths=[0.1, 1]).strength.size == 2
    for wrong in (0.0, np.inf, "weak"):
        with pytest.raises(ValueError, match="strengths must be a number above 0"):
            strength_curve(image, PSF, strengths=[1.0, wrong])
    with pytest.raises(ValueError, match="prior must be"):
        strength_curve(image, PSF, prior="smooth")


def test_a_rule_that_finds_nothing_gives_way():
    """Points are no blur of a wide PSF: every strength leaves more than the noise there is."""
    image = np.zeros((64, 64))
    image[::16, ::16] = 1000
    image += 0.01 * RNG.standard_normal(image.shape)
    result = deconvolve(image, np.ones((9, 9)), strength="discrepancy", boundary="reflect")
    assert result.rule == "generalized cross-validation"


def test_a_warm_start_goes_on_where_the_frame_before_ended():
    options = {"method": "richardson-lucy", "boundary": "periodic", "accelerate": False}
    frame = RNG.poisson(30, (24, 20)).astype(float)
    twice = deconvolve([frame, frame], PSF, iterations=4, warm_start=True, **options).estimate
    through = deconvolve(frame, PSF, iterations=8, **options).estimate
    np.testing.assert_allclose(twice[1], through, rtol=1e-5)


def test_kept_estimates_are_those_of_shorter_runs():
    options = {"method": "richardson-lucy", "boundary": "periodic"}
    frame = RNG.poisson(30, (24, 20)).astype(float)
    kept = deconvolve(frame, PSF, iterations=6, keep_every=2, **options).intermediate
    assert kept is not None
    for index, iterations in enumerate((2, 4, 6)):
        shorter = deconvolve(frame, PSF, iterations=iterations, **options).estimate
        np.testing.assert_array_equal(kept[index], shorter)


def test_estimates_of_a_stack_are_not_kept():
    with pytest.raises(ValueError, match="without leading axes"):
        deconvolve(np.ones((2, 9, 9)), PSF, method="richardson-lucy", keep_every=1)


def test_the_engine_is_told_and_can_be_asked_for():
    offset = np.arange(-3, 4)
    psf = np.outer(np.exp(-(offset**2) / 4), np.exp(-(offset**2) / 4))
    image = RNG.poisson(30, (40, 44)).astype(float)
    options = {"method": "richardson-lucy", "iterations": 3}
    fused = deconvolve(image, psf, engine="fused", **options)
    fft = deconvolve(image, psf, engine="fft", **options)
    assert (fused.engine, fft.engine) == ("fused", "fft")
    np.testing.assert_allclose(fused.estimate, fft.estimate, rtol=1e-4)


def test_frames_are_described_together():
    rng = np.random.default_rng(0)
    scene = np.kron(rng.uniform(1, 100, (16, 16)), np.ones((4, 4)))
    psf = np.outer(*[np.hanning(9)[1:-1]] * 2) / 16
    blurred = scipy.ndimage.convolve(scene, psf)
    movie = np.stack([rng.poisson(blurred * level) / level for level in (0.02, 5, 50)])
    movie[0, :2, 0] = -1
    movie[2, 0, 0] = -1
    message = deconvolve(movie, psf, method="richardson-lucy", device="cpu").message
    assert message.count("held-out photons best") == 1
    assert re.search(r"[Ss]topped at iteration \d+ to \d+, which", message)
    assert re.search(r"shows \S+ to \S+ intensity units per photon", message)
    assert re.search(r"In 1 of 3 frames, so few say", message)
    assert "3 negative values of the image" in message


EVERY_SIZE = (1e-42, 1e-38, 1e-30, 1e-20, 1e-13, 1e13, 1e17, 1e19, 1e25, 1e34)


@parametrize(EVERY)
def test_intensities_of_any_size(options):
    """Squares of them overflow float32, or vanish; every method is homogeneous."""
    image = RNG.poisson(40, (24, 25)) + 200.0 * (RNG.random((24, 25)) > 0.95)
    options = {**options, "background": 3.0}
    expected = deconvolve(image, PSF, **options).estimate
    scale = np.abs(expected).max()
    for factor in EVERY_SIZE:
        options["background"] = 3.0 * factor
        found = deconvolve(image * factor, PSF, **options).estimate.astype(float)
        # The smallest float32 have few digits.
        tolerance = 2e-2 if factor < 1e-37 else 2e-4
        np.testing.assert_allclose(found / factor, expected, atol=tolerance * scale)


def test_previews_are_in_the_units_of_the_image():
    steps = []
    image = 1e20 * RNG.random((32, 33))
    result = run(deconvolve_job(image, np.ones((5, 5)), strength=1e-3), steps.append)
    previews = [step.preview for step in steps if step.preview is not None]
    np.testing.assert_array_equal(previews[-1], result.estimate)


@pytest.mark.parametrize("iterations", [8, "auto"])
@pytest.mark.parametrize("black", [[0], [1], [2], [0, 1, 2]])
def test_a_warm_start_survives_black_frames(black, iterations):
    """Richardson-Lucy multiplies: from an estimate of nothing all later frames were nothing."""
    movie = RNG.poisson(30, (4, 20, 21)).astype(float)
    movie[black] = 0
    options = {"method": "richardson-lucy", "iterations": iterations}
    found = deconvolve(movie, PSF, warm_start=True, **options).estimate
    lit = [frame for frame in range(4) if frame not in black]
    np.testing.assert_allclose(found[lit].mean((1, 2)), movie[lit].mean((1, 2)), rtol=0.02)
    # The frame after the black one begins as it would alone.
    alone = deconvolve(movie[black[-1] + 1], PSF, **options).estimate
    np.testing.assert_array_equal(found[black[-1] + 1], alone)
    assert not found[black].any()


def test_read_noise_does_not_darken_the_start():
    """Snyder's model adds the variance to data and model alike: it is no background."""
    counts = RNG.poisson(5, (20, 21)).astype(float)
    options = {"method": "richardson-lucy", "boundary": "periodic", "accelerate": False}
    read_noise, psf = 30.0, np.ones((1, 1))
    found = deconvolve(counts, psf, read_noise=read_noise, iterations=1, **options).estimate
    start = counts.mean()
    step = start * (counts + read_noise) / (start + read_noise)
    np.testing.assert_allclose(found, step, rtol=1e-5)


def test_kept_estimates_that_there_are_not_are_told():
    options = {"method": "richardson-lucy", "iterations": 3}
    image = RNG.poisson(9, (8, 9))
    found = deconvolve(image, PSF, keep_every=5, **options)
    assert found.intermediate is None
    assert "No estimate was kept: there were 3 iterations" in found.message
    assert "kept" not in deconvolve(image, PSF, keep_every=3, **options).message


def test_a_loss_of_brightness_is_told():
    """Of noise alone the rule wants next to nothing, and Wiener's gain takes the mean with it."""
    noise = 100 + RNG.standard_normal((48, 48))
    found = deconvolve(noise, PSF, method="wiener", boundary="reflect")
    left = 100 * found.estimate.mean() / noise.mean()
    assert left < 95
    assert f"{left:.2g} % of the mean brightness" in found.message
    for options in ({"method": "wiener"}, {"boundary": "reflect"}):
        kept = deconvolve(noise, PSF, **options)
        assert kept.estimate.mean() == pytest.approx(100, abs=0.1)
        assert "brightness" not in kept.message
