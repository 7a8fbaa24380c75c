import pytest
from texture_targets import region_split_patches


@pytest.fixture(scope="session")
def texture_patches():
    """60 standardized patches 64 x 64 of brick, grass and gravel, with their classes."""
    train, labels, _, _ = region_split_patches(64, 20, 0)
    return train, labels
