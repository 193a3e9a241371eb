"""The top-down decoder: scales, widths, and which stages reach the mask."""

from __future__ import annotations

import pytest
import torch

from pipeline.segmentors.decoder import Stage, TopDownDecoder

CHANNELS, SIDES = (3, 4, 5, 6), (8, 4, 2, 2)


def decoder() -> TopDownDecoder:
    torch.manual_seed(0)
    return TopDownDecoder(channels=CHANNELS, widths=(10, 9, 8, 7, 6), sentence=None).eval()


def maps() -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.randn(2, c, s, s) for c, s in zip(CHANNELS, SIDES, strict=True)]


def each(maps: list[torch.Tensor]) -> list[Stage]:
    """Stages of one text an image that reads nothing."""
    return [Stage(stage, torch.arange(len(stage))) for stage in maps]


def stages() -> list[Stage]:
    return each(maps())


def test_one_map_a_scale_finest_first() -> None:
    logits = decoder()(stages(), None, coarse=True)
    assert [tuple(scale.shape) for scale in logits] == [(2, 1, s, s) for s in SIDES]


def test_the_finest_map_alone_is_the_same() -> None:
    module = decoder()
    (alone,) = module(stages(), None, coarse=False)
    assert torch.equal(alone, module(stages(), None, coarse=True)[0])


def test_each_scale_sees_its_own_stage_and_the_coarser_ones() -> None:
    module, given = decoder(), maps()
    before = module(each(given), None, coarse=True)
    for changed in range(4):
        moved = [stage + 3 * (index == changed) for index, stage in enumerate(given)]
        after = module(each(moved), None, coarse=True)
        for scale in range(4):
            assert torch.equal(before[scale], after[scale]) is (scale > changed)


@pytest.mark.parametrize("further", [0, 1, 2])
def test_widths_beyond_the_stages_are_blocks_at_the_finest(further: int) -> None:
    module = TopDownDecoder(
        channels=CHANNELS, widths=(10, 9, 8, 7, 6, 5)[: 4 + further], sentence=None
    )
    assert len(module.blocks) == 4
    assert len(module.further) == further
    assert module.heads[-1].in_channels == 7 - further
    assert module(stages(), None, coarse=True)[0].shape == (2, 1, 8, 8)


def test_too_few_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="widths"):
        TopDownDecoder(channels=CHANNELS, widths=(8, 8, 8), sentence=None)


def test_a_shared_stage_is_what_copies_of_it_would_be_with_what_each_text_read() -> None:
    module, given, owner = decoder(), maps(), torch.tensor([1, 0, 1])
    read = [None, *(torch.randn(3, *stage.shape[1:]) for stage in given[1:])]
    copied = module(
        each([m[owner] if r is None else m[owner] + r for m, r in zip(given, read, strict=True)]),
        None,
        coarse=True,
    )
    shared = [Stage(m, owner, r) for m, r in zip(given, read, strict=True)]
    for ours, theirs in zip(module(shared, None, coarse=True), copied, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_decoder_is_convolution_norm_activation_over_what_is_stacked() -> None:
    module, given = decoder(), maps()
    features = module.blocks[0](given[3])
    features = module.blocks[1](torch.cat([features, given[2]], dim=1))
    (_, _, second, first) = module(each(given), None, coarse=True)
    torch.testing.assert_close(first, module.heads[0](module.blocks[0](given[3])))
    torch.testing.assert_close(second, module.heads[1](features), rtol=1e-4, atol=1e-5)


def test_a_sentence_scales_and_shifts_each_block() -> None:
    torch.manual_seed(0)
    widths = (10, 9, 8, 7, 6)
    module = TopDownDecoder(channels=CHANNELS, widths=widths, sentence=3).eval()
    sentences = torch.eye(3)[:2]
    plain = decoder()
    plain.load_state_dict(
        {k: v for k, v in module.state_dict().items() if not k.startswith("modulations")}
    )
    modulation = module.modulations[0]
    assert isinstance(modulation, torch.nn.Linear)
    with torch.no_grad():
        for linear in module.modulations:
            assert isinstance(linear, torch.nn.Linear)
            linear.weight.zero_()
        for ours, theirs in zip(
            module(stages(), sentences, coarse=True),
            plain(stages(), None, coarse=True),
            strict=True,
        ):
            assert torch.equal(ours, theirs)
        modulation.weight[:10, 0] = 2.0  # the first sentence triples what was normalised
        modulation.weight[10:, 1] = 5.0  # the second adds 5
        convolution, norm, activation = plain.blocks[0]
        normed = norm(convolution(maps()[3]))
        expected = plain.heads[0](activation(torch.stack([normed[0] * 3, normed[1] + 5])))
        torch.testing.assert_close(module(stages(), sentences, coarse=True)[-1], expected)
