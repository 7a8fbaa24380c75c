"""Measure the moments of images, the fastest way that their edges and masks allow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from napari_convfact.foundation.job import Job, Step, run
from napari_convfact.texture.autocorrelation import autocorrelation_moments
from napari_convfact.texture.images import TextureImage
from napari_convfact.texture.moments import Moments, concatenate
from napari_convfact.texture.support import Support
from napari_convfact.texture.windows import masked_moments_job

BOUNDARIES = ("periodic", "valid", "zero", "reflect")
# Images are transformed in blocks of about this many values.
_BLOCK = 2**22


def moments_job(
    images: Sequence[TextureImage], support: Support, *, boundary: str, device: str
) -> Job[Moments]:
    """Generate the moments of images of any shapes, in blocks of equal ones."""
    for shape in {image.shape for image in images}:
        support.check_fits(shape)
    blocks = runs_of_one_shape(images, _BLOCK)
    parts: list[Moments] = []
    done = 0
    for block in blocks:
        yield Step(done, len(images), f"Neighbours {support.dilation} apart")
        part = yield from _block_job(block, support, boundary, device)
        parts.append(part)
        done += len(block)
    return concatenate(parts)


def image_moments(
    images: Sequence[TextureImage],
    support: Support,
    *,
    boundary: str = "periodic",
    device: str = "cpu",
) -> Moments:
    """Return the moments of images of one shape.

    Parameters
    ----------
    images : sequence of TextureImage
        All of the same shape and number of channels.
    support : Support
        The neighbours.
    boundary : {"periodic", "valid", "zero", "reflect"}
        What lies beyond the edges; ``"valid"`` only uses pixels whose neighbours are inside.
        ``"periodic"`` without weights takes one Fourier transform, everything else sums
        over windows. Windows that touch a pixel of weight zero are left out.
    device : str
        Where to compute; it must know float64.

    Returns
    -------
    Moments

    Raises
    ------
    ValueError
        If the boundary is unknown or the images are smaller than the neighbourhood.
    """
    return run(_block_job(images, support, boundary, device))


def _block_job(
    images: Sequence[TextureImage], support: Support, boundary: str, device: str
) -> Job[Moments]:
    if boundary not in BOUNDARIES:
        raise ValueError(f"boundary must be one of {', '.join(BOUNDARIES)}, not {boundary!r}.")
    support.check_fits(images[0].shape)
    if boundary == "periodic" and all(image.weight is None for image in images):
        data = np.stack([image.data for image in images])
        return autocorrelation_moments(torch.as_tensor(data, device=device), support)
    parts: list[Moments] = []
    for image in images:
        part = yield from masked_moments_job(image, support, boundary, device)
        parts.append(part)
    return concatenate(parts)


def runs_of_one_shape(images: Sequence[TextureImage], size: int) -> list[list[TextureImage]]:
    """Split a sequence into runs of one shape with about `size` values each."""
    blocks: list[list[TextureImage]] = []
    for image in images:
        last = blocks[-1] if blocks else []
        full = last and (len(last) + 1) * image.data.size > size
        if last and not full and last[0].data.shape == image.data.shape:
            last.append(image)
        else:
            blocks.append([image])
    return blocks
