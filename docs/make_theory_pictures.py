"""Make the pictures of convolution-as-a-matrix.md and print the numbers that it quotes.

Run ``python docs/make_theory_pictures.py``; the pictures go to ``docs/images``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor

from napari_convfact.convolution.circulant import apply_transfer, transfer_function
from napari_convfact.convolution.krylov import conjugate_gradients
from napari_convfact.convolution.operator import Convolution
from napari_convfact.convolution.preconditioners import chan_eigenvalues, make_preconditioner
from napari_convfact.convolution.pseudo_inverse import regularized_normal
from napari_convfact.foundation import fft
from napari_convfact.foundation.job import run

IMAGES = Path(__file__).parent / "images"
SMOOTH = np.array([0.1, 0.5, 0.3, 0.1])
SECOND_DIFFERENCE = np.array([-1.0, 2.0, -1.0])
WINDING = np.array([0.2, 0.0, 1.0])
COLOURS = {
    "none": "#777777",
    "strang": "#d95f02",
    "chan": "#7570b3",
    "embedding": "#1b9e77",
}
LABELS = {
    "none": "none",
    "strang": "Strang",
    "chan": "T. Chan",
    "embedding": "embedding",
}


def main() -> None:
    mpl.use("Agg")
    plt.rcParams.update({"font.size": 9, "figure.dpi": 110, "figure.constrained_layout.use": True})
    IMAGES.mkdir(exist_ok=True)
    for draw in (
        draw_circulant,
        draw_embedding,
        draw_blocks,
        draw_conditions,
        draw_clusters,
        draw_clusters_of_blurs,
        draw_iterations,
    ):
        name = draw.__name__.removeprefix("draw_")
        print(f"\n{name}")
        draw().savefig(IMAGES / f"matrix-{name.replace('_', '-')}.png")
        plt.close("all")


def draw_circulant() -> plt.Figure:
    n = 24
    matrix = Convolution(SMOOTH, (n,), boundary="periodic", dtype="float64").dense()
    basis = np.fft.fft(np.eye(n), norm="ortho")
    diagonal = basis @ matrix @ basis.conj().T
    eigenvalues = np.fft.fft(matrix[:, 0])
    print(f"  largest entry off the diagonal: {np.abs(diagonal - np.diag(eigenvalues)).max():.0e}")

    figure, axes = plt.subplots(1, 3, figsize=(10, 3.3))
    show_matrix(axes[0], matrix, "C: each column is the\nprevious one, shifted by one")
    show_matrix(axes[1], np.abs(diagonal), "|F C F*|: the Fourier\ntransform makes it diagonal")
    curve = symbol(SMOOTH, 512)
    axes[2].plot(curve.real, curve.imag, color="#1b9e77", lw=1)
    axes[2].plot(eigenvalues.real, eigenvalues.imag, "o", ms=4, color="#1b9e77")
    frame_complex(axes[2], "Its eigenvalues: samples\nof the kernel's spectrum")
    return figure


def draw_embedding() -> plt.Figure:
    n, k = 16, len(SMOOTH)
    grown = n + k - 1
    circulant = Convolution(SMOOTH, (grown,), boundary="periodic", dtype="float64").dense()
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.6))
    windows = {
        "zero": "zero: n x n, Toeplitz",
        "full": "full: (n + k - 1) x n",
        "valid": "valid: (n - k + 1) x n",
    }
    for axis, (boundary, title) in zip(axes, windows.items(), strict=True):
        operator = Convolution(SMOOTH, (n,), boundary=boundary, dtype="float64")
        matrix = operator.dense()
        row = {"zero": 0, "full": -2, "valid": 1}[boundary] % grown
        place = np.roll(circulant, -row, axis=0)
        show_matrix(axis, place, title)
        rows, columns = matrix.shape
        axis.add_patch(Rectangle((-0.5, -0.5), columns, rows, fill=False, color="#d95f02", lw=2))
        print(f"  {boundary}: equals the block to {np.abs(place[:rows, :n] - matrix).max():.0e}")
    return figure


def draw_blocks() -> plt.Figure:
    kernel = np.outer([0.2, 0.5, 0.3], [0.1, 0.6, 0.3])
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.75))
    titles = {
        "periodic": "periodic: circulant blocks,\nin circulant order (BCCB)",
        "zero": "zero: Toeplitz blocks,\nin Toeplitz order (BTTB)",
        "reflect": "reflect: Toeplitz + Hankel,\nmore weight at the edges",
    }
    for axis, (boundary, title) in zip(axes, titles.items(), strict=True):
        matrix = Convolution(kernel, (6, 8), boundary=boundary, dtype="float64").dense()
        show_matrix(axis, matrix, title, vmax=0.6)
        axis.set_xticks(np.arange(0, 48, 8) - 0.5, [])
        axis.set_yticks(np.arange(0, 48, 8) - 0.5, [])
        axis.grid(color="white", lw=0.5)
        axis.set_anchor("N")  # squares: what room they leave is below them
    return figure


def draw_conditions() -> plt.Figure:
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6))
    kernels = {"[0.2, 0, 1]": WINDING, "[0.2, 1, 0.2]": np.array([0.2, 1.0, 0.2])}
    for colour, (name, kernel) in zip(("#d95f02", "#1b9e77"), kernels.items(), strict=True):
        curve = symbol(kernel, 512)
        axes[0].plot(curve.real, curve.imag, color=colour, label=name)
    axes[0].plot(0, 0, "k+", ms=8)
    frame_complex(axes[0], "Spectrum around zero")
    axes[0].legend(loc="upper left", frameon=False)

    sizes = np.array([4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64])
    for (kernel_name, boundary), style in {
        ("[0.2, 0, 1]", "zero"): ("#d95f02", "-"),
        ("[0.2, 0, 1]", "periodic"): ("#d95f02", "--"),
        ("[0.2, 0, 1]", "valid"): ("#d95f02", ":"),
        ("[0.2, 1, 0.2]", "zero"): ("#1b9e77", "-"),
    }.items():
        values = [
            np.linalg.cond(
                Convolution(
                    kernels[kernel_name], (int(n),), boundary=boundary, dtype="float64"
                ).dense()
            )
            for n in sizes
        ]
        colour, line = style
        values = np.minimum(values, 1e16)
        axes[1].semilogy(sizes, values, line, color=colour, label=f"{kernel_name}, {boundary}")
        chosen = {int(n): f"{v:.1e}" for n, v in zip(sizes, values, strict=True) if n in (16, 32)}
        print(f"  {kernel_name} {boundary}: condition {chosen}")
    axes[1].set(
        xlabel="n", ylabel="condition", title="Condition of the matrix (rounding stops at 1e16)"
    )
    axes[1].legend(frameon=False)
    return figure


def draw_clusters() -> plt.Figure:
    n = 100
    matrix = Convolution(SECOND_DIFFERENCE, (n,), dtype="float64").dense()
    figure, axis = plt.subplots(figsize=(9, 2.6))
    for row, (kind, circulant) in enumerate(second_difference_circulants(n).items()):
        spectrum = np.ones(n) if circulant is None else full_eigenvalues(circulant, n)
        # Similar to the preconditioned matrix, and symmetric.
        root = np.fft.ifft(np.fft.fft(np.eye(n), axis=0) / np.sqrt(spectrum)[:, None], axis=0).real
        values = np.linalg.eigvalsh(root @ matrix @ root)
        near = int((np.abs(values - 1) < 0.1).sum())
        print(
            f"  {LABELS[kind]}: {near} of {n} within 0.1 of 1, condition "
            f"{values[-1] / values[0]:.3g}, range {values[0]:.2g} to {values[-1]:.3g}"
        )
        axis.semilogx(values, np.full(n, -row), "|", ms=16, color=COLOURS[kind])
        axis.text(3e3, -row, f"{near} of {n} near 1", va="center")
    axis.set(
        yticks=[0, -1, -2],
        yticklabels=["none", "Strang", "T. Chan"],
        ylim=(-2.6, 0.6),
        xlim=(5e-4, 1e5),
        title="Eigenvalues of tridiag(-1, 2, -1), n = 100, after preconditioning",
    )
    return figure


def draw_clusters_of_blurs() -> plt.Figure:
    n = 24
    problems = {
        "Gaussian, sigma 1, strength 1e-4": (gaussian(1), 1e-4),
        "Gaussian, sigma 2, strength 1e-3": (gaussian(2), 1e-3),
        "disk, radius 3, strength 1e-3": (disk(3), 1e-3),
    }
    figure, axes = plt.subplots(1, 3, figsize=(11, 2.8), sharey=True)
    for axis, (title, (kernel, strength)) in zip(axes, problems.items(), strict=True):
        operator = Convolution(kernel, (n, n), dtype="float64")
        a = operator.dense()
        normal = a.T @ a + strength * np.eye(n * n)
        for row, kind in enumerate(LABELS):
            values = preconditioned_eigenvalues(operator, normal, strength, kind)
            far = int((np.abs(values - 1) > 0.1).sum())
            print(
                f"  {title}, {LABELS[kind]}: condition {values[-1] / values[0]:.3g}, "
                f"{far} of {n * n} farther than 0.1 from 1"
            )
            axis.semilogx(values, np.full(n * n, -row), "|", ms=14, color=COLOURS[kind])
        axis.set(title=title, yticks=range(0, -4, -1), yticklabels=list(LABELS.values()))
        axis.set_ylim(-3.6, 0.6)
    return figure


def draw_iterations() -> plt.Figure:
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4))
    sizes = [100, 200, 400, 800, 1600, 3200]
    for kind in ("none", "strang", "chan"):
        counts = [second_difference_iterations(n, kind) for n in sizes]
        print(f"  tridiag {LABELS[kind]}: {dict(zip(sizes, counts, strict=True))}")
        axes[0].loglog(sizes, counts, "o-", ms=4, color=COLOURS[kind], label=LABELS[kind])
    axes[0].set(title="tridiag(-1, 2, -1), residual 1e-6", xlabel="n", ylabel="iterations")

    sizes = [32, 64, 128, 256]
    for kind, label in LABELS.items():
        counts = [blur_iterations(n, kind) for n in sizes]
        print(f"  blur {label}: {dict(zip(sizes, counts, strict=True))}")
        axes[1].plot(sizes, counts, "o-", ms=4, color=COLOURS[kind], label=label)
    axes[1].set(title="Gaussian blur, sigma 2, n x n, strength 1e-3", xlabel="n")
    axes[1].set(xticks=sizes, ylim=(0, None))
    axes[0].legend(frameon=False)
    axes[1].legend(frameon=False, loc="center right", bbox_to_anchor=(1, 0.66))
    return figure


def second_difference_circulants(n: int) -> dict[str, Tensor | None]:
    """Return the spectra of both circulants; Strang's has a zero, which is replaced."""
    strang = transfer_function(SECOND_DIFFERENCE, (n,), dtype=torch.float64).real
    strang[0] = strang[1]
    chan = chan_eigenvalues(SECOND_DIFFERENCE, (n,), origin=(1,), dtype=torch.float64).real
    return {"none": None, "strang": strang, "chan": chan}


