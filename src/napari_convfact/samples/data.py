"""Sample images: two real confocal volumes, and scenes and kernels made by formula.

Each function without arguments is a napari ``sample_data`` contribution and returns layer
data; `load_sample` gives the same arrays without the viewer. Lengths are in micrometres.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal

from napari_convfact.kernels.shapes import disk
from napari_convfact.kernels.wavelets import BANDS, near_sym_a
from napari_convfact.operations.operation import SpatialImage
from napari_convfact.storage import read_image

LayerData = tuple[np.ndarray, dict[str, Any], str]

_FOLDER = Path(__file__).parent
_DEFOCUS_RADIUS = 4.5
_PHOTONS = 1000.0


def load_sample(name: str) -> SpatialImage:
    """Return a sample image.

    Parameters
    ----------
    name : str
        One of `SAMPLES`: ``"confocal_grid"``, ``"confocal_beads"``, ``"blurred_camera"``,
        ``"disk_kernel"`` or ``"wavelet_ll"`` (``lh``, ``hl``, ``hh``).

    Returns
    -------
    SpatialImage

    Raises
    ------
    ValueError
        If there is no such sample.
    """
    if name not in _LOADERS:
        raise ValueError(f"There is no sample {name!r}: known are {', '.join(SAMPLES)}.")
    return _LOADERS[name]()


def confocal_grid() -> list[LayerData]:
    """Return the layer of a confocal calibration grid, z x y x."""
    return [_layer("confocal_grid", colormap="gray", contrast_limits=(1, 7))]


def confocal_beads() -> list[LayerData]:
    """Return the layer of four beads taken with the same microscope, z x y x."""
    return [_layer("confocal_beads", colormap="gray", gamma=0.5, contrast_limits=(1, 100))]


def blurred_camera() -> list[LayerData]:
    """Return the layers of a defocused photograph and its PSF."""
    return [_layer("blurred_camera", colormap="gray"), *disk_kernel()]


def disk_kernel() -> list[LayerData]:
    """Return the layer of a defocus PSF."""
    return [_layer("disk_kernel", colormap="viridis")]


def wavelet_kernels() -> list[LayerData]:
    """Return the layers of the four ``near_sym_a`` wavelet kernels, side by side."""
    layers = []
    for i, band in enumerate(BANDS):
        data, attributes, kind = _layer(f"wavelet_{band}", colormap="viridis")
        layers.append((data, attributes | {"translate": (0.0, 9.0 * i)}, kind))
    return layers


def _layer(name: str, **display: Any) -> LayerData:
    sample = load_sample(name)
    attributes = {
        "name": sample.name,
        "scale": sample.scale,
        "units": sample.units,
        "axis_labels": sample.axis_labels,
        **display,
    }
    return np.asarray(sample.data), attributes, "image"


def _from_file(file: str, name: str) -> SpatialImage:
    stored = read_image(_FOLDER / file)
    return SpatialImage(stored.data, name, stored.scale, stored.units, stored.axis_labels)


def _blurred_camera() -> SpatialImage:
    import skimage.data

    psf = disk(_DEFOCUS_RADIUS)
    # Only where the whole PSF saw the scene: light crosses the edges, as in a real picture.
    scene = skimage.data.camera()[60:330, 120:390].astype(float) / 255
    blurred = scipy.signal.fftconvolve(scene, psf, mode="valid").clip(min=0)
    counts = np.random.default_rng(0).poisson(_PHOTONS * blurred)
    return SpatialImage(counts.astype(np.float32), "Defocused camera", axis_labels=("y", "x"))


def _kernel(name: str, values: np.ndarray) -> SpatialImage:
    return SpatialImage(values, name, axis_labels=("y", "x"))


_LOADERS: dict[str, Callable[[], SpatialImage]] = {
    "confocal_grid": lambda: _from_file("VerticalGrid1AU.tif", "Confocal grid"),
    "confocal_beads": lambda: _from_file("Bead_Image1_crop.tif", "Confocal beads"),
    "blurred_camera": _blurred_camera,
    "disk_kernel": lambda: _kernel("Defocus PSF", disk(_DEFOCUS_RADIUS)),
    "wavelet_ll": lambda: _kernel("Wavelet LL", near_sym_a("ll")),
    "wavelet_lh": lambda: _kernel("Wavelet LH", near_sym_a("lh")),
    "wavelet_hl": lambda: _kernel("Wavelet HL", near_sym_a("hl")),
    "wavelet_hh": lambda: _kernel("Wavelet HH", near_sym_a("hh")),
}

SAMPLES = tuple(_LOADERS)
