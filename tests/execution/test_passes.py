"""The fused pass against direct convolution by scipy."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import torch

from napari_convfact.convolution.boundary import pad
from napari_convfact.execution import fused, tiling, vectors
from napari_convfact.execution.chain import Chain
from napari_convfact.execution.passes import FusedPass
from napari_convfact.foundation.parallel import run_all

BOUNDARIES = {"periodic": "wrap", "reflect": "reflect", "zero": "constant"}

# Image, factors and dilations: odd and even factors, more halo than image, axes of one pixel,
# rows of several blocks and a rest.
CASES = [
    ((50,), [(4,), (3,)], (1, 3)),
    ((17, 23), [(3, 3), (3, 3)], (1, 2)),
    ((5, 4), [(3, 3), (5, 4), (2, 7)], (1, 2, 1)),
    ((3, 1), [(3, 3), (3, 3)], (1, 1)),
    ((1, 30), [(1, 5), (3, 1)], (2, 2)),
    ((40, 40), [(11, 11)], (1,)),
    ((7, 150), [(3, 3), (1, 7)], (2, 1)),
    ((4, 5, 70), [(3, 3, 3), (1, 3, 1)], (1, 2)),
    ((6, 7, 8), [(3, 3, 3), (2, 3, 1)], (1, 2)),
    ((6, 1, 8), [(3, 1, 1), (1, 4, 1), (1, 1, 5)], (1, 1, 1)),
]
TOLERANCES = {"float64": 1e-12, "float32": 2e-6}


def random_chain(shapes, dilations=None, seed=1):
    rng = np.random.default_rng(seed)
    return Chain.of([rng.standard_normal(shape) for shape in shapes], dilations)


def dense_kernel(chain):
    """The kernel of a chain, by scipy from the dilated factors."""
    total = np.ones((1,) * chain.ndim)
    for factor, d in zip(chain.factors, chain.dilations, strict=True):
        spread = np.zeros([d * (n - 1) + 1 for n in factor.shape])
        spread[(slice(None, None, d),) * factor.ndim] = factor
        total = scipy.signal.convolve(total, spread, method="direct")
    return total


def relative_error(result, expected):
    return np.abs(np.asarray(result) - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("shape", "factors", "dilations"), CASES)
def test_chain_equals_ndimage_with_its_kernel(shape, factors, dilations, boundary, dtype):
    chain = random_chain(factors, dilations)
    x = np.random.default_rng(0).random(shape)
    result = FusedPass([chain])(torch.as_tensor(x.astype(dtype)), boundary)
    kernel = dense_kernel(chain)
    expected = scipy.ndimage.convolve(x, kernel, mode=BOUNDARIES[boundary])
    assert result.shape == shape
    assert str(result.dtype) == f"torch.{dtype}"
    assert relative_error(result, expected) <= TOLERANCES[dtype]


def test_kernel_of_a_chain():
    chain = random_chain([(3, 2), (4, 3)], (1, 3))
    np.testing.assert_allclose(chain.kernel(), dense_kernel(chain), rtol=1e-12)
    assert chain.shape == chain.kernel().shape
    assert chain.multiplications == 18


@pytest.mark.parametrize("shape", [(30, 20), (9, 20, 11)])
def test_no_padding_and_full_padding(shape):
    ndim = len(shape)
    chain = random_chain([(3,) * ndim, (2,) * ndim])
    kernel = dense_kernel(chain)
    x = np.random.default_rng(0).random(shape)
    fused = FusedPass([chain])
    none, all_of_it = (0,) * ndim, tuple(n - 1 for n in kernel.shape)
    for margin, mode in ((none, "valid"), (all_of_it, "full")):
        result = fused(torch.as_tensor(x), "zero", before=margin, after=margin)
        expected = scipy.signal.convolve(x, kernel, mode=mode, method="direct")
        assert relative_error(result, expected) <= 1e-12


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_sum_of_chains_of_different_sizes(boundary, ndim):
    shapes = [[(3,) * ndim, (4,) * ndim], [(7,) * ndim], [(2,) * ndim, (2,) * ndim, (3,) * ndim]]
    chains = [random_chain(s, seed=i) for i, s in enumerate(shapes)]
    x = np.random.default_rng(0).random({1: (50,), 2: (9, 50), 3: (9, 10, 50)}[ndim])
    expected = sum(
        scipy.ndimage.convolve(x, dense_kernel(chain), mode=BOUNDARIES[boundary])
        for chain in chains
    )
    assert relative_error(FusedPass(chains)(torch.as_tensor(x), boundary), expected) <= 1e-12


@pytest.mark.parametrize("origin", [(0, 0), (2, 3), (1, 0)])
def test_explicit_origin(origin):
    chain = random_chain([(3, 4)])
    x = np.random.default_rng(0).random((8, 9))
    before = [n - 1 - o for n, o in zip(chain.shape, origin, strict=True)]
    padded = pad(torch.as_tensor(x), before, origin, "reflect").numpy()
    expected = scipy.signal.convolve(padded, dense_kernel(chain), mode="valid", method="direct")
    result = FusedPass([chain], [origin])(torch.as_tensor(x), "reflect")
    assert relative_error(result, expected) <= 1e-12


@pytest.mark.parametrize("box", [(3, 5, 7), (64, 64, 64)])
def test_boxes_do_not_show(monkeypatch, box):
    def boxes(shape, *_):
        parts = [-(-n // b) for n, b in zip(shape, box, strict=True)]
        return tuple(tiling._boxes(shape, parts))

    monkeypatch.setattr("napari_convfact.execution.passes.choose_boxes", boxes)
    for shape in ((20, 33), (9, 17, 21)):
        ndim = len(shape)
        chain = random_chain([(3,) * ndim, (2,) * ndim])
        x = np.random.default_rng(0).random((2, *shape))
        expected = [
            scipy.ndimage.convolve(image, dense_kernel(chain), mode="reflect") for image in x
        ]
        result = FusedPass([chain])(torch.as_tensor(x), "reflect")
        assert relative_error(result, expected) <= 1e-12


@pytest.mark.parametrize("factors", [[(3, 3), (3, 3)], [(7, 1), (1, 7)], [(5, 5)]])
def test_a_result_does_not_depend_on_where_a_box_begins(factors):
    """To the bit: what is computed in tiles is what is computed whole."""
    chain = random_chain(factors)
    disk = Chain.of([(np.hypot(*np.indices((7, 7)) - 3) <= 3.2) / 37])
    x = torch.rand(40, 90, generator=torch.Generator().manual_seed(0))
    for apply in (FusedPass([chain]), FusedPass([disk])):
        none = (0, 0)
        whole = apply(x, "zero", before=none, after=none)
        for rows in (1, 2, 3):
            part = apply(x[rows:], "zero", before=none, after=none)
            assert torch.equal(part, whole[rows:])


@pytest.mark.parametrize("shape", [(2048, 1, 2048), (64, 256, 256), (1, 1, 10), (3, 5000, 7)])
def test_boxes_cover_the_output_once(shape):
    count = np.zeros(shape, np.uint8)
    for low, high in tiling.choose_boxes(shape, (6, 8, 8), 9, 4):
        count[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] += 1
    assert (count == 1).all()


def test_strided_input_and_leading_axes():
    chain = random_chain([(3, 3), (2, 2)])
    x = np.random.default_rng(0).random((4, 3, 30, 40))[:, ::-2, ::3, ::-1]
    tensor = torch.as_tensor(x.copy()).transpose(-1, -2)
    result = FusedPass([chain])(tensor, "zero")
    kernel = dense_kernel(chain)
    for index in np.ndindex(x.shape[:2]):
        expected = scipy.ndimage.convolve(x[index].T, kernel, mode="constant")
        assert relative_error(result[index], expected) <= 1e-12


def test_input_is_left_alone():
    x = torch.rand(20, 20)
    before = x.clone()
    FusedPass([random_chain([(3, 3)])])(x, "reflect")
    assert torch.equal(x, before)


def test_image_smaller_than_the_kernel_needs_padding():
    with pytest.raises(ValueError, match="smaller than the kernel"):
        FusedPass([random_chain([(5, 5)])])(torch.rand(4, 9), "zero", before=(0, 0), after=(0, 0))


def test_nan_spreads_over_the_kernel_and_no_further():
    x = torch.rand(20, 20)
    x[10, 10] = torch.nan
    result = FusedPass([random_chain([(3, 3), (3, 3)])])(x, "reflect")
    assert torch.isnan(result).sum() == 25


def test_processors_without_wide_vectors(tmp_path):
    """They sum half as many lines at once."""
    script = """
