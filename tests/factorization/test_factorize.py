"""The bars that a factorization has to reach, and what it promises of its result."""

import numpy as np
import pytest
from factorization_targets import disk, nmse, normal_kernels, product, wavelet
from scipy.ndimage import convolve

from napari_convfact.factorization.factorize import factorize, factorize_job

TWO = ((3, 3), (3, 3))
THREE = ((3, 3), (3, 3), (3, 3))
# The energy outside 5x5, which no chain of two 3x3 can reach.
TAIL = {"ll": 8.99214e-4, "lh": 4.49708e-4, "hl": 4.49708e-4, "hh": 1e-20}


@pytest.mark.parametrize("band", TAIL)
def test_wavelets_with_two_factors_attain_the_proven_optimum(band):
    kernel = wavelet(band)
    found = factorize(kernel, TWO)
    assert found.method == "roots"
    assert found.status == ("exact" if band == "hh" else "certified")
    assert nmse(kernel, found.reconstruction) <= TAIL[band]
    assert found.nmse == pytest.approx(nmse(kernel, found.reconstruction), rel=1e-9, abs=1e-20)


@pytest.mark.parametrize("band", TAIL)
def test_wavelets_with_three_factors_are_exact(band):
    kernel = wavelet(band)
    found = factorize(kernel, THREE)
    assert found.status == "exact"
    assert nmse(kernel, found.reconstruction) <= 1e-20


@pytest.mark.parametrize("band", ["lh", "hl", "hh"])
def test_closed_form_of_a_wavelet_keeps_its_zero_sum(band):
    assert abs(factorize(wavelet(band), TWO).sum) <= 1e-12


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("band", TAIL)
def test_search_without_the_closed_form_reaches_the_same(band, seed):
    kernel = wavelet(band)
    two = factorize(kernel, TWO, closed_form=False, seed=seed)
    three = factorize(kernel, THREE, closed_form=False, seed=seed)
    assert two.method == three.method == "search"
    assert nmse(kernel, two.reconstruction) <= TAIL[band]
    assert nmse(kernel, three.reconstruction) <= 1e-20


@pytest.mark.parametrize("seed", range(5))
def test_kernels_that_are_no_products_reach_the_known_optima(seed):
    five, seven = normal_kernels()
    cases = [
        (five, TWO, 4.36017e-2),
        (seven, THREE, 1.81628e-1),
        (disk(2, 5), TWO, 4.76394e-4),
        (disk(3, 7), THREE, 2.96628e-3),
    ]
    for kernel, shapes, bar in cases:
        found = factorize(kernel, shapes, seed=seed)
        assert found.status == "best found"
        assert 0 < found.hit_fraction <= 1
        assert nmse(kernel, found.reconstruction) <= bar


def test_zero_sum_is_exact_and_costs_what_is_known():
    five, _ = normal_kernels()
    found = factorize(five, TWO, zero_sum=True)
    assert abs(found.reconstruction.sum()) <= 1e-10
    assert nmse(five, found.reconstruction) <= 7.5288e-2
    # One factor carries the zero: the sum of a product is the product of the sums.
    assert min(abs(factor.sum()) for factor in found.factors) <= 1e-12


def test_zero_sum_of_a_sum_of_chains():
    five, _ = normal_kernels()
    found = factorize(five, TWO, n_terms=2, zero_sum=True)
    assert abs(found.reconstruction.sum()) <= 1e-10
    # Two chains reach any 5x5 kernel, so all that is lost is the kernel's own sum.
    assert found.nmse == pytest.approx(found.floor, rel=1e-4)
    assert found.floor == pytest.approx(five.sum() ** 2 / 25 / np.sum(five**2))


def test_two_chains_reproduce_a_random_kernel():
    five, _ = normal_kernels()
    found = factorize(five, TWO, n_terms=2)
    assert len(found.terms) == 2
    assert found.status == "exact"
    assert found.macs == 36


def test_factors_amount_to_the_reconstruction():
    five, _ = normal_kernels()
    found = factorize(five, TWO)
    np.testing.assert_allclose(product(found.factors), found.reconstruction, atol=1e-13)
    np.testing.assert_allclose(found.residual, five - found.reconstruction, atol=0)
    norms = [np.linalg.norm(factor) for factor in found.factors]
    assert norms[0] == pytest.approx(norms[1])
    assert (found.macs, found.macs_direct, found.macs_separable) == (18, 25, None)
    assert found.relative_error == pytest.approx(np.sqrt(found.nmse))


def test_sum_of_chains_is_not_needed_for_a_separable_kernel():
    found = factorize(wavelet("ll"), THREE, n_terms=2)
    assert len(found.terms) == 1
    assert "one chain is as good" in found.message


def test_cutting_a_tail_can_only_be_better_for_longer_chains():
    x = np.arange(-6, 7)
    gaussian = np.exp(-(x[:, None] ** 2 + x**2) / 8)
    errors = [factorize(gaussian, ((3, 3),) * m).nmse for m in (1, 2, 3, 4)]
    assert errors == sorted(errors, reverse=True)
    for m, error in enumerate(errors, 1):
        outside = gaussian.copy()
        outside[6 - m : 7 + m, 6 - m : 7 + m] = 0
        assert error == pytest.approx(np.sum(outside**2) / np.sum(gaussian**2), rel=1e-9)


