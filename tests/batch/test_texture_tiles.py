"""Texture maps in tiles are those of the whole image, to the bit where nothing is rounded."""

import json

import numpy as np
import pytest
from tests.batch.tile_cases import blurred_beads, in_memory, in_tiles, limit, request

from napari_convfact.batch.methods import texture
from napari_convfact.batch.prepare import prepare_job
from napari_convfact.batch.results import open_results
from napari_convfact.batch.run import tiled_job
from napari_convfact.foundation.job import run
from napari_convfact.kernels.bank import KernelBank
from napari_convfact.operations.operation import SpatialImage

PLAIN = {"mosaic": False, "kernel_stack": False, "table": False, "sigma": 2.0}
MAPS = {"log_energy": True, "assignment": True, "novelty": True, "residual": True}


def as_stored(whole, stored):
    """Return what a run in memory made in the axes of a file, which has one for channels."""
    return np.asarray(whole).reshape(stored.shape)


def test_maps_of_a_learned_bank_are_equal_to_the_bit(tmp_path):
    inputs = {"image": blurred_beads((550, 700))}
    parameters = {**PLAIN, **MAPS, "n_kernels": 3, "radius": 1, "dilations": "1 2"}
    values, manifest = in_tiles("texture", inputs, tmp_path, 25, **parameters)
    assert len(manifest.plan.tiling) > 1
    assert manifest.constants["source"] == "the whole image"
    whole = in_memory("texture", inputs, **parameters)
    assert [v.dtype for v in values] == [np.float32, np.int32, np.float32, np.float32]
    for stored, expected in zip(values, whole, strict=True):
        np.testing.assert_array_equal(stored, as_stored(expected, stored))


def test_local_models(tmp_path):
    inputs = {"image": blurred_beads((550, 700))}
    nothing = dict.fromkeys(MAPS, False)
    parameters = {**PLAIN, **nothing, "predictability": True, "dilations": "1 2"}
    (values,), manifest = in_tiles("texture", inputs, tmp_path, 40, **parameters)
    assert len(manifest.plan.tiling) > 1
    (whole,) = in_memory("texture", inputs, **parameters)
    np.testing.assert_allclose(values, as_stored(whole, values), atol=2e-6)


def test_a_volume_with_a_kernel_layer(tmp_path):
    kernels = np.random.default_rng(0).standard_normal((2, 3, 3, 3)).astype(np.float32)
    inputs = {"image": blurred_beads((40, 150, 160)), "kernels": SpatialImage(kernels, "bank")}
    parameters = {**PLAIN, **MAPS, "ndim": 3, "residual": False}
    values, manifest = in_tiles("texture", inputs, tmp_path, 45, **parameters)
    assert len(manifest.plan.tiling) > 1
    for stored, expected in zip(values, in_memory("texture", inputs, **parameters), strict=True):
        np.testing.assert_array_equal(stored, as_stored(expected, stored))


def test_every_image_of_a_stack_has_its_own_mean(tmp_path):
    stack = np.stack([blurred_beads((130, 140), seed=s).data * (s + 1) for s in range(3)])
    kernel = np.ones((1, 3, 3), np.float32) / 18  # the mean shows through
    inputs = {"image": SpatialImage(stack, "a"), "kernels": SpatialImage(kernel, "bank")}
    parameters = {**PLAIN, **dict.fromkeys(MAPS, False), "residual": True}
    (values,), manifest = in_tiles("texture", inputs, tmp_path, 96 + 3, **parameters)
    assert len(manifest.plan.tiling) == 3
    np.testing.assert_allclose(manifest.constants["means"], stack.mean(axis=(1, 2)), rtol=1e-12)
    (whole,) = in_memory("texture", inputs, **parameters)
    np.testing.assert_array_equal(values, as_stored(whole, values))


def test_a_large_image_is_sampled_for_its_bank_and_the_bank_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(texture, "_LEARNED", 80_000)
    file = tmp_path / "bank.npz"
    parameters = {**PLAIN, "n_kernels": 3, "bank_file": str(file)}
    job = request(
        "texture", {"image": blurred_beads((550, 700))}, tmp_path / "a.zarr", **parameters
    )
    manifest, prepared = run(prepare_job(job, limit(25)))
    assert "8 samples of" in manifest.constants["source"]
    assert prepared.method.summary()["bank"] == manifest.constants["source"]
    np.testing.assert_array_equal(KernelBank.load(file).kernels, prepared.method.bank.kernels)
    # What a worker reads back from the record computes the same.
    record = json.loads(json.dumps(manifest.constants))
    again = texture.TILED.method(job.inputs, job.parameters, record)
    np.testing.assert_array_equal(again.bank.kernels, prepared.method.bank.kernels)


def test_labels_are_not_averaged_in_coarser_levels(tmp_path):
    inputs = {"image": blurred_beads((600, 1100))}
    parameters = {**PLAIN, **dict.fromkeys(MAPS, False), "assignment": True, "n_kernels": 3}
    run(tiled_job(request("texture", inputs, tmp_path / "a.zarr", **parameters), limit(25)))
    (result,) = open_results(tmp_path / "a.zarr")
    assert result.is_labels
    assert "contrast_limits" not in result.layer_options()
    fine, coarse = (np.asarray(level) for level in result.levels[:2])
    np.testing.assert_array_equal(coarse, fine[::2, ::2])


@pytest.mark.parametrize("name", ["mosaic", "kernel_stack", "table"])
def test_what_is_no_map_is_left_to_memory(name, tmp_path):
    parameters = {**PLAIN, name: True}
    job = request(
        "texture", {"image": blurred_beads((550, 700))}, tmp_path / "a.zarr", **parameters
    )
    with pytest.raises(ValueError, match=f"{name} is made in memory only"):
        run(prepare_job(job, limit(25)))


def test_missing_values_are_refused_before_the_work(tmp_path):
    data = blurred_beads((550, 700)).data.astype(np.float32)
    data[500, 600] = np.nan
    kernels = SpatialImage(np.ones((1, 3, 3), np.float32) / 9, "bank")
    inputs = {"image": SpatialImage(data, "holes"), "kernels": kernels}
    with pytest.raises(ValueError, match="holes has values that are NaN"):
        run(prepare_job(request("texture", inputs, tmp_path / "a.zarr", **PLAIN), limit(25)))
