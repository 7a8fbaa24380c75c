"""The fused pass beside OpenCV, scipy, torch and Fourier transforms.

Run ``python benchmarks/execution.py`` for markdown tables; ``--quick`` takes fewer rounds.
OpenCV is left out if it is not installed. The fast contenders take turns in one process, warm,
the boundary included, and the slow ones follow; a table's figures are ratios of medians to the
fused pass beside them.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import scipy.ndimage
import torch
import torch.nn.functional

from napari_convfact.convolution.operator import Convolution
from napari_convfact.deconvolution.iteration import Iteration
from napari_convfact.deconvolution.poisson import PoissonModel
from napari_convfact.execution.chain import Chain
from napari_convfact.execution.measure import take_turns
from napari_convfact.execution.passes import FusedPass
from napari_convfact.execution.separable import outer
from napari_convfact.factorization.plan import plan_filtering
from napari_convfact.foundation import fft
from napari_convfact.foundation.device import cpu_count

PICTURE = (2048, 2048)
VOLUME = (64, 256, 256)
# Slower than a second a run, and not worth waiting for.
_MOST_NDIMAGE_TAPS = 150
SLOW = ("scipy.ndimage", "F.conv2d")


def gaussian(n: int, sigma: float) -> np.ndarray:
    return np.exp(-0.5 * ((np.arange(n) - n // 2) / sigma) ** 2)


def cases_2d() -> dict[str, Chain]:
    random = np.random.default_rng(0)

    def factors(count: int) -> list[np.ndarray]:
        return [random.uniform(0.5, 1.5, (3, 3)) / 9 for _ in range(count)]

    chains = {f"{n} x (3x3)": Chain.of(factors(n)) for n in (1, 2, 3, 5, 7)}
    for dilations in ((1, 2, 4), (1, 2, 4, 8), (1, 1, 2, 3, 3, 5)):
        name = f"a-trous {', '.join(map(str, dilations))}"
        chains[name] = Chain.of(factors(len(dilations)), dilations)
    for n in (5, 7, 11, 15, 31):
        taps = gaussian(n, n / 6)
        chains[f"separable {n}"] = Chain.separable([taps / taps.sum()] * 2)
    for n in (5, 7, 15):
        chains[f"{n}x{n}, as it is"] = Chain.of([random.uniform(0, 0.1, (n, n))])
    return chains


def contenders_2d(chain: Chain, x: torch.Tensor) -> dict[str, Callable[[], object]]:
    image, kernel = x.numpy(), chain.kernel()
    fused = FusedPass([chain])
    operator = Convolution(kernel, x.shape, boundary="reflect", engine="fft")
    operator.apply(x)
    weights = torch.as_tensor(np.flip(kernel).copy()).float()[None, None]
    separable = all(max(factor.shape) == factor.size for factor in chain.factors)
    chosen: dict[str, Callable[[], object]] = {
        "fused": lambda: fused(x, "reflect"),
        "FFT": lambda: operator.apply(x),
    }
    if importlib.util.find_spec("cv2"):
        chosen["OpenCV"] = opencv(chain, image, separable=separable)
    if separable:
        rows, columns = (factor.ravel() for factor in chain.factors)
        chosen["scipy.ndimage"] = lambda: scipy.ndimage.convolve1d(
            scipy.ndimage.convolve1d(image, rows, 0), columns, 1
        )
    elif kernel.size <= _MOST_NDIMAGE_TAPS:
        chosen["scipy.ndimage"] = lambda: scipy.ndimage.convolve(image, kernel)
    if kernel.size <= _MOST_NDIMAGE_TAPS:
        # Zero padding: torch has no reflecting boundary that repeats the edge.
        chosen["F.conv2d"] = lambda: torch.nn.functional.conv2d(x[None], weights, padding="same")
    return chosen


def opencv(chain: Chain, image: np.ndarray, *, separable: bool) -> Callable[[], object]:
    import cv2

    cv2.setNumThreads(cpu_count())
    if separable:
        rows, columns = (np.flip(factor).ravel() for factor in chain.factors)
        return lambda: cv2.sepFilter2D(image, -1, columns, rows, borderType=cv2.BORDER_REFLECT)
    kernel = np.flip(chain.kernel()).copy()
    return lambda: cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT)


def picture_table(rounds: int) -> str:
    x = torch.rand(PICTURE, generator=torch.Generator().manual_seed(0))
    peers = ("FFT", "OpenCV", "scipy.ndimage", "F.conv2d")
    rows = []
    for name, chain in cases_2d().items():
        contenders = contenders_2d(chain, x)
        # One thread that works for long puts the others to sleep: such peers take no turns.
        slow = {peer: contenders.pop(peer) for peer in SLOW if peer in contenders}
        times = take_turns(contenders, rounds) | take_turns(slow, 1)
        ratios = [f"{times[p] / times['fused']:.1f}" if p in times else "" for p in peers]
        support = "x".join(map(str, chain.shape))
        rows.append([name, support, f"{1e3 * times['fused']:.2f}", *ratios])
    header = ["kernel", "support", "fused, ms", *(f"{peer} / fused" for peer in peers)]
    return markdown(header, rows)


def volume_table(rounds: int) -> str:
    x = torch.rand(VOLUME, generator=torch.Generator().manual_seed(0))
    random = np.random.default_rng(0)
    cases = {
        "separable 7x9x9": Chain.separable([gaussian(7, 1.2), gaussian(9, 1.5), gaussian(9, 1.5)]),
        "separable 15x21x21": Chain.separable([gaussian(15, 3), gaussian(21, 4), gaussian(21, 4)]),
        "2 x (3x3x3)": Chain.of([random.uniform(0, 0.1, (3, 3, 3)) for _ in range(2)]),
    }
    rows = []
    for name, chain in cases.items():
        fused = FusedPass([chain])
        operator = Convolution(chain.kernel(), VOLUME, boundary="reflect", engine="fft")
        times = take_turns(
            {"fused": partial(fused, x, "reflect"), "FFT": partial(operator.apply, x)}, rounds
        )
        ratio = f"{times['FFT'] / times['fused']:.1f}"
        rows.append([name, f"{1e3 * times['fused']:.2f}", ratio])
    return markdown(["kernel", "fused, ms", "FFT / fused"], rows)


def richardson_lucy_table(rounds: int) -> str:
    """Time an iteration against four real transforms of the padded size."""
    psf = outer([gaussian(7, 1.2), gaussian(9, 1.5), gaussian(9, 1.5)])
    psf /= psf.sum()
    random = np.random.default_rng(0)
    scene = scipy.ndimage.gaussian_filter((random.random(VOLUME) > 0.995) * 5e4, 1)
    data = torch.as_tensor(random.poisson(scene + 10).astype(np.float32))
    iterations = {}
    for engine in ("fused", "fft"):
        operator = Convolution(psf, VOLUME, boundary="extended", engine=engine)
        model = PoissonModel(operator)
        iterations[engine] = Iteration(
            model, data.clone(), model.flat_scene(float(data.mean())), accelerate=False
        )
    torus = operator.torus_shape

    def four_transforms() -> None:
        spectrum = fft.rfftn(torch.zeros(torus), torus)
        fft.irfftn(fft.rfftn(fft.irfftn(spectrum, torus), torus), torus)

    times = take_turns(
        {
            "fused": iterations["fused"].advance,
            "FFT": iterations["fft"].advance,
            "four real transforms": four_transforms,
        },
        rounds,
    )
    fused, through_fft = (it.model.to_numpy(it.scene) for it in iterations.values())
    difference = np.linalg.norm(fused - through_fft) / np.linalg.norm(through_fft)
    rows = [
        [name, f"{1e3 * seconds:.1f}", f"{seconds / times['fused']:.1f}"]
        for name, seconds in times.items()
    ]
    table = markdown(["iteration of 7x9x9 taps", "ms", "/ fused"], rows)
    return f"{table}\n\nRelative difference of the two estimates: {difference:.1e}"


def plan_table() -> str:
    """Compare the plan's first choice with the fastest of its ways, measured again."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[-15:16, -15:16]
    r = np.hypot(x, y)
    kernels = {
        "Sobel": np.outer([1, 2, 1], [1, 0, -1]),
        "Laplacian": np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
        "random 5x5": random.standard_normal((5, 5)),
        "random 9x9": random.standard_normal((9, 9)),
        "Gaussian 9x9": np.exp(-0.5 * (r[11:20, 11:20] / 1.5) ** 2),
        "Gaussian 31x31": np.exp(-0.5 * (r / 5) ** 2),
        "disk 7x7": np.clip(3.5 - r[12:19, 12:19], 0, 1),
        "disk 15x15": np.clip(7.5 - r[8:23, 8:23], 0, 1),
        "disk 31x31": np.clip(15.5 - r, 0, 1),
        "Gabor 31x31": np.exp(-0.5 * (r / 5) ** 2) * np.cos(0.68 * x + 0.39 * y),
    }
    image = torch.rand(PICTURE)
    rows = []
    for name, kernel in kernels.items():
        plan = plan_filtering(kernel, PICTURE, relative_error=0.01, time_limit=4.0, device="cpu")
        usable = [way for way in plan.ways if way.relative_error <= plan.relative_error]
        again = take_turns({way.name: way.prepared(image) for way in usable}, rounds=9)
        fastest = min(again, key=lambda way: again[way])
        lost = again[plan.best.name] / again[fastest] - 1
        rows.append([name, plan.best.name, fastest, f"{100 * lost:.0f} %"])
    return markdown(["kernel", "the plan's choice", "fastest, measured again", "lost"], rows)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds = 5 if parser.parse_args().quick else 25
    torch.set_num_threads(cpu_count())
    print(f"{cpu_count()} threads, float32\n")
    print(f"## {PICTURE[0]} x {PICTURE[1]}\n\n{picture_table(rounds)}\n")
    print(f"## {' x '.join(map(str, VOLUME))}\n\n{volume_table(rounds)}\n")
    print(f"## Richardson-Lucy, same volume\n\n{richardson_lucy_table(rounds)}\n")
    print(f"## Plans for {PICTURE[0]} x {PICTURE[1]}\n\n{plan_table()}")


if __name__ == "__main__":
    main()