def test_scale_of_the_kernel_does_not_matter():
    five, _ = normal_kernels()
    small, large = factorize(five * 1e-12, TWO), factorize(five * 1e12, TWO)
    np.testing.assert_allclose(small.reconstruction * 1e24, large.reconstruction, rtol=1e-6)


def test_kernel_smaller_than_the_chain_is_framed():
    rng = np.random.default_rng(4)
    kernel = rng.standard_normal((3, 4))
    found = factorize(kernel, TWO)
    assert found.reconstruction.shape == (5, 5)
    framed = np.zeros((5, 5))
    framed[1:4, 0:4] = kernel  # origins (1, 2) on (2, 2)
    np.testing.assert_allclose(found.reconstruction + found.residual, framed, atol=1e-14)


@pytest.mark.parametrize("engine", ["auto", "fft", "fused"])
@pytest.mark.parametrize("boundary", ["reflect", "periodic", "zero"])
@pytest.mark.parametrize("size", [(5, 5), (6, 4)])
def test_apply_convolves_with_the_reconstruction(boundary, size, engine):
    rng = np.random.default_rng(5)
    image = rng.random((2, 23, 30)).astype(np.float32)
    shapes = ((3, 3), (size[0] - 2, size[1] - 2))
    found = factorize(rng.standard_normal(size), shapes)
    mode = {"reflect": "reflect", "periodic": "wrap", "zero": "constant"}[boundary]

    expected = [convolve(plane, found.reconstruction, mode=mode) for plane in image.astype(float)]
    filtered = found.apply(image, boundary=boundary, engine=engine)
    assert filtered.dtype == np.float32
    np.testing.assert_allclose(filtered, expected, atol=2e-5)


def test_complex_gabor_is_carried_by_modulation():
    x = np.arange(-5, 6)
    envelope = np.exp(-(x[:, None] ** 2 + x**2) / 10)
    kernel = envelope * np.exp(1j * (0.9 * x[:, None] - 0.4 * x + 0.2))
    found = factorize(kernel, ((3, 3),) * 5)
    assert found.status == "exact"
    assert np.iscomplexobj(found.factors[0])
    np.testing.assert_allclose(product(found.factors), kernel, atol=1e-13)
    image = np.zeros((21, 21), np.float32)
    image[10, 10] = 1
    response = found.apply(image)
    assert response.dtype == np.complex64
    np.testing.assert_allclose(response[5:16, 5:16], kernel, atol=1e-6)


def test_time_limit_returns_the_best_so_far():
    _, seven = normal_kernels()
    found = factorize(seven, THREE, time_limit=1e-6)
    assert 0.181 < found.nmse < 1
    assert "time limit" in found.message


def test_job_reports_its_stages_and_can_be_closed():
    _, seven = normal_kernels()
    job = factorize_job(seven, THREE)
    steps = [next(job) for _ in range(30)]
    assert all(0 <= step.done <= step.total for step in steps)
    assert "scout" in steps[5].message
    assert "refine" in steps[29].message
    job.close()
    with pytest.raises(StopIteration):
        next(job)


def test_input_is_not_changed():
    five, _ = normal_kernels()
    copy = five.copy()
    factorize(five, TWO)
    np.testing.assert_array_equal(five, copy)