def full_eigenvalues(half: Tensor, n: int) -> np.ndarray:
    """Return all eigenvalues of a symmetric circulant from the stored half."""
    values = half.numpy()
    return np.array([values[min(i, n - i)] for i in range(n)])


def second_difference_iterations(n: int, kind: str) -> int:
    operator = Convolution(SECOND_DIFFERENCE, (n,), dtype="float64", engine="fft")
    circulant = second_difference_circulants(n)[kind]

    def precondition(r: Tensor) -> Tensor:
        return fft.irfftn(apply_transfer(fft.rfftn(r, (n,)), 1 / circulant, 1), (n,))

    return iterations(operator.apply, noise((n,)), None if circulant is None else precondition)


def blur_iterations(n: int, kind: str) -> int:
    operator = Convolution(gaussian(2), (n, n), dtype="float64", engine="fft")
    return iterations(
        regularized_normal(operator, 1e-3, "identity"),
        operator.apply_adjoint(noise((n, n))),
        make_preconditioner(operator, 1e-3, "identity", kind),
    )


def noise(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def iterations(
    apply_normal: Callable[[Tensor], Tensor],
    rhs: Tensor,
    precondition: Callable[[Tensor], Tensor] | None,
) -> int:
    job = conjugate_gradients(
        apply_normal, rhs, precondition, tolerance=1e-6, max_iterations=10 * rhs.numel()
    )
    return run(job).iterations


def preconditioned_eigenvalues(
    operator: Convolution, normal: np.ndarray, strength: float, kind: str
) -> np.ndarray:
    precondition = make_preconditioner(operator, strength, "identity", kind)
    if precondition is None:
        return np.linalg.eigvalsh(normal)
    size = len(normal)
    units = torch.eye(size, dtype=torch.float64).reshape(size, *operator.input_shape)
    inverse = precondition(units).reshape(size, size).numpy()
    root = np.linalg.cholesky((inverse + inverse.T) / 2)
    return np.linalg.eigvalsh(root.T @ normal @ root)


def gaussian(sigma: float) -> np.ndarray:
    offsets = np.arange(-4 * sigma, 4 * sigma + 1)
    profile = np.exp(-(offsets**2) / (2 * sigma**2))
    kernel = np.outer(profile, profile)
    return kernel / kernel.sum()


def disk(radius: int) -> np.ndarray:
    offsets = np.arange(-radius, radius + 1)
    kernel = (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(float)
    return kernel / kernel.sum()


def symbol(kernel: np.ndarray, n: int) -> np.ndarray:
    """Return the kernel's spectrum at n frequencies, closed to a curve."""
    w = np.linspace(0, 2 * np.pi, n + 1)
    return np.exp(-1j * np.outer(w, np.arange(len(kernel)) - len(kernel) // 2)) @ kernel


def show_matrix(axis: Axes, matrix: np.ndarray, title: str, vmax: float | None = None) -> None:
    axis.imshow(matrix, cmap="viridis", interpolation="nearest", vmin=0, vmax=vmax)
    axis.set(title=title, xticks=[], yticks=[])


def frame_complex(axis: Axes, title: str, limits: Sequence[float] = (-1.45, 1.45)) -> None:
    axis.axhline(0, color="#dddddd", lw=0.8, zorder=0)
    axis.axvline(0, color="#dddddd", lw=0.8, zorder=0)
    axis.set(title=title, aspect="equal", xlim=limits, ylim=limits, xlabel="real", ylabel="imag")


if __name__ == "__main__":
    main()
