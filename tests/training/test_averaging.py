"""What an average of the weights leaves alone."""

from pathlib import Path

import torch

from tests.training import tiny


class Masked(tiny.Network):
    """With a constant as attention masks are: not saved, and not finite."""

    mask: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        mask = torch.full((2, 2), -torch.inf).triu(1)
        self.register_buffer("mask", mask, persistent=False)


def test_constants_stay_as_they_are(tmp_path: Path) -> None:
    network = Masked()
    before = network.mask.clone()
    tiny.train(tmp_path, network, ema=0.9, held_out=tiny.batches())
    assert torch.equal(network.mask, before)


def test_what_training_ends_with_is_the_average(tmp_path: Path) -> None:
    """Also of what a batch norm counts, and not the last step's weights."""
    averaged = tiny.train(tmp_path / "ema", ema=0.9).state_dict()
    last = tiny.train(tmp_path / "last").state_dict()
    for name in ("words.weight", "encoder.1.running_mean"):
        assert not torch.equal(averaged[name], last[name])
        assert torch.isfinite(averaged[name]).all()
