"""Plans fit into memory, are honest, and say why where there is none."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest

from napari_convfact.batch.halo import Reach, cut_profile, tail_profiles
from napari_convfact.batch.plan import BASE_MEMORY, TilePlan, plan_tiles
from napari_convfact.batch.source import SLAB_MEMORY
from napari_convfact.batch.tiles import make_tiling
from napari_convfact.foundation.job import Step, run


def method(ndim=3, bytes_per_voxel=20.0, margin=10, fills_missing=False):
    return SimpleNamespace(
        ndim=ndim,
        reading="inside",
        outputs=(SimpleNamespace(leading=()),),
        bytes_per_voxel=bytes_per_voxel,
        fills_missing=fills_missing,
        torus=lambda spatial: spatial,
        work_shape=lambda padded: tuple(n + margin for n in padded),
    )


@pytest.mark.parametrize("gigabytes", [0.2, 0.5, 1, 4])
@pytest.mark.parametrize("halo", [(4, 8, 8), (20, 20, 20), (None, 30, 30)])
def test_tiles_fit_and_cover_the_volume_once(gigabytes, halo):
    shape = (2, 128, 1000, 1500)
    memory = BASE_MEMORY + SLAB_MEMORY + 1e9 * gigabytes
    try:
        plan = plan_tiles(shape, method(), Reach(halo, (1e-3,) * 3), memory)
    except ValueError:
        assert gigabytes == 0.2
        return
    tiling = plan.tiling
    assert plan.memory <= memory
    assert plan.memory >= 20 * np.prod([n + 10 for n in tiling.padded])
    covered = np.zeros(shape, np.uint8)
    for tile in tiling:
        box = tuple(slice(a, b) for a, b in zip(tile.start, tile.stop, strict=True))
        covered[(*tile.leading, *box)] += 1
        for axis, (a, size, n) in enumerate(zip(*tiling.window(tile), shape[1:], strict=True)):
            assert size <= tiling.padded[axis]
            assert 0 <= a <= n - size
            # A halo on each side, except where the volume ends.
            assert tile.start[axis] - a >= tiling.halo[axis] or a == 0
            assert a + size - tile.stop[axis] >= tiling.halo[axis] or a + size == n
    assert sum(count for _, count in tiling.window_sizes()) == len(tiling)
    assert (covered == 1).all()
    for c, n, h in zip(tiling.core, shape[1:], halo, strict=True):
        assert c == n or (c % 64 == 0 and c >= 2 * h)


def test_more_memory_never_means_more_arithmetic():
    shape, reach = (256, 2048, 2048), Reach((16, 32, 32), (1e-3,) * 3)
    plans = [plan_tiles(shape, method(), reach, BASE_MEMORY + 1e9 * g) for g in (1, 2, 4, 40)]
    assert all(a.overhead >= b.overhead for a, b in itertools.pairwise(plans))
    assert len(plans[-1].tiling) == 1
    assert plans[-1].seam_error == 0


@pytest.mark.parametrize("gigabytes", [1, 2, 4])
@pytest.mark.parametrize("halo", [8, 24, 40])
def test_memory_does_not_grow_with_the_volume(gigabytes, halo):
    reach, memory = Reach((halo,) * 3, (1e-3,) * 3), BASE_MEMORY + 1e9 * gigabytes
    shapes = [(128, 1024 * k, 1024 * k) for k in (1, 2, 4)]
    small, large, larger = (plan_tiles(shape, method(), reach, memory) for shape in shapes)
    assert large.tiling.core == larger.tiling.core
    assert large.memory == larger.memory <= 1.05 * small.memory


def test_short_tiles_at_the_end_have_short_windows():
    tiling = make_tiling((100, 150), 2, (100, 64), (5, 5))
    assert dict(tiling.window_sizes()) == {(100, 74): 2, (100, 32): 1}
    assert tiling.window(tiling[2]) == ((0, 118), (100, 32))
    on_torus = make_tiling((100, 150), 2, (100, 64), (5, 5), "reflect", (108, 162))
    assert dict(on_torus.window_sizes()) == {(108, 75): 2, (108, 32): 1}


def test_leading_axes_are_split_first():
    memory = BASE_MEMORY + SLAB_MEMORY + 20 * 110 * 522 * 522
    plan = plan_tiles((7, 100, 512, 512), method(), Reach((8, 8, 8), (1e-3,) * 3), memory)
    assert plan.tiling.grid == (7, 1, 1, 1)


@pytest.mark.parametrize(
    ("memory", "halo", "words"),
    [
        (BASE_MEMORY / 2, (4, 4, 4), "itself takes"),
        (BASE_MEMORY + 1e9, (None, None, None), "seams across axis 1 and axis 2 and axis 3"),
        (BASE_MEMORY + 1e9, (200, 200, 200), "halo of 200"),
        (BASE_MEMORY + 25e6, (20, 20, 20), "allow more memory"),
    ],
)
def test_what_cannot_be_done_honestly_is_refused(memory, halo, words):
    with pytest.raises(ValueError, match=words):
        plan_tiles((512, 2048, 2048), method(), Reach(halo, (1e-3,) * 3), memory)


def test_a_plan_goes_through_json():
    plan = plan_tiles((128, 1000, 1500), method(), Reach((4, None, 8), (1e-3,) * 3), 2e9)
    again = TilePlan.from_dict(json.loads(json.dumps(plan.to_dict())))
    assert again == plan
    assert "tiles of" in str(plan)


def test_frames_that_are_not_cut_have_no_seams():
    plan = plan_tiles((9, 512, 512), method(ndim=2), Reach((4, 8), (1e-3,) * 2), 1e9)
    assert "9 pieces of 512 × 512 voxels" in str(plan)
    assert "seams" not in str(plan)


def test_tails_of_an_impulse_response_are_what_lies_beyond():
    response = np.zeros((16, 20))
    response[0, 0], response[3, 0], response[0, -5] = 3.0, 2.0, 1.0
    rows, columns = tail_profiles(response)
    norm = np.sqrt(14)
    np.testing.assert_allclose(rows[:5], np.array([np.sqrt(14), 2, 2, 2, 0]) / norm)
    np.testing.assert_allclose(columns[1:7], np.array([1, 1, 1, 1, 1, 0]) / norm)


def test_a_cut_is_felt_as_far_as_a_kernel_reaches():
    kernel = np.ones(7) / 7

    def blur(x):
        yield Step(0, 0)
        return np.apply_along_axis(np.convolve, 0, x, kernel, mode="same")

    sample = np.random.default_rng(0).random((64, 16))
    profile = run(cut_profile(blur, sample, 0))
    assert len(profile) == 16
    assert profile[2] > 1e-3
    assert profile[3:].max() == 0
    assert Reach.from_profiles([profile], 1e-3).halo == (8,)


def test_a_cut_may_be_compared_away_from_the_faces():
    def rim(x):
        yield Step(0, 0)
        result = np.zeros_like(x)
        result[:, 0] = len(x)
        result[0, 8] = 1
        return result

    sample = np.zeros((64, 16))
    assert run(cut_profile(rim, sample, 0)).min() > 0
    assert run(cut_profile(rim, sample, 0, faces=False)).max() == 0


def test_axes_of_one_kernel_size_have_one_halo():
    reach = Reach((16, 24, 8, None), (1e-3,) * 4)
    assert reach.alike((13, 13, 5, 13)).halo == (24, 24, 8, None)


def test_halves_of_a_tile_are_the_tile():
    tiling = make_tiling((100, 200), 2, (100, 64), (5, None))
    axis, smaller, (low, high) = tiling.halved(tiling[1])
    assert axis == 0
    assert (low.start, low.stop, high.start, high.stop) == (
        (0, 64),
        (50, 128),
        (50, 64),
        (100, 128),
    )
    assert smaller.padded[0] == 60
    assert make_tiling((100, 200), 2, (100, 200), (None, None)).halved(tiling[0]) is None
