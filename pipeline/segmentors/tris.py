"""TRIS, Stage-2 (Liu et al., ICCV 2023): a mask for a sentence, wherever the masks come from.

Legend: B rows of a batch, M images, N texts, T tokens, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from pipeline import losses, processes
from pipeline.encoders.face import Encoder
from pipeline.layers import coordinate_grid, to_map, trim_words
from pipeline.records import Batch
from pipeline.segmentors.decoder import Stage, TopDownDecoder, enlarge
from pipeline.segmentors.pixel_word_attention import PixelWordAttention, StageView

MaskLoss = Literal["bce", "ce_dice"]


# What is computed once an image, finest level first: the attention's view of a stage, or the stage.
Views = list[Tensor | StageView]


class TrisSegmentor(nn.Module):
    """Pixel-word attention at several strides of the encoder's pyramid and a top-down decoder.

    Text enters after the pyramid, not between its stages, so an image is encoded once for all its
    expressions (our reading of "residual to the stage").

    Args:
        encoder: fine-tuned with everything else; all its pyramid levels go to the decoder.
        levels: indices of the pyramid levels that attend to words (paper: strides 8, 16, 32).
        hidden: inner width of the attention.
        widths: of the decoder, coarsest first (paper: 512, 256, 128, 64, 32).
        coordinates: whether pixels of the attending levels know their place (paper: no): a learned
            linear map of (x, y) is added, which is as good as two more input channels.
        film: whether the sentence also modulates the decoder (paper: no).
        loss_stride: pixels of a training mask that are averaged to one, each way (paper: 1).
        loss: `bce`, or `ce_dice` for cross-entropy + Dice (EHIN, Stage-2).
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        levels: Sequence[int],
        hidden: int,
        widths: Sequence[int],
        coordinates: bool,
        film: bool,
        loss: MaskLoss,
        loss_stride: int,
    ) -> None:
        super().__init__()
        if loss not in ("bce", "ce_dice"):
            raise ValueError(f"loss must be bce or ce_dice, not {loss!r}")
        count = len(encoder.channels)
        if not levels or not all(-count <= level < count for level in levels):
            raise ValueError(f"levels must be some of the encoder's {count}, not {tuple(levels)}")
        self.encoder = encoder
        attending = sorted({level % count for level in levels})
        self.attentions = nn.ModuleDict(
            {
                str(level): PixelWordAttention(
                    channels=encoder.channels[level],
                    word_width=encoder.word_width,
                    hidden=hidden,
                )
                for level in attending
            }
        )
        self.coordinates = nn.ModuleDict(
            {
                str(level): nn.Linear(2, encoder.channels[level], bias=False)
                for level in attending
                if coordinates
            }
        )
        self.decoder = TopDownDecoder(
            channels=encoder.channels, widths=widths, sentence=encoder.embed_dim if film else None
        )
        self.loss = loss
        self.loss_stride = loss_stride

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """One mask an expression; its image is encoded once for all its expressions.

        Returns: logits (B, 1, H, W) float32 at the size of `batch.masks` over `loss_stride`, and
        the unweighted losses, of the batch of all processes: `segmentation` of those logits, and
        `deep_supervision`, the sum over the coarser scales, each against the mask averaged to its
        size.

        Raises: ValueError if the batch has no masks.
        """
        if batch.masks is None:
            raise ValueError("a segmentor needs a batch with masks")
        mask = batch.masks
        if self.loss_stride > 1:
            mask = functional.avg_pool2d(mask, self.loss_stride)
        views = self.encode(batch.images)
        stages, sentence = self._fuse(views, batch.tokens, batch.owner)
        finest, *coarser = self.decoder(stages, sentence, coarse=True)
        logits = enlarge(finest.float(), mask.shape[-2:])
        deep = logits.new_zeros(())
        for scale in coarser:
            deep = deep + self._loss(scale, functional.adaptive_avg_pool2d(mask, scale.shape[-2:]))
        return logits, {"segmentation": self._loss(logits, mask), "deep_supervision": deep}

    def encode(self, images: Tensor) -> Views:
        """All that needs no text of images (M, 3, H, W), shared by their expressions."""
        views: Views = []
        for index, stage in enumerate(self.encoder.pyramid(images)):
            name = str(index)
            if name in self.coordinates:
                size = stage.shape[-2:]
                grid = self.coordinates[name](coordinate_grid(*size, like=stage))
                stage = stage + to_map(grid[None], *size)
            views.append(self._attention(index).view(stage) if name in self.attentions else stage)
        return views

    def segment(
        self, features: Views, tokens: Tensor, owner: Tensor, size: tuple[int, int]
    ) -> Tensor:
        """Logits (N, 1, *size) float32 of texts (N, T) in images `owner` (N,) int64 in [0, M)."""
        (finest,) = self.decoder(*self._fuse(features, tokens, owner), coarse=False)
        return enlarge(finest.float(), size)

    def _fuse(self, views: Views, tokens: Tensor, owner: Tensor) -> tuple[list[Stage], Tensor]:
        """Stages of N texts in images `owner`, finest first, and the sentences (N, embed_dim).

        A sentence's embedding has length sqrt(embed_dim): one an entry on average.
        """
        words, mask, sentence = self.encoder.read(tokens)
        words, mask = trim_words(words, mask)
        sentence = functional.normalize(sentence.float(), dim=-1) * sentence.shape[-1] ** 0.5
        stages: list[Stage] = []
        for index, view in enumerate(views):
            if isinstance(view, StageView):
                read = self._attention(index)(view, owner, words, mask)
                stages.append(Stage(view.maps, owner, read))
            else:
                stages.append(Stage(view, owner))
        return stages, sentence

    def _attention(self, level: int) -> PixelWordAttention:
        attention = self.attentions[str(level)]
        assert isinstance(attention, PixelWordAttention)
        return attention

    def _loss(self, logits: Tensor, mask: Tensor) -> Tensor:
        loss = losses.mask_cross_entropy(logits, mask)
        if self.loss == "ce_dice":
            loss = loss + losses.dice(logits, mask)
        return processes.batch_mean(loss, len(logits))
