"""``convfact demo``: from real beads to a PSF to a sharper real image."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_convfact.commands.progress import progress_bar
from napari_convfact.foundation.job import run
from napari_convfact.operations.deconvolve import OPERATION, Deconvolve
from napari_convfact.operations.operation import Result, SpatialImage
from napari_convfact.operations.placement import placed
from napari_convfact.operations.provenance import provenance
from napari_convfact.samples.data import load_sample
from napari_convfact.storage.formats import write_image


def add_command(commands: Any) -> None:
    """Add the subcommand."""
    summary = "Measure a PSF from the bundled beads and deconvolve the bundled confocal image."
    parser = commands.add_parser("demo", help=summary, description=summary)
    parser.add_argument(
        "-o", "--output", default="demo-output", metavar="FOLDER", help="Where results go."
    )
    parser.add_argument(
        "--no-viewer", action="store_true", help="Do not open the viewer at the end."
    )
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> None:
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    grid, beads = load_sample("confocal_grid"), load_sample("confocal_beads")
    psf = _measure_psf(beads)
    inputs = {"image": grid, "psf": psf}
    parameters = Deconvolve()
    with progress_bar("Deconvolving") as on_step:
        (result,) = run(OPERATION.job(inputs, parameters), on_step)
    print(
        f"Deconvolved {grid.name}: {parameters.method}, strength {result.summary['strength']:.3g}"
    )
    print(f"  chosen by {result.summary['rule']}; {result.summary['kernel']}")
    estimate = placed(result, inputs)
    record = provenance(OPERATION, parameters, inputs, result.summary, result.settled)
    write_image(folder / "psf.tif", psf, overwrite=True)
    path = write_image(folder / "grid-deconvolved.tif", estimate, provenance=record, overwrite=True)
    print(f"Result:  {path}")
    print(f"Picture: {_picture(grid, estimate, folder / 'before-after.png')}")
    if not options.no_viewer and _has_display():
        _show(beads, inputs, result, record)


def _measure_psf(beads: SpatialImage) -> SpatialImage:
    from napari_convfact.kernels.beads import psf_from_beads_job

    with progress_bar("Measuring the PSF") as on_step:
        kernel, report = run(
            psf_from_beads_job(beads.data, voxel_size=beads.scale, unit=beads.units[-1]), on_step
        )
    print(f"PSF from {report.n_beads} beads of {beads.name}:")
    print(f"  {report}")
    return replace(beads, data=kernel, name="PSF from beads", path=None)


def _picture(before: SpatialImage, after: SpatialImage, path: Path) -> Path:
    from napari_convfact.commands.picture import save_before_after

    return save_before_after(before, after, path)


def _has_display() -> bool:
    if sys.platform in ("darwin", "win32"):
        return "CI" not in os.environ
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _show(
    beads: SpatialImage, inputs: dict[str, SpatialImage], result: Result, record: dict[str, Any]
) -> None:
    # The viewer is a face of its own, imported only where it is opened.
    from napari_convfact.gui.demo import show_demo

    show_demo(beads, inputs, result, record)
