"""The top-down decoder: scales, widths, and which stages reach the mask."""

from __future__ import annotations

import pytest
import torch

from pipeline.segmentors.decoder import TopDownDecoder

CHANNELS, SIDES = (3, 4, 5, 6), (8, 4, 2, 2)


def decoder() -> TopDownDecoder:
    torch.manual_seed(0)
    return TopDownDecoder(channels=CHANNELS, widths=(10, 9, 8, 7, 6)).eval()


def stages() -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.randn(2, c, s, s) for c, s in zip(CHANNELS, SIDES, strict=True)]


def test_one_map_a_scale_finest_first() -> None:
    logits = decoder()(stages(), coarse=True)
    assert [tuple(scale.shape) for scale in logits] == [(2, 1, s, s) for s in SIDES]


def test_the_finest_map_alone_is_the_same() -> None:
    module = decoder()
    (alone,) = module(stages(), coarse=False)
    assert torch.equal(alone, module(stages(), coarse=True)[0])


def test_each_scale_sees_its_own_stage_and_the_coarser_ones() -> None:
    module, given = decoder(), stages()
    before = module(given, coarse=True)
    for changed in range(4):
        moved = [stage + 3 * (index == changed) for index, stage in enumerate(given)]
        after = module(moved, coarse=True)
        for scale in range(4):
            assert torch.equal(before[scale], after[scale]) is (scale > changed)


@pytest.mark.parametrize("further", [0, 1, 2])
def test_widths_beyond_the_stages_are_blocks_at_the_finest(further: int) -> None:
    module = TopDownDecoder(channels=CHANNELS, widths=(10, 9, 8, 7, 6, 5)[: 4 + further])
    assert len(module.blocks) == 4
    assert len(module.further) == further
    assert module.heads[-1].in_channels == 7 - further
    assert module(stages(), coarse=True)[0].shape == (2, 1, 8, 8)


def test_too_few_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="widths"):
        TopDownDecoder(channels=CHANNELS, widths=(8, 8, 8))