def test_text_and_numbers_describe_shapes():
    kernel = wavelet("hh")
    shapes = [f.shape for f in factorize(kernel, "3x3, 1 x 3; 3x1").factors]
    assert shapes == [(3, 3), (1, 3), (3, 1)]
    assert [f.shape for f in factorize(kernel, (3, 3)).factors] == [(3, 3), (3, 3)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel": np.zeros((5, 5))}, "zero everywhere"),
        ({"kernel": np.full((5, 5), np.nan)}, "NaN"),
        ({"shapes": ()}, "shapes is empty"),
        ({"shapes": ((3, 3, 3),)}, "3 axes but the kernel has 2"),
        ({"shapes": ((3, 0),)}, "at least 1"),
        ({"shapes": "3x3 and 3x3"}, "not understood"),
        ({"shapes": "auto for 200 %"}, "auto for 1 %"),
        ({"shapes": "auto", "n_terms": 2}, "leave them out"),
        ({"dilations": (1,)}, "1 dilations for 2 factors"),
        ({"dilations": (1, 0)}, "dilations must be"),
        ({"n_terms": 0}, "n_terms"),
        ({"starts": 0}, "starts"),
        ({"time_limit": -1.0}, "time_limit"),
        ({"time_limit": "1 s"}, "time_limit"),
        ({"seed": -1}, "seed"),
        ({"shapes": 3}, "shapes must name the factors"),
        ({"shapes": (3.0, 3.0)}, "whole numbers"),
        ({"dilations": 1.5}, "dilations must be"),
        ({"shapes": ((1, 1),), "zero_sum": True}, "more than one tap"),
        ({"shapes": ((1, 1),), "zero_sum": True, "n_terms": 2}, "more than one tap"),
        ({"kernel": np.eye(5) + 1j * np.eye(5)[::-1]}, "plane wave"),
        ({"kernel": np.pad(np.ones((1, 1)), ((0, 20), (0, 20)))}, "centre the kernel"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    five, _ = normal_kernels()
    with pytest.raises(ValueError, match=message):
        factorize(**{"kernel": five, "shapes": TWO, **arguments})


def test_auto_takes_the_cheapest_chain_within_the_error():
    kernel = wavelet("ll")
    coarse, fine = factorize(kernel, "auto for 5 %"), factorize(kernel, "auto for 1 %")
    # One filter per axis, 14 multiplications, is cheaper than any chain of 3x3 and exact.
    assert (fine.macs, fine.status) == (14, "exact")
    assert coarse.macs == 14
    x = np.arange(-9, 10)
    gaussian = np.exp(-(x[:, None] ** 2 + x**2) / 18)
    dilated = factorize(gaussian, "auto for 5 %")
    assert dilated.relative_error <= 0.05
    assert dilated.macs < 38 == dilated.macs_separable
    assert max(dilated.dilations) > 1


def test_auto_finds_that_a_laplacian_of_a_gaussian_is_two_separable_kernels():
    x = np.arange(-6, 7)
    square = x[:, None] ** 2 + x**2
    found = factorize((square / 4 - 2) * np.exp(-square / 8), "auto for 0.01 %")
    assert (len(found.terms), found.macs, found.status) == (2, 52, "exact")


def test_auto_keeps_to_the_time_limit():
    found = factorize(disk(7, 15), "auto for 1 %", time_limit=1e-6)
    assert found.relative_error > 0.01
    assert "time limit" in found.message


def test_auto_says_when_nothing_pays():
    five, _ = normal_kernels()
    found = factorize(five, "auto")
    assert found.relative_error > 0.01
    assert "fewer multiplications than the kernel itself (25)" in found.message


def test_kernels_rounded_to_float32_count_as_separable():
    kernel = wavelet("ll").astype(np.float32)
    found = factorize(kernel, TWO)
    assert (found.method, found.status) == ("roots", "certified")
    assert factorize(kernel, THREE).status == "exact"
    x = np.arange(-4, 5)
    gabor = np.exp(-(x[:, None] ** 2 + x**2) / 8) * np.exp(1j * (0.9 * x[:, None] - 0.4 * x))
    assert factorize(gabor.astype(np.complex64), ((3, 3),) * 4).status == "exact"


def test_chain_that_fails_in_float32_is_refused_and_fitted_again(monkeypatch):
    x = np.arange(-9, 10)
    gaussian = np.exp(-(x[:, None] ** 2 + x**2) / 18)
    shapes = ((3, 3),) * 9
    roots = factorize(gaussian, shapes)
    assert roots.method == "roots"
    # No kernel is known whose ordered roots fail, so the limit is lowered for the test.
    limit = 0.7 * roots.float32_error
    monkeypatch.setattr("napari_convfact.factorization.strategy.FLOAT32_LIMIT", limit)
    fitted = factorize(gaussian, shapes, time_limit=5)
    assert fitted.method != "roots"
    assert fitted.float32_error != roots.float32_error
    assert fitted.relative_error < 1e-2


def test_holes_of_a_dilated_chain_are_out_of_reach():
    five, _ = normal_kernels()
    found = factorize(five, ((3, 3),), dilations=2)
    reached = np.zeros((5, 5), bool)
    reached[::2, ::2] = True
    assert found.status == "certified"
    assert found.tail_nmse == pytest.approx(np.sum(five[~reached] ** 2) / np.sum(five**2))
    assert found.ruppert_nmse is None  # one factor is no product


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1e160, 1e300])
def test_the_size_of_a_kernel_does_not_matter(size):
    # Squares of these are 0 or infinite: what is compared is divided by the size first.
    five, _ = normal_kernels()
    wave = np.outer(np.exp(0.7j * np.arange(-2, 3)), [1, 4, 6, 4, 1])
    for kernel in (five, wave):
        plain, found = factorize(kernel, TWO), factorize(size * kernel, TWO)
        assert found.status == plain.status
        assert found.relative_error == pytest.approx(plain.relative_error, rel=1e-6, abs=1e-14)
        assert found.macs_separable == plain.macs_separable
        assert found.ruppert_nmse == pytest.approx(plain.ruppert_nmse)
        error = nmse(kernel, product(found.factors) / size)
        assert error == pytest.approx(plain.nmse, rel=1e-6, abs=1e-25)
        np.testing.assert_array_equal(found.kernel, size * kernel)
        a, b = (np.linalg.norm(factor / size**0.5) for factor in found.factors)
        assert a == pytest.approx(b)


def test_a_chain_beyond_float32_is_not_applied():
    five, _ = normal_kernels()
    with pytest.raises(ValueError, match="beyond what float32 holds"):
        factorize(1e200 * five, TWO, starts=3).apply(np.ones((9, 9)))
