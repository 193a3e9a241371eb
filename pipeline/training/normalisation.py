"""Batch norms whose batch is that of all processes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.processes import summed


class SharedBatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d` with mean and variance over the batches of all processes, in float32.

    On any device; torch's own, which is faster, works on GPUs only.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, H, W); B may differ between processes."""
        if not self.training:
            return super().forward(input)
        values, over = input.float(), (0, 2, 3)
        here = values.new_tensor([values.numel() / values.shape[1]])
        total = summed(torch.cat([values.sum(dim=over), here]))
        mean, samples = total[:-1] / total[-1], total[-1].detach()
        centred = values - mean[:, None, None]
        variance = summed(centred.square().sum(dim=over)) / samples
        if self.running_mean is not None and self.running_var is not None:
            assert self.momentum is not None and self.num_batches_tracked is not None
            with torch.no_grad():
                unbiased = variance * samples / (samples - 1)
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(unbiased, self.momentum)
                self.num_batches_tracked.add_(1)
        scale = torch.rsqrt(variance + self.eps) * self.weight
        result = centred * scale[:, None, None] + self.bias[:, None, None]
        return result.to(input.dtype)


def share_batch_norms(network: nn.Module, *, gpu: bool) -> None:
    """Let every batch norm within `network` see the batches of all processes."""
    if gpu:
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm
