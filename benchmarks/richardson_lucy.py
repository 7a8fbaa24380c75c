"""Richardson-Lucy beside its peers: edges, acceleration, cost, memory, and the automatic stop.

Run ``python benchmarks/richardson_lucy.py`` for markdown tables; ``--quick`` leaves out the
volume. Peers that are not installed are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import scipy.fft
import scipy.ndimage
import scipy.special
import tifffile
from skimage import data
from skimage.registration import phase_cross_correlation
from skimage.restoration import richardson_lucy as skimage_richardson_lucy

from napari_convfact.deconvolution.deconvolve import deconvolve
from napari_convfact.deconvolution.richardson_lucy import (
    RichardsonLucy,
    RichardsonLucySolver,
    richardson_lucy_job,
)
from napari_convfact.foundation.job import run

SHAPE = (64, 256, 256)
MARGIN = (24, 32, 32)
PSF_SHAPE = (39, 41, 41)
ITERATIONS = 20
BARS = Path(__file__).parents[2] / "shared" / "data" / "bars25"


# Synthetic data


def born_wolf_psf() -> np.ndarray:
    """Return a widefield PSF: NA 1.2 in water, 520 nm, voxels of 220 x 110 x 110 nm."""
    from psf_generator import ScalarSphericalPropagator

    propagator = ScalarSphericalPropagator(
        na=1.2,
        wavelength=520,
        pix_size=110,
        n_defocus=PSF_SHAPE[0],
        defocus_step=220,
        n_i=1.33,
        n_i0=1.33,
        n_pix_pupil=203,
        n_pix_psf=PSF_SHAPE[1],
    )
    field = propagator.compute_focus_field().numpy()[:, 0]
    psf = np.abs(field) ** 2
    return psf / psf.sum()


def asymmetric_psf() -> np.ndarray:
    """Return the PSF with a ghost: a second, weaker focus to one side of the first."""
    psf = born_wolf_psf()
    ghost = scipy.ndimage.shift(psf, (6, 8, 8), order=1)
    psf = psf + 0.6 * ghost
    return psf / psf.sum()


def volume() -> np.ndarray:
    """Return beads, filaments and diffuse light that go on beyond the volume's margin."""
    random = np.random.default_rng(0)
    shape = np.add(SHAPE, np.multiply(2, MARGIN))
    scene = np.zeros(shape)
    beads = tuple(random.integers(0, shape[:, None], (3, 420)))
    np.add.at(scene, beads, random.uniform(800, 3000, 420))
    for _ in range(110):
        directions = random.normal(size=(3, 1)) + np.cumsum(random.normal(0, 0.06, (3, 600)), 1)
        directions[0] *= 0.5
        directions /= np.linalg.norm(directions, axis=0)
        path = random.uniform(0, shape)[:, None] + 0.5 * np.cumsum(directions, axis=1)
        np.add.at(scene, tuple(path.astype(int) % shape[:, None]), random.uniform(50, 250))
    scene = scipy.ndimage.gaussian_filter(scene, (0.8, 1.2, 1.2), mode="wrap")
    diffuse = np.zeros(shape)
    np.add.at(diffuse, tuple(random.integers(0, shape[:, None], (3, 30))), 1.0)
    diffuse = scipy.ndimage.gaussian_filter(diffuse, (6, 14, 14), mode="wrap")
    return scene + 40 * diffuse / diffuse.max() + 10


def photographed_volume(psf: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the scene within the picture, its blur, and the picture of some 200 photons."""
    scene, blurred = blurred_volume(psf)
    inside = tuple(slice(m, m + n) for m, n in zip(MARGIN, SHAPE, strict=True))
    factor = 200 / blurred[inside].max()
    light = factor * blurred[inside]
    image = np.random.default_rng(1).poisson(light)
    return factor * scene[inside], light.astype(np.float32), image.astype(np.float32)


def blurred_volume(psf: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the scene and its blur, margin included."""
    scene = volume()
    wrapped = np.zeros_like(scene)
    wrapped[tuple(slice(n) for n in psf.shape)] = psf
    wrapped = np.roll(wrapped, [-(n // 2) for n in psf.shape], (0, 1, 2))
    spectrum = scipy.fft.rfftn(scene) * scipy.fft.rfftn(wrapped)
    return scene, scipy.fft.irfftn(spectrum, s=scene.shape).clip(min=0)


def filaments() -> np.ndarray:
    """Return beads and curved threads on a torus of 256 x 256."""
    random = np.random.default_rng(0)
    scene = np.zeros((256, 256))
    np.add.at(scene, tuple(random.integers(0, 256, (2, 80))), random.uniform(5, 15, 80))
    for _ in range(16):
        directions = random.uniform(0, 2 * np.pi) + np.cumsum(random.normal(0, 0.02, 400))
        steps = 0.5 * np.cumsum([np.sin(directions), np.cos(directions)], axis=1)
        path = (random.uniform(0, 256, (2, 1)) + steps).astype(int) % 256
        scene[tuple(path)] = random.uniform(0.5, 3)
    return scipy.ndimage.gaussian_filter(scene, 0.8, mode="wrap") + 0.02


def camera() -> np.ndarray:
    return data.camera().reshape(256, 2, 256, 2).mean((1, 3))


def cell() -> np.ndarray:
    """Return a very smooth scene."""
    noise = np.random.default_rng(3).normal(size=(256, 256))
    scene = scipy.ndimage.gaussian_filter(noise, 12, mode="wrap")
    return scene - scene.min()


def gaussian_psf() -> np.ndarray:
    distance = np.hypot(*(np.indices((256, 256)) - 128))
    psf = np.exp(-(distance**2) / 8)
    return psf / psf.sum()


def airy_psf() -> np.ndarray:
    """Return an Airy pattern whose first dark ring has a radius of 4 pixels."""
    radius = np.hypot(*(np.indices((256, 256)) - 128)) * (3.8317 / 4)
    radius[128, 128] = 1
    psf = (2 * scipy.special.j1(radius) / radius) ** 2
    psf[128, 128] = 1
    return psf / psf.sum()


# Measures


def psnr(estimate: np.ndarray, truth: np.ndarray) -> float:
    return float(10 * np.log10(truth.max() ** 2 / np.mean((estimate - truth) ** 2)))


def scaled_psnr(
    estimate: np.ndarray, truth: np.ndarray, where: np.ndarray, *, offset: bool = False
) -> float:
    """Return the PSNR within `where` after fitting the best scale (and offset) everywhere."""
    columns = [estimate.ravel()] + [np.ones(estimate.size)] * offset
    matrix = np.stack(columns, axis=1).astype(float)
    coefficients = np.linalg.lstsq(matrix, truth.ravel(), rcond=None)[0]
    fitted = (matrix @ coefficients).reshape(truth.shape)
    return float(10 * np.log10(truth.max() ** 2 / np.mean((fitted - truth)[where] ** 2)))


def shift(estimate: np.ndarray, truth: np.ndarray) -> str:
    """Return by how many voxels the estimate has moved, by cross-correlation.

    A window keeps structures that the volume's faces cut from pulling the peak.
    """
    windowed = []
    for values in (truth, estimate):
        values = values.astype(float) - values.mean()
        for axis, n in enumerate(values.shape):
            shape = [1] * values.ndim
            shape[axis] = n
            values *= np.hanning(n).reshape(shape)
        windowed.append(values)
    found = phase_cross_correlation(*windowed, upsample_factor=100, normalization=None)[0]
    return " ".join(f"{value + 0:.2f}" for value in found)


def table(header: list[str], rows: list[list[object]]) -> None:
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(f"{v:.2f}" if isinstance(v, float) else str(v) for v in row) + " |")
    print(flush=True)


# Benchmarks


def ours(image: np.ndarray, psf: np.ndarray, **options: object) -> RichardsonLucy:
    return run(richardson_lucy_job(image, psf, device="cpu", **options))


def redlionfish(image: np.ndarray, psf: np.ndarray) -> np.ndarray:
    import RedLionfishDeconv

    return RedLionfishDeconv.doRLDeconvolutionFromNpArrays(
        image, psf, niter=ITERATIONS, method="cpu"
    )


def volume_methods() -> dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """Return what is compared on the volume, twenty iterations each."""
    methods = {}
    for boundary in ("periodic", "extended"):
        for accelerate in (False, True):
            options = {"boundary": boundary, "accelerate": accelerate, "iterations": ITERATIONS}
            name = f"ours, {boundary}, {'accelerated' if accelerate else 'plain'}"
            methods[name] = lambda y, h, options=options: ours(y, h, **options).estimate
    methods["ours, extended, automatic stop"] = lambda y, h: ours(y, h).estimate
    methods["scikit-image"] = lambda y, h: skimage_richardson_lucy(y, h, ITERATIONS, clip=False)
    if importlib.util.find_spec("RedLionfishDeconv"):
        methods["RedLionfish (CPU)"] = redlionfish
    return methods


def bench_volume(psf: np.ndarray, title: str) -> None:
    """Compare picture, edges and registration on a volume whose scene crosses every face."""
    truth, light, image = photographed_volume(psf)
    everywhere = np.ones(SHAPE, bool)
    inner = np.zeros(SHAPE, bool)
    inner[tuple(slice(k // 2, n - k // 2) for k, n in zip(PSF_SHAPE, SHAPE, strict=True))] = True
    rows = [["image", *(scaled_psnr(image, truth, w) for w in (everywhere, inner, ~inner)), ""]]
    for name, method in volume_methods().items():
        estimate = method(image, psf)
        values = [scaled_psnr(estimate, truth, w) for w in (everywhere, inner, ~inner)]
        rows.append([name, *values, shift(estimate, truth)])
    print(f"### {title}, {ITERATIONS} iterations: PSNR in dB\n")
    table(["method", "all", "inner", "edge", "shift z y x"], rows)
    moved = shift(ours(light, psf, iterations=100).estimate, truth)
    print(f"Shift without noise, 100 accelerated iterations, extended: {moved}.\n")


def seconds_per_iteration(job_steps: int, step: Callable[[], object]) -> float:
    times = []
    for _ in range(job_steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def bench_cost(psf: np.ndarray) -> None:
    """Compare an iteration with four real transforms of the padded size, in the same run."""
    _, _, image = photographed_volume(psf)
    rows = []
    for boundary in ("periodic", "extended"):
        for accelerate in (False, True):
            solver = RichardsonLucySolver(
                psf, SHAPE, boundary=boundary, accelerate=accelerate, device="cpu"
            )
            torus = solver.model.operator.torus_shape
            values = np.random.default_rng(0).random(torus, np.float32)
            job = solver.job(image, iterations=12)
            next(job)
            mine, floor = [], []
            # Alternating, so that both see the same load.
            for _ in range(11):
                mine.append(seconds_per_iteration(1, lambda job=job: next(job)))
                floor.append(seconds_per_iteration(1, lambda v=values: _four_transforms(v)))
            name = f"ours, {boundary}, {'accelerated' if accelerate else 'plain'}"
            ratio = float(np.median(np.divide(mine, floor)))
            rows.append([name, torus, 1e3 * min(mine), 1e3 * min(floor), ratio])
    values = np.random.default_rng(0).random(SHAPE, np.float32)
    floor = seconds_per_iteration(7, lambda: _four_transforms(values))
    peers = {"scikit-image": lambda y, h, n: skimage_richardson_lucy(y, h, n, clip=False)}
    if importlib.util.find_spec("RedLionfishDeconv"):
        import RedLionfishDeconv

        peers["RedLionfish (CPU)"] = lambda y, h, n: (
            RedLionfishDeconv.doRLDeconvolutionFromNpArrays(y, h, niter=n, method="cpu")
        )
    for name, peer in peers.items():
        few, many = (
            seconds_per_iteration(1, lambda n=n, peer=peer: peer(image, psf, n)) for n in (2, 8)
        )
        cost = (many - few) / 6
        rows.append([name, SHAPE, 1e3 * cost, 1e3 * floor, cost / floor])
    print("### Cost of an iteration against four real transforms (scipy) of its size\n")
    table(["method", "transform", "ms", "four transforms, ms", "ratio"], rows)


def _four_transforms(values: np.ndarray) -> None:
    for _ in range(2):
        spectrum = scipy.fft.rfftn(values, workers=-1)
        scipy.fft.irfftn(spectrum, s=values.shape, workers=-1)


def bench_memory() -> None:
    """Measure the peak memory of a run in fresh processes."""
    rows = []
    for accelerate in (False, True):
        command = [sys.executable, __file__, "--memory", str(int(accelerate))]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        rows.append(["accelerated" if accelerate else "plain", float(printed)])
    print("### Peak memory, bytes per padded voxel (float32, without the caller's image)\n")
    table(["iteration", "bytes"], rows)


def print_memory(*, accelerate: bool) -> None:
    """Print how far a run raised this process's peak memory, per padded voxel."""
    # Random, so that it has no factors: the fused engine would need less.
    psf = np.random.default_rng(1).random((15, 15, 15))
    shape = (96, 384, 384)
    image = np.random.default_rng(0).poisson(20, shape).astype(np.float32)
    options = {"accelerate": accelerate, "iterations": 3, "device": "cpu"}
    # The first run loads libraries and thread pools.
    run(richardson_lucy_job(image[:32, :32, :32], psf, **options))
    before = psutil.Process().memory_info().rss
    run(richardson_lucy_job(image, psf, **options))
    # Not getrusage: a child process inherits its parent's maximum there.
    status = Path("/proc/self/status").read_text()
    after = 1024 * int(re.search(r"VmHWM:\s*(\d+)", status)[1])
    torus = [scipy.fft.next_fast_len(n + 14, real=True) for n in shape]
    print((after - before) / np.prod(torus))


def bench_bars() -> None:
    """Compare on DeconvolutionLab2's hollow bars, whose units differ from the truth's."""
    truth, image, psf = (
        tifffile.imread(BARS / f"{name}.tif").astype(np.float32)
        for name in ("actual", "data", "kernel")
    )
    psf /= psf.sum()
    found = ours(image, psf)
    estimates = {
        "image": image,
        f"ours, automatic stop ({found.iterations})": found.estimate,
        "our Tikhonov": deconvolve(image, psf, method="tikhonov", device="cpu").estimate,
    }
    for count in (10, 30, 100):
        estimates[f"scikit-image, {count}"] = skimage_richardson_lucy(image, psf, count, clip=False)
    everywhere = np.ones(truth.shape, bool)
    print(f"### bars25: PSNR after an affine fit\n\n{found.message}\n")
    table(
        ["method", "dB"],
        [[k, scaled_psnr(v, truth, everywhere, offset=True)] for k, v in estimates.items()],
    )


def bench_stop() -> None:
    """Compare the automatic stop with the best iteration of the same path."""
    rows, losses = [], []
    for scene in (filaments, camera, cell):
        for psf in (gaussian_psf(), airy_psf()):
            for peak in (20, 200, 2000):
                row, loss = _stop_case(scene(), psf, peak)
                rows.append([scene.__name__, "Airy" if len(rows) // 3 % 2 else "Gauss", peak, *row])
                if scene is not cell:
                    losses.append(loss)
    print("### Automatic stop against the best iteration of the same accelerated path\n")
    header = ["scene", "PSF", "peak", "best dB", "at", "automatic dB", "at", "loss dB"]
    table([*header, "regularization advised"], rows)
    print(f"Structured scenes: mean loss {np.mean(losses):.2f} dB, worst {max(losses):.2f} dB.\n")


def _stop_case(scene: np.ndarray, psf: np.ndarray, peak: float) -> tuple[list[object], float]:
    spectrum = scipy.fft.rfft2(scene) * scipy.fft.rfft2(scipy.fft.ifftshift(psf))
    blurred = scipy.fft.irfft2(spectrum, s=scene.shape).clip(min=0)
    factor = peak / blurred.max()
    truth = factor * scene
    image = np.random.default_rng(7).poisson(factor * blurred).astype(np.float32)
    every = ours(image, psf, boundary="periodic", iterations=100, keep_every=1)
    curve = [psnr(estimate, truth) for estimate in every.intermediate]
    found = ours(image, psf, boundary="periodic")
    reached = psnr(found.estimate, truth)
    best = int(np.argmax(curve))
    advised = "yes" if "tikhonov" in found.message else ""
    row = [curve[best], best + 1, reached, found.iterations, curve[best] - reached, advised]
    return row, curve[best] - reached


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out the volume")
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory is not None:
        print_memory(accelerate=bool(arguments.memory))
        return
    bench_stop()
    if BARS.is_dir():
        bench_bars()
    if not arguments.quick:
        bench_volume(born_wolf_psf(), "Volume 64 x 256 x 256, Born-Wolf PSF")
        bench_volume(asymmetric_psf(), "The same, asymmetric PSF")
        bench_cost(born_wolf_psf())
        bench_memory()


if __name__ == "__main__":
    main()
