"""How much of a measured PSF is background."""

from __future__ import annotations

import itertools

import numpy as np

_LEAST_SAMPLES = 8
_LEVEL_RATIO = 0.75
_HIGHEST = 0.5


def estimate_background(psf: np.ndarray) -> tuple[float, str]:
    """Estimate the constant that a PSF stands on.

    It is the mean of the farthest quarter of the darkest outer block (thirds of each axis,
    without the central one), so light that leaves through some of the faces, as in a
    widefield PSF, is not taken for background. Where that quarter is much darker than the
    quarter next to it, it is the kernel's tail and not background.

    Parameters
    ----------
    psf : numpy.ndarray
        Real, of any size.

    Returns
    -------
    level : float
        0 if there is no background to be seen.
    note : str
        A sentence for the user if there is a doubt; empty otherwise.
    """
    blocks = _outer_blocks(psf)
    if not blocks:
        return 0.0, ""
    darkest = min(blocks, key=lambda block: float(block.mean()))
    quarter = darkest.size // 4
    level, next_level = (
        float(darkest[:quarter].mean()),
        float(darkest[quarter : 2 * quarter].mean()),
    )
    peak = float(psf.max())
    if level <= 0 or level < _LEVEL_RATIO * next_level or level > 0.9 * peak:
        return 0.0, ""
    if level > _HIGHEST * peak:
        return 0.0, (
            f"The kernel is still at {100 * level / peak:.0f} % of its peak at its edges: "
            "give the background as a number if that is an offset."
        )
    return level, ""


def _outer_blocks(psf: np.ndarray) -> list[np.ndarray]:
    """Return the values of each outer block, those farthest from the middle first."""
    middle = [(n - 1) / 2 for n in psf.shape]
    grids = np.ogrid[tuple(slice(n) for n in psf.shape)]
    distance = np.zeros(psf.shape)
    for grid, m in zip(grids, middle, strict=True):
        distance += ((grid - m) / (m or 1)) ** 2
    parts = [_thirds(n) for n in psf.shape]
    central = tuple(part[len(part) // 2] for part in parts)
    windows = [window for window in itertools.product(*parts) if window != central]
    blocks = [psf[w].ravel()[np.argsort(-distance[w].ravel())] for w in windows]
    return [block for block in blocks if block.size >= _LEAST_SAMPLES]


def _thirds(n: int) -> list[slice]:
    if n < 3:
        return [slice(0, n)]
    third = round(n / 3)
    return [slice(0, third), slice(third, n - third), slice(n - third, n)]
