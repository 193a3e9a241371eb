"""PRMS with a critic that can tell colours, and with a random CLIP."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.encoders.face import Encoder
from pipeline.pseudo_labels import Prms, ReferentState, refine_image, refine_images
from pipeline.safety import InputError
from tests.networks import TEXTS, encoder
from tests.pseudo_labels.scenes import NO_PROPOSALS, state, two_discs

COLOURS = ("red", "green", "blue")


class MeanColour(Encoder):
    """Knows three words; an image's embedding is its mean colour, relative to grey."""

    embed_dim, word_width, context, image_size = 3, 3, 3, 24
    channels: tuple[int, ...] = (3,)
    strides: tuple[int, ...] = (1,)
    mean, std = (0.43, 0.43, 0.43), (0.25, 0.25, 0.25)

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        return torch.tensor([[int(colour in text) for colour in COLOURS] for text in texts])

    def pyramid(self, images: Tensor) -> list[Tensor]:
        return [images]

    def embed_images(self, images: Tensor) -> Tensor:
        assert images.shape[1:] == (3, self.image_size, self.image_size)
        self.batches.append(len(images))
        return images.mean(dim=(2, 3))

    def see(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        return self.pyramid(images), self.embed_images(images)

    def words(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        features = torch.diag_embed(tokens.float())
        return features, torch.ones_like(tokens, dtype=torch.bool)

    def sentence(self, tokens: Tensor) -> Tensor:
        return tokens * 1.5 - 0.5

    @property
    def logit_scale(self) -> Tensor:
        return torch.tensor(0.0)

    def value_projection(self) -> tuple[Tensor, Tensor]:
        return torch.eye(3), torch.zeros(3)

    def read(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return *self.words(tokens), self.sentence(tokens)


def prms(critic: Encoder, batch_size: int = 8) -> Prms:
    return Prms(combine="best", critic=critic, batch_size=batch_size, device="cpu")


def referents(red: np.ndarray, green: np.ndarray) -> list[ReferentState]:
    both = (red | green) * 1.0
    return [
        state(both, red * 1.0, green * 1.0, ref_id=1, texts=("red", "the red one", "a red disc")),
        state(both, red * 1.0, green * 1.0, ref_id=2, texts=("green", "green disc", "a disc")),
        state(both, ref_id=3, texts=("red",)),
    ]


def test_the_map_that_covers_what_the_sentences_name_is_kept() -> None:
    image, red, green = two_discs()
    found = refine_image(image, referents(red, green), NO_PROPOSALS, [prms(MeanColour())])
    assert [one.source[0] for one in found] == ["map/prms:101", "map/prms:102", "map/prms:100"]
    assert np.array_equal(found[0].soft[0], red) and np.array_equal(found[1].soft[0], green)
    assert np.array_equal(found[2].soft[0], red | green)
    assert all(len(one.soft) == 1 and one.mask is None for one in found)
    assert len(found[0].maps) == 3  # what the localizer said stays


def test_the_scores_of_all_sentences_are_summed() -> None:
    image, red, green = two_discs()
    divided = state(red * 1.0, green * 1.0, green * 0.9, texts=("red", "green", "green thing"))
    found = refine_image(image, [divided], NO_PROPOSALS, [prms(MeanColour())])[0]
    assert found.source == ("map/prms:101",)


def test_images_share_the_critics_batches_and_do_not_change_each_other() -> None:
    image, red, green = two_discs()
    mirrored = image[:, ::-1]
    mirrored_maps = referents(red[:, ::-1], green[:, ::-1])
    critic = MeanColour()
    together = refine_images(
        [image, mirrored],
        [referents(red, green), mirrored_maps],
        [NO_PROPOSALS] * 2,
        [prms(critic, batch_size=5)],
    )
    assert critic.batches == [5, 5, 2]  # 2 images x 2 referents with 3 maps; single maps are free
    for one in (together[0], together[1]):
        assert [s.source[0] for s in one] == ["map/prms:101", "map/prms:102", "map/prms:100"]


def test_without_several_maps_the_critic_is_not_asked() -> None:
    image, red, _ = two_discs()
    critic = MeanColour()
    found = refine_image(image, [state(red * 0.5)], NO_PROPOSALS, [prms(critic)])[0]
    assert critic.batches == [] and np.array_equal(found.soft, found.maps)


def test_a_real_clip_does_it_the_same_way_in_any_batch_size() -> None:
    image, red, green = two_discs()
    critic = encoder(0).eval()
    texts = (TEXTS[0], TEXTS[1], TEXTS[2])
    states = [
        state(red * 1.0, green * 1.0, (red | green) * 0.7, ref_id=k, texts=texts[k:] + texts[:k])
        for k in range(3)
    ]
    results = [
        refine_image(image, states, NO_PROPOSALS, [prms(critic, batch_size=size)])
        for size in (1, 4, 64, 64)
    ]
    kept = [[one.source for one in result] for result in results]
    assert kept[0] == kept[1] == kept[2] == kept[3]
    # The same three sentences and maps for each referent, so the same map.
    picks = [states[k].maps[int(kept[0][k][0][-1])] for k in range(3)]
    assert np.array_equal(picks[0], picks[1]) and np.array_equal(picks[1], picks[2])


def test_the_mean_of_the_maps_needs_no_critic() -> None:
    image, red, green = two_discs()
    step = Prms(combine="mean", critic=None, batch_size=1, device="cpu")
    found = refine_image(image, [state(red * 0.8, red * 0.6, green * 0.7)], NO_PROPOSALS, [step])[0]
    assert found.source == ("map/prms:mean",)
    assert found.soft.max() == 1
    np.testing.assert_allclose(found.soft[0][green], 0.7 / 1.4, rtol=1e-5)


def test_best_without_a_critic_is_refused() -> None:
    with pytest.raises(InputError, match="critic"):
        Prms(combine="best", critic=None, batch_size=1, device="cpu")
