from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """The folder of real test images, which is not part of the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the folder of shared test images is not here")
    return SHARED_DATA
