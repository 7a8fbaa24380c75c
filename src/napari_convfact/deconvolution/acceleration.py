"""Fewer Richardson-Lucy iterations by extrapolating along the path of the estimates."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_convfact.foundation.blocks import map_blocks, total


class Extrapolation:
    """Predict where the iteration is heading, and take the next step from there.

    Biggs and Andrews step from ``x + a (x - x_previous)``, with ``a`` the correlation of the
    last two steps. A Richardson-Lucy step multiplies, so here the prediction multiplies too:
    ``x (x / x_previous)^a``. It stays positive without clipping, and on sparse scenes it
    reaches a higher likelihood and a higher PSNR in the same number of iterations.

    References
    ----------
    D. S. C. Biggs and M. Andrews, "Acceleration of iterative image restoration algorithms",
    Applied Optics 36, 1766-1775 (1997).
    """

    def __init__(self) -> None:
        self.factor = 0.0  # of the newest prediction
        self._previous_step: Tensor | None = None

    def predict(self, point: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Return the point to take the next step from.

        Parameters
        ----------
        point : torch.Tensor
            Where the last step was taken from. Its memory is used for work.
        before, after : torch.Tensor
            Results of the last two steps; the memory of `before` is used for the result.
        """
        map_blocks(Tensor.sub_, point, after)
        previous, self._previous_step = self._previous_step, point
        self.factor = 0.0 if previous is None else _correlation(point, previous)
        return extrapolate(before, after, self.factor)

    def restart(self) -> None:
        """Forget the past, after a prediction that turned out to be bad."""
        self._previous_step = None
        self.factor = 0.0


def extrapolate(before: Tensor, after: Tensor, factor: float) -> Tensor:
    """Return ``after (after / before)^factor`` in the memory of `before`."""
    tiny = torch.finfo(after.dtype).tiny

    def extrapolate_block(target: Tensor, new: Tensor) -> None:
        torch.div(new, target.clamp_min_(tiny), out=target)
        target.pow_(factor).mul_(new)

    map_blocks(extrapolate_block, before, after)
    return before


def _correlation(step: Tensor, previous: Tensor) -> float:
    sums = map_blocks(lambda new, old: (total(new * old), total(old * old)), step, previous)
    product, norm = (sum(values) for values in zip(*sums, strict=True))
    return min(max(product / norm, 0.0), 1.0) if norm > 0 else 0.0
