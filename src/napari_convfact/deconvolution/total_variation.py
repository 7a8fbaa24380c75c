"""Total variation as a factor on Richardson-Lucy's step."""

from __future__ import annotations

import torch
from torch import Tensor

# The factor's denominator must stay positive: 1 - strength * curvature.
_LEAST_DENOMINATOR = 0.1


def total_variation_denominator(scene: Tensor, strength: float) -> Tensor:
    """Return what a Richardson-Lucy step is divided by to flatten noise and keep edges.

    Parameters
    ----------
    scene : torch.Tensor
        Where the step is taken from.
    strength : float
        Weight of the total variation, 0.001 to 0.05 in practice.

    Returns
    -------
    torch.Tensor
        ``1 - strength * div(grad x / |grad x|)``, at least 0.1.

    References
    ----------
    N. Dey et al., "Richardson-Lucy algorithm with total variation regularization for 3D
    confocal microscope deconvolution", Microscopy Research and Technique 69, 260-266 (2006).
    """
    slopes = [_forward_difference(scene, axis) for axis in range(scene.ndim)]
    length = torch.zeros_like(scene)
    for slope in slopes:
        length.addcmul_(slope, slope)
    # Flat ground has no direction; rounding this small must not give it one.
    smallest = 1e-6 * float(scene.max()) + torch.finfo(scene.dtype).tiny
    length.sqrt_().clamp_min_(smallest)
    curvature = torch.zeros_like(scene)
    for axis, slope in enumerate(slopes):
        _add_backward_difference(curvature, slope.div_(length), axis)
    return curvature.mul_(-strength).add_(1).clamp_min_(_LEAST_DENOMINATOR)


def _forward_difference(x: Tensor, axis: int) -> Tensor:
    """Return ``x[i + 1] - x[i]``, 0 at the end."""
    difference = torch.zeros_like(x)
    n = x.shape[axis] - 1
    torch.sub(x.narrow(axis, 1, n), x.narrow(axis, 0, n), out=difference.narrow(axis, 0, n))
    return difference


def _add_backward_difference(target: Tensor, flow: Tensor, axis: int) -> None:
    """Add the divergence of a flow whose last sample along `axis` is 0."""
    n = flow.shape[axis] - 1
    target.add_(flow)
    target.narrow(axis, 1, n).sub_(flow.narrow(axis, 0, n))
