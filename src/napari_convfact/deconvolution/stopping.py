"""When to stop Richardson-Lucy: set photons aside and see when they are explained worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_convfact.convolution.circulant import transfer_function
from napari_convfact.foundation import fft
from napari_convfact.foundation.blocks import map_blocks, total

HELD_OUT = 0.1
_PATIENCE = 3
_REGULARIZATION = 0.01
_LARGEST_COUNT = 2.0**31
# The gain is measured on at most this many samples in the middle.
_GAIN_SAMPLES = 2**22
# Photons are dealt to so many samples at a time.
_PART_SAMPLES = 2**20


@dataclass(frozen=True)
class Thinned:
    """Data split into two independent parts, each scaled to the whole's brightness.

    Attributes
    ----------
    training, held_out : numpy.ndarray
        Of the data's shape and dtype, both with the data's expectation.
    gain : float
        Intensity of one photon in the data.
    """

    training: np.ndarray
    held_out: np.ndarray
    gain: float


def thin(data: np.ndarray, *, held_out: float = HELD_OUT, seed: int = 0) -> Thinned:
    """Deal the photons of an image into two images.

    A binomial draw from Poisson counts gives two independent sets of Poisson counts.
    Intensities that are no counts are divided by the gain (see `photon_gain`) and rounded.

    Parameters
    ----------
    data : numpy.ndarray
        Non-negative, without camera offset.
    held_out : float
        Probability of a photon to be held out.
    seed : int
        Seed of the draw.

    Returns
    -------
    Thinned
    """
    gain = photon_gain(data)
    random = np.random.default_rng(seed)
    thinned = Thinned(np.empty_like(data), np.empty_like(data), gain)
    # In parts, since whole numbers take twice the data's memory.
    rows = max(1, _PART_SAMPLES * len(data) // max(1, data.size))
    for first in range(0, len(data), rows):
        part = slice(first, first + rows)
        counts = np.rint(data[part] / gain).astype(np.int64)
        held = random.binomial(counts, held_out)
        thinned.training[part] = (counts - held) * (gain / (1 - held_out))
        thinned.held_out[part] = held * (gain / held_out)
    return thinned


def photon_gain(data: np.ndarray) -> float:
    """Estimate the intensity of one photon from the noise of an image.

    Photon noise of mean m has the variance ``gain * m``. The variance is measured on second
    differences along every axis, where a blurred scene has next to no signal, in small
    blocks; the median over blocks ignores those with structure. Whole numbers whose
    estimate is near 1 are taken as counts.

    Parameters
    ----------
    data : numpy.ndarray
        Non-negative, without camera offset.

    Returns
    -------
    float
        Positive; 1 if there is nothing to measure.

    References
    ----------
    R. Heintzmann et al., "Calibrating photon counts from a single image",
    arXiv:1611.05654 (2016): the same idea, with noise measured beyond the PSF's band.
    """
    largest = float(data.max(initial=0))
    if largest <= 0:
        return 1.0
    values = np.asarray(data[_middle(data.shape)], np.float64)
    axes = [axis for axis, n in enumerate(values.shape) if n >= 5]
    if not axes:
        return 1.0
    noise, mean = values, values
    # Along a single axis second differences still see structure: fourth ones less.
    for axis in axes * (2 if len(axes) == 1 else 1):
        noise = _combine(noise, axis, (1, -2, 1))
        mean = _combine(mean, axis, (0.25, 0.5, 0.25))
    amplification = 70 if len(axes) == 1 else 6 ** len(axes)
    variance, level = _block_means(noise**2) / amplification, _block_means(mean)
    lit = level > 0.1 * level.max()
    gain = float(np.median(variance[lit] / level[lit]))
    whole = bool((values == np.rint(values)).all())
    if whole and 0.7 < gain < 1.4:
        return 1.0
    # Images without noise would be worth any number of photons.
    return max(gain, largest / _LARGEST_COUNT)


class HeldOutError:
    """Squared error of a blurred estimate against held-out photons, weighted by frequency.

    Held-out photons are independent of the estimate, so their mean squared distance to the
    blurred estimate is that of the noise plus the estimate's own error, as the PSF lets
    it through. The PSF hides the fine errors that matter in the sharpened image, and the
    plain distance (or likelihood) stops too early on sparse scenes; dividing each frequency
    by ``|H|^2 + 0.01`` measures the error in the scene itself, where the data can tell.

    Parameters
    ----------
    held_out : torch.Tensor
        From `thin`, of the picture's size.
    psf : numpy.ndarray
        Of unit sum.

    References
    ----------
    Y. C. Eldar, "Generalized SURE for exponential families: applications to
    regularization", IEEE Trans. Signal Processing 57, 471-481 (2009) (the error in the
    scene against the error in the data);
    A. Neufeld et al., "Data thinning for convolution-closed distributions", Journal of
    Machine Learning Research 25, 1-35 (2024) (independent parts from one sample).
    """

    def __init__(self, held_out: Tensor, psf: np.ndarray) -> None:
        self._held_out = held_out
        self._shape = fft.fast_shape(held_out.shape)
        transfer = transfer_function(psf, self._shape, dtype=held_out.dtype, device=held_out.device)
        self._weight = transfer.abs().square_().add_(_REGULARIZATION).rsqrt_()
        # The half spectrum holds one of each pair of conjugate frequencies.
        pairs = slice(1, (self._shape[-1] + 1) // 2)
        self._weight[..., pairs] *= 2**0.5

    def __call__(self, blurred: Tensor, background: float) -> float:
        """Return the weighted mean squared error of a blurred estimate."""
        residual = blurred.add(background).sub_(self._held_out)
        spectrum = fft.rfftn(residual, self._shape)

        def weighted_energy(piece: Tensor, weight: Tensor) -> float:
            return total(torch.view_as_real(piece.mul_(weight)).square_())

        energy = sum(map_blocks(weighted_energy, spectrum, self._weight))
        return energy / self._held_out.numel() / float(np.prod(self._shape))


def best_iteration(errors: Sequence[float]) -> int | None:
    """Return the iteration with the least error once the errors have passed it.

    Parameters
    ----------
    errors : sequence of float
        Error after 0, 1, 2... iterations.

    Returns
    -------
    int or None
        None while the least error is one of the last three.
    """
    best = int(np.argmin(errors))
    return best if len(errors) - best > _PATIENCE else None


def _middle(shape: tuple[int, ...]) -> tuple[slice, ...]:
    longest = int(_GAIN_SAMPLES ** (1 / len(shape)))
    return tuple(slice(max(0, (n - longest) // 2), min(n, (n + longest) // 2 + 1)) for n in shape)


def _combine(x: np.ndarray, axis: int, weights: tuple[float, float, float]) -> np.ndarray:
    """Return the weighted sums of three neighbours along an axis, two samples shorter."""
    n = x.shape[axis]
    neighbours = (x.take(range(i, n - 2 + i), axis) for i in range(3))
    return np.sum([w * part for w, part in zip(weights, neighbours, strict=True)], axis=0)


def _block_means(x: np.ndarray) -> np.ndarray:
    """Return the means over blocks of some 256 samples."""
    edge = max(2, round(256 ** (1 / x.ndim)))
    for axis in range(x.ndim):
        starts = np.arange(0, x.shape[axis], edge)
        sizes = np.diff(np.append(starts, x.shape[axis]))
        shape = [1] * x.ndim
        shape[axis] = -1
        x = np.add.reduceat(x, starts, axis) / sizes.reshape(shape)
    return x.ravel()
