"""Elementwise work in pieces, spread over the processors."""

from __future__ import annotations

import math

import pytest
import torch

from napari_convfact.foundation import blocks
from napari_convfact.foundation.blocks import map_blocks, total

SHAPES = [(1,), (300_001,), (7, 50_000), (1000, 333), (5, 120, 130)]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_sample_is_seen_once(shape):
    x = torch.zeros(shape)
    map_blocks(lambda piece: piece.add_(1), x)
    assert bool((x == 1).all())


@pytest.mark.parametrize("shape", SHAPES)
def test_results_come_in_the_order_of_the_pieces(shape):
    x = torch.arange(math.prod(shape)).reshape(shape)
    pieces = map_blocks(lambda a, b: (a, b), x, 2 * x)
    assert torch.equal(torch.cat([a for a, _ in pieces]), x)
    assert torch.equal(torch.cat([b for _, b in pieces]), 2 * x)


def test_a_sum_has_the_same_bits_on_any_number_of_processors(monkeypatch):
    x = torch.rand(1000, 777, generator=torch.Generator().manual_seed(0))
    sums = set()
    for processors in (1, 2, 3, 64):
        monkeypatch.setattr(blocks, "cpu_count", lambda n=processors: n)
        sums.add(sum(map_blocks(total, x)))
    assert len(sums) == 1
    assert sums.pop() == pytest.approx(math.fsum(x.reshape(-1).tolist()), rel=1e-14)


def test_views_are_worked_on_in_place():
    x = torch.zeros(400, 500)
    map_blocks(lambda piece: piece.add_(1), x[10:390:2, 100:])
    assert x.sum() == 190 * 400
    assert x[10:390:2, 100:].min() == 1


def test_an_error_of_any_piece_reaches_the_caller():
    def refuse(piece):
        if piece[0] > 900_000:
            raise ValueError("too large")

    with pytest.raises(ValueError, match="too large"):
        map_blocks(refuse, torch.arange(1_000_000))
