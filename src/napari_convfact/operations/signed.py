"""How results are shown in which zero is the middle: edges, differences, residuals."""

from __future__ import annotations

from typing import Any

import numpy as np

#: In the colours of a channel zero would be one among many; in gray nothing is.
SIGNED: dict[str, Any] = {"colormap": "gray"}
_LARGEST = 99.8  # percent of the magnitudes: a few extremes would leave the rest flat


def signed_display(values: np.ndarray) -> dict[str, Any]:
    """Return the colour map of signed values with limits that put zero in its middle."""
    limit = float(np.nanpercentile(np.abs(values), _LARGEST)) or 1.0
    return SIGNED | {"contrast_limits": (-limit, limit)}
