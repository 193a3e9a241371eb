"""The refiner: instances of a trained edge and displacement network, for all maps of an image."""

from __future__ import annotations

import numpy as np
import torch

from pipeline.pseudo_labels.irnet.instances import InstanceRule
from pipeline.pseudo_labels.irnet.network import EdgeDisplacementNetwork
from pipeline.pseudo_labels.refiner import Pixels, Refiner, States
from pipeline.pseudo_labels.state import Masks


class Irnet(Refiner):
    """New evidence, what the walk made of the old, and the mask of its instances."""

    def __init__(
        self, *, network: EdgeDisplacementNetwork, rule: InstanceRule, device: str
    ) -> None:
        """
        Args:
            network: trained, its mean displacement stored, on `device`.
            rule: from its edges and displacements to masks.
            device: where the network is.
        """
        self.network = network.eval()
        self.rule = rule
        self.device = device

    def refine(self, image: Pixels, referents: States, proposals: Masks) -> States:
        if not referents:
            return []
        edge, displacement = (
            found[0].cpu().numpy() for found in self.network.infer(self._seen(image))
        )
        maps = np.concatenate([state.soft for state in referents])
        soft, masks = self.rule(maps, edge, displacement, stride=self.network.stride)
        ends = np.cumsum([len(state.soft) for state in referents])[:-1]
        return [
            state.after("irnet", soft=own, mask=mask)
            for state, own, mask in zip(
                referents, np.split(soft, ends), np.split(masks, ends), strict=True
            )
        ]

    def _seen(self, image: Pixels) -> torch.Tensor:
        """(H, W, 3) uint8 -> (1, 3, H, W), normalised for the trunk."""
        encoder = self.network.trunk.encoder
        pixels = torch.from_numpy(np.array(image)).to(self.device).float() / 255
        mean, std = (pixels.new_tensor(values) for values in (encoder.mean, encoder.std))
        return ((pixels - mean) / std).permute(2, 0, 1)[None]
