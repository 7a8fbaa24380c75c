import sys
from pathlib import Path

import pytest

# The benchmark's pictures are the tests' too.
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture(scope="session")
def texture_patches():
    """60 standardized patches 64 x 64 of brick, grass and gravel, with their classes."""
    from texture_scenes import region_split_patches

    train, _, labels = region_split_patches(64, 20, 0)
    return train, labels
