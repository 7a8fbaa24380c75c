"""Feature maps of textures for pixel classifiers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.job import Job
from napari_convfact.foundation.validate import CheckedImage, check_image
from napari_convfact.kernels.bank import KernelBank
from napari_convfact.texture.bank_learning import learn_bank_job
from napari_convfact.texture.images import less_offset, working_dtype
from napari_convfact.texture.local import local_autoregression_job, local_halo
from napari_convfact.texture.maps import log_energy, maps_halo, residual_maps_job
from napari_convfact.texture.pooling import GaussianPool

Feature = Literal["residual", "local", "gabor", "intensity"]
FEATURES = ("residual", "local", "gabor", "intensity")
DILATIONS = (1, 2, 4)
_LOCAL_EXTENT = 2 * max(DILATIONS) + 1
# Kernels of a bank that is learned from the image itself, for each dilation.
_BANK_SIZE = 8
# Patches that it is learned from, and those of small images: the smallest that hold its kernels.
_PATCH, _SMALL_PATCH = 32, 4 * max(DILATIONS) + 1
# Energies of waves are averaged over at least a wave.
_SMALLEST_GABOR_POOL = 4.0


@dataclass(frozen=True, eq=False)
class PixelFeatures:
    """Feature maps of one image.

    Attributes
    ----------
    maps : numpy.ndarray
        float32, ``(features, *n)``, finite.
    names : tuple of str
        One for each map.
    missing : numpy.ndarray or None
        bool ``(*n)``: pixels that have no value in the image.
    """

    maps: np.ndarray
    names: tuple[str, ...]
    missing: np.ndarray | None = None


def pixel_features_job(
    image: Any,
    features: Sequence[Feature] = ("local", "gabor"),
    *,
    bank: KernelBank | None = None,
    sigma: float = 6.0,
    channel_axis: int | None = None,
    mean: float | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Job[PixelFeatures]:
    """Generate the feature maps of an image; see `classify_pixels` for the parameters.

    `mean` is the whole image's, for a tile of it; without one it is measured. All channels
    share one bank.
    """
    unknown = [name for name in features if name not in FEATURES]
    if unknown or not features:
        raise ValueError(
            f"features must be some of {', '.join(FEATURES)}, not {tuple(features)!r}."
        )
    channels = () if channel_axis is None else (channel_axis,)
    least = 1 + len(channels)
    checked = check_image(
        image, missing="fill", ndim=least, apart=channels, dtype=working_dtype(image)
    )
    planes, missing = _planes(checked, channel_axis)
    if planes[0].ndim > 3:
        raise ValueError(f"The image has {planes[0].ndim} axes: pass at most three.")
    if "local" in features and min(planes[0].shape) < _LOCAL_EXTENT:
        raise ValueError(
            f"Local models need at least {_LOCAL_EXTENT} pixels along each axis, but the image is "
            f"{' x '.join(map(str, planes[0].shape))}: leave them out, or take fewer axes."
        )
    if not np.isfinite(sigma) or sigma <= 0:
        raise ValueError(f"sigma must be positive, not {sigma!r}.")
    if bank is None and "residual" in features:
        bank = yield from _bank_of(image, channel_axis, seed, device)
    maps: list[np.ndarray] = []
    names: list[str] = []
    for channel, plane in enumerate(planes):
        # A small texture on a large offset is one of double precision until the offset is gone.
        offset = float(plane.mean()) if plane.dtype == np.float64 else 0.0
        recipe = _Recipe(bank, sigma, None if mean is None else mean - offset, offset, device)
        values = less_offset(plane, offset)
        for name in dict.fromkeys(features):
            stack, labels = yield from recipe.job(name)(values)
            maps.append(stack)
            suffix = f", channel {channel}" if len(planes) > 1 else ""
            names += [f"{name}: {label}{suffix}" for label in labels]
    return PixelFeatures(np.concatenate(maps), tuple(names), missing)


def pixel_features_halo(
    features: Sequence[str], *, bank: KernelBank | None, sigma: float, ndim: int
) -> int:
    """Return how many pixels around a tile its features depend on, to each side."""
    from napari_convfact.gabor.bank import gabor_bank

    # The local variance is an average of what an average was subtracted from.
    halos = [2 * GaussianPool(sigma, ndim).reach[0]]
    if "local" in features:
        halos += local_halo(dilations=DILATIONS, sigma=sigma, ndim=ndim)
    if "residual" in features and bank is not None:
        halos += maps_halo(bank, sigma)
    if "gabor" in features:
        waves = gabor_bank(ndim=ndim)
        widest = max(_SMALLEST_GABOR_POOL, 1 / min(map(float, waves.frequencies)))
        halos.append(waves.reach + GaussianPool(widest, ndim).reach[0])
    return max(halos)


def own_bank_job(
    images: np.ndarray, *, ndim: int = 2, seed: int = 0, device: str = "auto"
) -> Job[KernelBank]:
    """Generate the bank that the residuals of images use when no other is given.

    `images` is one image or a stack, ``(*n)`` or ``(images, *n)``. Small images are cut into
    smaller patches, and have fewer kernels where there are not enough of those either.
    """
    shape = images.shape[images.ndim - ndim :]
    count = math.prod(images.shape[: images.ndim - ndim])
    few = count * math.prod(max(n // _PATCH, 1) for n in shape) < _BANK_SIZE
    most = count * math.prod(max(n // _SMALL_PATCH, 1) for n in shape)
    return learn_bank_job(
        images,
        min(_BANK_SIZE, most),
        radius=1,
        dilations=DILATIONS,
        patch_size=_SMALL_PATCH if few else "auto",
        ndim=ndim,
        seed=seed,
        device=device,
    )


def _bank_of(image: Any, channel_axis: int | None, seed: int, device: str) -> Job[KernelBank]:
    """Generate one bank for all channels; values that are missing teach it nothing."""
    planes = np.asarray(image)
    if channel_axis is None:
        return own_bank_job(planes, ndim=planes.ndim, seed=seed, device=device)
    planes = np.moveaxis(planes, channel_axis, 0)
    ndim = planes.ndim - 1
    planes = planes[np.isfinite(planes).any(axis=tuple(range(1, ndim + 1)))]
    return own_bank_job(planes, ndim=ndim, seed=seed, device=device)


@dataclass(frozen=True)
class _Recipe:
    """The settings that all features of a channel share; `offset` was subtracted from it."""

    bank: KernelBank | None
    sigma: float
    mean: float | None
    offset: float
    device: str

    def job(self, name: str) -> Callable[[np.ndarray], Job[tuple[np.ndarray, list[str]]]]:
        """Return the generator that makes one kind of feature."""
        return {
            "residual": self._residual,
            "local": self._local,
            "gabor": self._gabor,
            "intensity": self._intensity,
        }[name]

    def _residual(self, image: np.ndarray) -> Job[tuple[np.ndarray, list[str]]]:
        bank = self.bank
        assert bank is not None
        maps = yield from residual_maps_job(
            image, bank, sigma=self.sigma, mean=self.mean, device=self.device
        )
        _, variance = self._local_moments(image)
        # Energies over the variance do not follow the contrast; that is a map of its own.
        return np.concatenate([maps - variance, variance[None]]), [*bank.names, "log variance"]

    def _local(self, image: np.ndarray) -> Job[tuple[np.ndarray, list[str]]]:
        models = yield from local_autoregression_job(
            image, dilations=DILATIONS, sigma=self.sigma, device=self.device
        )
        return models.features(), models.feature_names()

    def _gabor(self, image: np.ndarray) -> Job[tuple[np.ndarray, list[str]]]:
        from napari_convfact.gabor.bank import gabor_bank
        from napari_convfact.gabor.responses import gabor_filter

        bank = gabor_bank(ndim=image.ndim)
        responses = gabor_filter(image, bank, device=self.device)
        computed = yield from responses.compute(["energy"])
        energy = computed["energy"]
        maps = np.empty(energy.shape, dtype=np.float32)
        names = []
        for scale, frequency in enumerate(bank.frequencies):
            pool = GaussianPool(max(_SMALLEST_GABOR_POOL, 1 / float(frequency)), image.ndim)
            pooled = pool(torch.as_tensor(energy[scale]))
            maps[scale] = log_energy(pooled).numpy()
            names += [f"frequency {frequency:.3g}, {i}" for i in range(energy.shape[1])]
        return maps.reshape(-1, *image.shape), names

    def _intensity(self, image: np.ndarray) -> Job[tuple[np.ndarray, list[str]]]:
        yield from ()
        mean, variance = self._local_moments(image)
        absolute = np.add(mean, self.offset, dtype=np.float64).astype(np.float32)
        return np.stack([absolute, variance]), ["mean", "log variance"]

    def _local_moments(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pool = GaussianPool(self.sigma, image.ndim)
        x = torch.as_tensor(image, device=choose_device(self.device).name)
        mean = pool(x)
        variance = pool((x - mean).square())
        return mean.cpu().numpy(), log_energy(variance).cpu().numpy()


def _planes(
    checked: CheckedImage, channel_axis: int | None
) -> tuple[list[np.ndarray], np.ndarray | None]:
    if channel_axis is None:
        return [checked.data], checked.missing
    missing: np.ndarray | None = None
    if checked.missing is not None:
        missing = np.asarray(checked.missing.any(axis=channel_axis))
    return [np.ascontiguousarray(p) for p in np.moveaxis(checked.data, channel_axis, 0)], missing
