"""The one face of every encoder: a feature pyramid, word tokens, a sentence, an image embedding.

Legend: B images, N texts, T tokens a text, H W pixels, C_i channels and s_i stride of level i.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """An image encoder and a text encoder that share one embedding space.

    Attributes:
        channels: channels C_i of the pyramid levels, finest level first.
        strides: pixels a cell s_i of the pyramid levels, finest level first (may repeat).
        word_width: width of one word token.
        embed_dim: width of the shared embedding.
        context: tokens a text, start and end included.
        mean, std: normalisation of RGB in [0, 1] that `images` must have had.
        image_size: side in pixels that the image embedding was trained for.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    word_width: int
    embed_dim: int
    context: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    image_size: int

    @property
    @abstractmethod
    def logit_scale(self) -> Tensor:
        """The learned logarithm of the inverse temperature of the embeddings, a scalar."""

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """(N, T = context) int64. A longer text keeps its first tokens and its end token.

        Raises:
            InputError: a text is empty or has nothing to read.
        """

    @abstractmethod
    def see(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """`pyramid` and `embed_images` of (B, 3, H, W) images in one pass."""

    @abstractmethod
    def pyramid(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalised images -> per level (B, C_i, H // s_i, W // s_i)."""

    @abstractmethod
    def embed_images(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalised images -> (B, embed_dim), not normalised."""

    @abstractmethod
    def read(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`words`, their mask and `sentence` of (N, T) tokens in one pass."""

    @abstractmethod
    def words(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(N, T) tokens -> features (N, T, word_width), zero at padding, and a mask (N, T).

        The mask is True where a token was read, the start and the end token included.
        """

    @abstractmethod
    def sentence(self, tokens: Tensor) -> Tensor:
        """(N, T) tokens -> (N, embed_dim) projected end-of-text feature, not normalised."""

    @abstractmethod
    def value_projection(self) -> tuple[Tensor, Tensor]:
        """Weight (embed_dim, C) and bias (embed_dim,) by which a pixel of the last level speaks.

        What the image embedding would be if it attended to that pixel alone (MaskCLIP, Zhou et
        al., ECCV 2022).
        """