import numpy as np, scipy.ndimage, torch
from napari_convfact.execution.chain import Chain
from napari_convfact.execution.passes import FusedPass
random = np.random.default_rng(0)
image, kernel = random.random((9, 150)), random.random((3, 5))
result = FusedPass([Chain.of([kernel])])(torch.as_tensor(image), "reflect").numpy()
np.testing.assert_allclose(result, scipy.ndimage.convolve(image, kernel), rtol=1e-12)
"""
    plain = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": tmp_path}
    environment = os.environ | {name: str(value) for name, value in plain.items()}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)


def test_the_cache_of_compiled_passes_follows_the_vectors():
    """Else an update would go on with what an older version compiled, and be wrong."""
    text = Path(vectors.__file__).read_text(encoding="utf-8")
    text += f"{tiling.LINE_BYTES} {tiling.BLOCK_LINES}"
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == fused.VECTORS_HASH


def test_threads_may_run_passes_at_the_same_time():
    chain = random_chain([(3, 3), (3, 3)])
    x = torch.rand(300, 300)
    fused = FusedPass([chain])
    expected = fused(x, "reflect")
    wrong = []

    def work():
        wrong.extend("differs" for _ in range(30) if not torch.equal(fused(x, "reflect"), expected))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_an_interrupt_cancels_the_boxes_that_have_not_begun():
    ran = []

    def fail():
        raise KeyboardInterrupt

    def slow():
        time.sleep(0.001)
        ran.append(1)

    with pytest.raises(KeyboardInterrupt):
        run_all([fail] + [slow] * 5000)
    assert len(ran) < 5000
