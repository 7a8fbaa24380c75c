"""Make the picture of kernels.md and print the numbers that it quotes.

Run ``python docs/make_kernel_pictures.py``; the picture goes to ``docs/images``.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from napari_convfact.kernels.beads import psf_from_beads
from napari_convfact.kernels.microscope import Microscope
from napari_convfact.kernels.prepare import prepare_kernel
from napari_convfact.kernels.psf import theoretical_psf
from napari_convfact.samples import load_sample

IMAGES = Path(__file__).parent / "images"
HALF_FIELD = (1.25, 0.5)  # micrometres along z and x that every PSF is shown to
VOXEL = (0.05, 0.02, 0.02)
MICROSCOPES = {
    "widefield": Microscope(1.2, 0.52, 1.33),
    "confocal, pinhole 1 AU": Microscope(
        1.2, 0.52, 1.33, modality="confocal", excitation_wavelength=0.488
    ),
    "light sheet, 1 um thick": Microscope(
        1.2, 0.52, 1.33, modality="light-sheet", sheet_thickness=1.0
    ),
    "oil into water, 2 um deep": Microscope(1.3, 0.52, 1.515, sample_index=1.33, depth=2.0),
}


def main() -> None:
    mpl.use("Agg")
    plt.rcParams.update({"font.size": 9, "figure.dpi": 110, "savefig.bbox": "tight"})
    IMAGES.mkdir(exist_ok=True)
    figure = plt.figure(figsize=(9.6, 6.2), layout="constrained")
    rows = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    draw_beads(rows[0])
    draw_theory(rows[1])
    figure.savefig(IMAGES / "kernels.png")


def draw_beads(figure: mpl.figure.FigureBase) -> None:
    beads = load_sample("confocal_beads")
    psf, report = psf_from_beads(beads.data, voxel_size=beads.scale, unit="um")
    print("Beads:", report)
    _, words = prepare_kernel(
        psf,
        voxel_size=beads.scale,
        target_voxel_size=load_sample("confocal_grid").scale,
    )
    print("Prepared for the grid:", words)
    image, plane, side, profiles = figure.subplots(1, 4, width_ratios=(1.5, 1, 1, 1.5))
    image.imshow(np.sqrt(beads.data.max(axis=0)), cmap="gray")
    positions = np.array(report.positions)
    image.plot(positions[:, 2], positions[:, 1], "o", mfc="none", mec="#f0b400", ms=22)
    image.set_title(f"{report.n_beads} beads found (maximum along z)")
    image.axis("off")
    middle = [n // 2 for n in psf.shape]
    show(plane, psf[middle[0]], beads.scale[1:], (HALF_FIELD[1], HALF_FIELD[1]))
    plane.set_title("PSF, y x")
    show(side, psf[:, middle[1]], (beads.scale[0], beads.scale[2]), HALF_FIELD)
    side.set_title("z x")
    for axis, name in enumerate("zyx"):
        index: list[slice | int] = list(middle)
        index[axis] = slice(None)
        line = psf[tuple(index)]
        offset = (np.arange(line.size) - middle[axis]) * beads.scale[axis]
        width = report.fwhm[axis] * beads.scale[axis]
        profiles.plot(offset, line / line.max(), label=f"{name}: {1000 * width:.0f} nm")
    profiles.set(xlim=(-0.8, 1.2), xlabel="um", title="Profiles and fitted widths")
    profiles.legend(frameon=False, loc="upper right")


def draw_theory(figure: mpl.figure.FigureBase) -> None:
    for axes, (name, microscope) in zip(figure.subplots(1, 4), MICROSCOPES.items(), strict=True):
        psf = theoretical_psf(microscope, VOXEL, size=(51, 101, 101))
        show(axes, psf[:, 50], (VOXEL[0], VOXEL[2]), (HALF_FIELD[0], 1.0))
        axes.set_title(name)
        whole = theoretical_psf(microscope, VOXEL)
        print(f"{name}: {whole.shape} by default")


def show(
    axes: Axes, values: np.ndarray, voxel: tuple[float, ...], field: tuple[float, float]
) -> None:
    """Show the square root of an intensity in micrometres around the middle."""
    reach = [n / 2 * v for n, v in zip(values.shape, voxel, strict=True)]
    root = np.sqrt(values / values.max())
    extent = (-reach[1], reach[1], reach[0], -reach[0])
    axes.imshow(root, cmap="magma", extent=extent, interpolation="nearest", vmin=0, vmax=1)
    axes.set(xlim=(-field[1], field[1]), ylim=(field[0], -field[0]))
    axes.set_facecolor("black")
    axes.set_xticks([-field[1], 0, field[1]])
    axes.tick_params(labelsize=8)


if __name__ == "__main__":
    main()
