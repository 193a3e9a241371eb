"""ResNet-50 as IRNet reads it."""

from __future__ import annotations

import torch
from torchvision.models import resnet50

from pipeline.encoders.imagenet import ImageNetPyramid


def test_levels_have_the_channels_and_strides_they_say() -> None:
    pyramid = ImageNetPyramid(pretrained=None, seed=0).eval()
    with torch.no_grad():
        levels = pyramid.pyramid(torch.zeros(1, 3, 64, 96))
    assert [tuple(level.shape) for level in levels] == [
        (1, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(pyramid.channels, pyramid.strides, strict=True)
    ]


def test_it_is_torchvisions_network_but_for_the_last_stride() -> None:
    """So that weights of ImageNet mean here what they mean there."""
    pyramid = ImageNetPyramid(pretrained=None, seed=0).eval()
    published = resnet50(weights=None).eval()
    names = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
    own = dict(zip(names, (pyramid.stem[0], pyramid.stem[1], *pyramid.layers), strict=True))
    for name, module in own.items():
        getattr(published, name).load_state_dict(module.state_dict())
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        levels = pyramid.pyramid(image)
        features = published.maxpool(published.relu(published.bn1(published.conv1(image))))
        for name, level in zip(names[2:5], levels[1:4], strict=True):
            features = getattr(published, name)(features)
            torch.testing.assert_close(level, features)


def test_random_weights_follow_the_seed_and_leave_torchs_own() -> None:
    state = torch.get_rng_state()
    first, again, other = (ImageNetPyramid(pretrained=None, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.stem[0].weight, again.stem[0].weight)
    assert not torch.equal(first.stem[0].weight, other.stem[0].weight)
