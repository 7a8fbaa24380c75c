from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_convfact.samples import SAMPLES, data, load_sample

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_loads_with_axes_and_units(name):
    sample = load_sample(name)
    assert len(sample.scale) == len(sample.units) == sample.ndim
    assert sample.axis_labels[-2:] == ("y", "x")
    assert np.isfinite(sample.data).all()


@pytest.mark.parametrize(
    ("name", "file", "lateral"),
    [
        ("confocal_grid", "VerticalGrid1AU.tif", 0.021965),
        ("confocal_beads", "Bead_Image1_crop.tif", 0.022492),
    ],
)
def test_bundled_volumes_are_the_originals(name, file, lateral):
    sample = load_sample(name)
    assert sample.units == ("um",) * 3
    assert sample.scale == pytest.approx((0.125, lateral, lateral))
    original = SHARED / "confocal_grid" / file
    if not original.exists():
        pytest.skip("needs the shared data")
    np.testing.assert_array_equal(sample.data, tifffile.imread(original))


def test_wavelets_equal_the_impulse_responses_of_the_transform():
    path = SHARED / "dtcwt_targets.npz"
    if not path.exists():
        pytest.skip("needs the shared data")
    targets = np.load(path)
    for band in ("ll", "lh", "hl", "hh"):
        kernel = load_sample(f"wavelet_{band}").data
        padded = np.zeros((16, 16))
        rows, columns = kernel.shape
        padded[8 - rows // 2 : 9 + rows // 2, 8 - columns // 2 : 9 + columns // 2] = kernel
        np.testing.assert_allclose(padded, targets[band], atol=1e-7)


@pytest.mark.parametrize(
    "function",
    ["confocal_grid", "confocal_beads", "blurred_camera", "disk_kernel", "wavelet_kernels"],
)
def test_layer_data_make_layers(function):
    from napari.layers import Layer

    for layer_data in getattr(data, function)():
        layer = Layer.create(*layer_data)
        assert layer._type_string == "image"
        assert layer.name


def test_the_files_are_small_and_attributed():
    folder = Path(data.__file__).parent
    assert sum(f.stat().st_size for f in folder.glob("*.tif")) < 1_500_000
    sources = (folder / "SOURCES.md").read_text()
    for words in ("CC-BY 4.0", "BioImageAnalysisNotebooks", "MPI-CBG", "Nitzsche and Haase"):
        assert words in sources


def test_an_unknown_sample_is_refused():
    with pytest.raises(ValueError, match="no sample 'lena'"):
        load_sample("lena")
