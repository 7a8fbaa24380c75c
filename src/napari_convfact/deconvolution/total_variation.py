"""Total variation as a factor on Richardson-Lucy's step."""

from __future__ import annotations

import torch
from torch import Tensor

# The factor's denominator must stay positive: 1 - strength * curvature.
_LEAST_DENOMINATOR = 0.1
# Slope, relative to the scene, of flat ground: so many strengths for each axis.
_FLAT = 3


def total_variation_denominator(
    scene: Tensor, strength: float, *, periodic: bool = False
) -> Tensor:
    """Return what a Richardson-Lucy step is divided by to flatten noise and keep edges.

    Parameters
    ----------
    scene : torch.Tensor
        Where the step is taken from.
    strength : float
        Weight of the total variation, 0.001 to 0.05 in practice.
    periodic : bool
        Whether the first sample along an axis follows the last.

    Returns
    -------
    torch.Tensor
        ``1 - strength * div(grad x / max(|grad x|, c x))``, at least 0.1.

    Notes
    -----
    Flat ground has no direction. Slopes below c x are divided by that in place of their length
    (Huber's norm in place of the total variation's), so that there a step diffuses by
    ``strength / c``, and a checkerboard in d dimensions is multiplied by
    ``1 - 4 d strength / c``. Extrapolated steps let it grow where that is below -1/3, so that c
    is 3 d times the strength. With a smaller one round-off decides the direction of flat ground
    and grows from step to step; with a larger one more noise is left.

    References
    ----------
    N. Dey et al., "Richardson-Lucy algorithm with total variation regularization for 3D
    confocal microscope deconvolution", Microscopy Research and Technique 69, 260-266 (2006).
    """
    slopes = [_forward_difference(scene, axis, periodic) for axis in range(scene.ndim)]
    length = torch.zeros_like(scene)
    for slope in slopes:
        length.addcmul_(slope, slope)
    flat = scene.mul(_FLAT * scene.ndim * strength)
    flat.clamp_min_(torch.finfo(scene.dtype).tiny)
    torch.maximum(length.sqrt_(), flat, out=length)
    del flat
    curvature = torch.zeros_like(scene)
    for axis, slope in enumerate(slopes):
        _add_backward_difference(curvature, slope.div_(length), axis)
    return curvature.mul_(-strength).add_(1).clamp_min_(_LEAST_DENOMINATOR)


def _forward_difference(x: Tensor, axis: int, periodic: bool) -> Tensor:
    """Return ``x[i + 1] - x[i]``; at the end 0, or the first sample less the last."""
    difference = torch.zeros_like(x)
    n = x.shape[axis] - 1
    torch.sub(x.narrow(axis, 1, n), x.narrow(axis, 0, n), out=difference.narrow(axis, 0, n))
    if periodic:
        torch.sub(x.narrow(axis, 0, 1), x.narrow(axis, n, 1), out=difference.narrow(axis, n, 1))
    return difference


def _add_backward_difference(target: Tensor, flow: Tensor, axis: int) -> None:
    """Add the divergence of a flow, of which the first sample takes in what leaves the last."""
    n = flow.shape[axis] - 1
    target.add_(flow)
    target.narrow(axis, 1, n).sub_(flow.narrow(axis, 0, n))
    target.narrow(axis, 0, 1).sub_(flow.narrow(axis, n, 1))
