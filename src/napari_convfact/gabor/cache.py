"""Spectra that are kept from one image to the next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

from napari_convfact.gabor.spectra import Band

#: Bytes of spectra that a bank keeps; large volumes make theirs anew for each image.
MOST_BYTES = 2**29
#: Shapes that they are kept for: an image's and a preview's.
MOST_SHAPES = 2


class BandCache:
    """Bands of the shapes that were used last, as long as they fit into memory."""

    def __init__(self) -> None:
        self._shapes: dict[Hashable, dict[Hashable, Band]] = {}
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """Memory of what is kept."""
        bands = (band for kept in self._shapes.values() for band in kept.values())
        return sum(band.values.nbytes for band in bands)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._shapes.clear()

    def get(self, shape: Hashable, kernel: Hashable, make: Callable[[], Band]) -> Band:
        """Return the band of a kernel for a shape, made if it is not there."""
        with self._lock:
            kept = self._shapes.pop(shape, {})
            self._shapes[shape] = kept
            while len(self._shapes) > MOST_SHAPES:
                self._shapes.pop(next(iter(self._shapes)))
            if kernel in kept:
                return kept[kernel]
        band = make()
        with self._lock:
            if self.bytes + band.values.nbytes <= MOST_BYTES:
                kept[kernel] = band
        return band
