"""Memory that was freed goes back to the system."""

import platform

import psutil
import pytest

from napari_convfact.foundation.heap import Heap

_BLOCKS, _SIZE = 4000, 50_000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has malloc_trim")
def test_freed_blocks_between_used_ones_are_returned():
    process = psutil.Process()
    blocks = [bytearray(_SIZE) for _ in range(_BLOCKS)]
    kept = blocks[::100]
    full = process.memory_info().rss
    del blocks
    Heap(seconds=3600).trim()  # too early
    Heap(seconds=0).trim()
    assert full - process.memory_info().rss > 0.8 * _BLOCKS * _SIZE
    assert len(kept) == _BLOCKS // 100
