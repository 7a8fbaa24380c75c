"""Undoing convolutions beside SciPy, pylops and scikit-image: time at equal error, and memory.

Run ``python benchmarks/pseudo_inverse.py`` for a markdown table; ``--quick`` leaves out the
volumes. Each row is timed side by side in one process. Peers that are not installed are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.fft
import scipy.sparse.linalg
import torch
from skimage import data
from skimage.restoration import wiener

from napari_convfact.convolution.operator import Convolution

STRENGTH = 1e-3
REPEATS = 5
VOLUME = (128, 512, 512)
PSF_SIZE = 31


@dataclass(frozen=True)
class Row:
    """A line of the table: the peer's time over ours, or two figures to compare."""

    task: str
    ours: str
    peer: str
    ratio: float

    def __str__(self) -> str:
        return f"| {self.task} | {self.ours} | {self.peer} | {self.ratio:.2g} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out the volumes")
    parser.add_argument("--volume", choices=("direct", "iterative"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.volume:
        print(volume_peak(arguments.volume))
        return
    print("| task | ours | peer | peer / ours |\n|---|---|---|---|")
    for row in rows(quick=arguments.quick):
        print(row, flush=True)


def rows(*, quick: bool) -> Iterator[Row]:
    yield from blur_rows()
    yield from frame_rows()
    yield border_row()
    yield channel_row()
    for n in (2048, 2053):
        yield wiener_row(n)
    if not quick and Path("/proc/self/status").exists():
        yield from memory_rows()


# A blur with a zero boundary, regularized: to the same distance from the exact minimizer


def blur_rows() -> Iterator[Row]:
    operator = Convolution(gaussian(2), (256, 256), dtype="float64")
    scene = data.camera()[100:356, 100:356] / 255
    y = operator.forward(scene) + 0.01 * np.random.default_rng(0).standard_normal(scene.shape)
    exact = operator.pinv(y, strength=STRENGTH, tolerance=1e-13, max_iterations=1000)

    def error(x: np.ndarray) -> float:
        return float(np.linalg.norm(x - exact) / np.linalg.norm(exact))

    def ours() -> np.ndarray:
        # A new operator each time: its set-up belongs to the cost of one image.
        fresh = Convolution(gaussian(2), (256, 256), dtype="float64", engine=operator.engine)
        return fresh.pinv(y, strength=STRENGTH, tolerance=1e-6)

    goal = error(ours())
    solution = operator.solve(y, strength=STRENGTH, tolerance=1e-6)
    for name, solver in blur_peers(operator, y).items():
        count = least_count(lambda n, solver=solver: error(solver(n)) <= goal)
        times = alternate(ours, lambda solver=solver, count=count: solver(count))
        yield Row(
            f"Gaussian blur, sigma 2, zero boundary, 256 x 256, strength 1e-3, error {goal:.0e}",
            f"embedding, {solution.iterations} iterations, set-up included",
            f"{name}, {count} iterations",
            times[1] / times[0],
        )


def blur_peers(operator: Convolution, y: np.ndarray) -> dict[str, Callable[[int], np.ndarray]]:
    shape = operator.input_shape
    matrix = scipy.sparse.linalg.LinearOperator(
        (y.size, y.size),
        matvec=lambda x: operator.forward(x.reshape(shape)).ravel(),
        rmatvec=lambda z: operator.adjoint(z.reshape(shape)).ravel(),
        dtype=np.float64,
    )

    def scipy_lsqr(count: int) -> np.ndarray:
        found = scipy.sparse.linalg.lsqr(
            matrix, y.ravel(), damp=STRENGTH**0.5, atol=0, btol=0, iter_lim=count
        )
        return found[0].reshape(shape)

    peers = {"scipy lsqr, our products": scipy_lsqr}
    if importlib.util.find_spec("pylops"):
        import pylops

        kernel = gaussian(2)
        blur = pylops.signalprocessing.Convolve2D(
            shape, kernel, offset=[k // 2 for k in kernel.shape]
        )

        def pylops_cgls(count: int) -> np.ndarray:
            found = pylops.optimization.basic.cgls(
                blur, y.ravel(), damp=STRENGTH**0.5, niter=count, tol=0
            )
            return found[0].reshape(shape)

        peers["pylops cgls"] = pylops_cgls
    return peers


# What is done once


def frame_rows() -> Iterator[Row]:
    frames = np.random.default_rng(1).random((100, 256, 256), dtype=np.float32)
    for boundary, options in (("periodic", {"rcond": 0.1}), ("reflect", {"strength": 1e-3})):
        kernel = gaussian(2)

        def once(
            kernel: np.ndarray = kernel, boundary: str = boundary, options: dict = options
        ) -> None:
            operator = Convolution(kernel, frames.shape[1:], boundary=boundary)
            for frame in frames:
                operator.pinv(frame, **options)

        def each(
            kernel: np.ndarray = kernel, boundary: str = boundary, options: dict = options
        ) -> None:
            for frame in frames:
                Convolution(kernel, frame.shape, boundary=boundary).pinv(frame, **options)

        times = alternate(once, each, repeats=2)
        yield Row(
            f"100 frames, {boundary}", "one operator", "an operator each", times[1] / times[0]
        )


def border_row() -> Row:
    kernel = np.array([[0, -0.2, 0.05], [-0.1, 1.5, -0.2], [0, -0.15, 0]])
    operator = Convolution(kernel, (512, 512), dtype="float64")
    y = operator.forward(np.random.default_rng(2).standard_normal((512, 512)))
    direct = operator.solve(y)
    count = operator.solve(y, method="iterative", tolerance=1e-12).iterations
    times = alternate(
        lambda: operator.pinv(y),
        lambda: operator.pinv(y, method="iterative", tolerance=1e-12),
    )
    return Row(
        "sharpening 3 x 3, zero boundary, 512 x 512, to 1e-12",
        f"{direct.method} system, factored before",
        f"our CGLS, {count} iterations",
        times[1] / times[0],
    )


def channel_row() -> Row:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(32, 128, 128, generator=generator)
    weights = torch.randn(32, 32, 3, 3, generator=generator)
    y = torch.nn.functional.conv2d(x[None], weights, padding=1)[0].numpy()
    kernel = weights.numpy()[..., ::-1, ::-1]

    def error(estimate: np.ndarray) -> float:
        return float(((estimate - x.numpy()) ** 2).sum() / (x.numpy() ** 2).sum())

    real = Convolution(kernel, (128, 128)).solve(
        y, strength=0.01, tolerance=1e-9, max_iterations=60
    )
    ours = error(real.estimate)
    circular = error(circular_answer(weights, y))
    return Row(
        "conv2d of 32 channels, padding=1, 128 x 128: relative squared error",
        f"{ours:.3f}, 60 iterations, strength 0.01",
        f"{circular:.3g}, inverse per frequency",
        circular / ours,
    )


def circular_answer(weights: torch.Tensor, y: np.ndarray) -> np.ndarray:
    """Return the usual answer: a pseudo-inverse per frequency, shifted back by the padding."""
    transfer = torch.fft.rfft2(weights, s=y.shape[-2:]).conj().permute(2, 3, 0, 1)
    spectrum = torch.fft.rfft2(torch.as_tensor(y)).permute(1, 2, 0)[..., None]
    x = (torch.linalg.pinv(transfer) @ spectrum)[..., 0].permute(2, 0, 1)
    return torch.fft.irfft2(x, s=y.shape[-2:]).roll((-1, -1), (-2, -1)).numpy()


def wiener_row(n: int) -> Row:
    image = np.random.default_rng(3).random((n, n), dtype=np.float32)
    kernel = gaussian(2)
    operator = Convolution(kernel, image.shape, boundary="periodic")
    operator.pinv(image, strength=STRENGTH)
    psf = kernel.astype(np.float32)
    times = alternate(
        lambda: operator.pinv(image, strength=STRENGTH),
        lambda: wiener(image, psf, STRENGTH, reg=np.ones((1, 1), np.float32), clip=False),
    )
    return Row(
        f"periodic, {n} x {n}, float32, strength 1e-3",
        "pinv, operator made before",
        "skimage wiener",
        times[1] / times[0],
    )


# Volumes: a process each, since a process's peak never falls


def memory_rows() -> Iterator[Row]:
    limits = {"direct": 7, "iterative": 13}
    for kind, limit in limits.items():
        output = subprocess.run(
            [sys.executable, __file__, "--volume", kind], check=True, capture_output=True, text=True
        )
        peak = float(output.stdout)
        yield Row(
            f"volume of 128 x 512 x 512, PSF 31^3, {kind}: peak in padded volumes",
            f"{peak:.1f}",
            f"limit {limit}",
            limit / peak,
        )


def volume_peak(kind: str) -> float:
    """Return the peak memory beyond what was there before, in padded float32 volumes."""
    from napari_convfact.convolution import pseudo_inverse  # noqa: F401

    psf = np.ones((PSF_SIZE,) * 3) / PSF_SIZE**3
    grown = [scipy.fft.next_fast_len(n + PSF_SIZE - 1, real=True) for n in VOLUME]
    base = peak_bytes()
    image = np.random.default_rng(0).random(VOLUME, dtype=np.float32)
    operator = Convolution(psf, VOLUME, boundary="extended", engine="fft")
    if kind == "direct":
        operator.adjoint(image)
    else:
        operator.solve(image, strength=STRENGTH, prior="gradient", max_iterations=3)
    return (peak_bytes() - base) / (4 * np.prod(grown))


def peak_bytes() -> int:
    """Return this process's own peak; ``ru_maxrss`` would count the parent's as well."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


# Timing


def alternate(*tasks: Callable[[], object], repeats: int = REPEATS) -> list[float]:
    """Return each task's median time; they take turns, after one run each to warm up."""
    times: list[list[float]] = [[] for _ in tasks]
    for repeat in range(repeats + 1):
        for task, measured in zip(tasks, times, strict=True):
            start = time.perf_counter()
            task()
            if repeat:
                measured.append(time.perf_counter() - start)
    return [float(np.median(measured)) for measured in times]


def least_count(reached: Callable[[int], bool], most: int = 2000) -> int:
    """Return the least number of iterations that is enough, by bisection."""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        if reached(middle):
            high = middle
        else:
            low = middle
    return high


def gaussian(sigma: float) -> np.ndarray:
    offsets = np.arange(-np.ceil(4 * sigma), np.ceil(4 * sigma) + 1)
    profile = np.exp(-(offsets**2) / (2 * sigma**2))
    kernel = np.outer(profile, profile)
    return kernel / kernel.sum()


if __name__ == "__main__":
    main()
