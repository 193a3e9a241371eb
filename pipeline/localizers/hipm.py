"""EHIN's Hierarchical Interaction Prompt Module (Li et al., section 3.2, Eq. 1-2 and 4-13).

Legend: I images, J either I or 1 (broadcast over the images), N texts, P pixels, C channels.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from torch import Tensor, nn

from pipeline.localizers.bilateral_prompt import BilateralPrompt

Residual = Literal["none", "once", "twice"]
Output = Literal["added", "last"]


class Pair(NamedTuple):
    """Pixels (I, P, C) and texts (J, N, C) that describe one another."""

    pixels: Tensor
    texts: Tensor


class HierarchicalPrompt(nn.Module):
    """Bilateral prompts in sequence, the features they started from fed in again on the way.

    With X_0 the features of the encoders and BP_m the m-th prompt, stage m is (Eq. 8-13, which
    write out two of them)

        X_1 = BP_1(X_0) + alpha X_0
        X_m = BP_m(X_{m-1}) + alpha X_0 + beta X_{m-1}

    Args:
        hidden: C.
        prompts: how many prompts; each has weights of its own (paper: 2; Table 3: 1 to 4).
        residual: where the original features come in again. `twice`: at every stage, as above (two
            times, with the paper's two prompts); `once`: at the first alone (Table 4's "repeat
            once"; which of the two it keeps is our reading); `none`: neither they nor the stage
            before, a plain stack of prompts.
        alpha, beta: paper 0.1 and 0.05; one pair of weights for all equations, as the paper says.
        output: what is compared at last, on which the paper has two equations. `added`: Eq. 1-2,
            X_0 + alpha X_1 + beta (X_2 + ...), which with one prompt and no residual is TRIS;
            `last`: Eq. 12-13, the last stage itself.
    """

    def __init__(
        self,
        *,
        hidden: int,
        prompts: int,
        residual: Residual,
        alpha: float,
        beta: float,
        output: Output,
    ) -> None:
        super().__init__()
        if prompts < 1:
            raise ValueError(f"prompts must be 1 or more, not {prompts}")
        if residual not in ("none", "once", "twice"):
            raise ValueError(f"residual must be none, once or twice, not {residual!r}")
        if output not in ("added", "last"):
            raise ValueError(f"output must be added or last, not {output!r}")
        self.prompts = nn.ModuleList(BilateralPrompt(hidden=hidden) for _ in range(prompts))
        self.residual = residual
        self.alpha = alpha
        self.beta = beta
        self.output = output

    def forward(self, pixels: Tensor, texts: Tensor, *, alone: bool) -> Pair:
        """Pixels (I, P, C) and texts (J, N, C) after their interaction; texts are (I, N, C).

        Float32 of any length: what comes in has unit length, what comes out is not normalised.

        Args: `alone`: each text meets the image by itself, as at inference; else, as in training,
            the pixels attend over all N. Pixels that read a single text all read the same, of which
            their instance norm leaves its bias: they do not depend on the text, so those of an
            image serve any number of texts, and half of the work falls away.
        """
        if self.output == "added" and not self.alpha and not self.beta:
            return Pair(pixels, texts)  # every prompt would be weighed 0
        first, *later = self.stages(pixels, texts, alone=alone)
        if self.output == "last":
            return (later or [first])[-1]
        pixels, texts = pixels + self.alpha * first.pixels, texts + self.alpha * first.texts
        for stage in later:
            pixels, texts = pixels + self.beta * stage.pixels, texts + self.beta * stage.texts
        return Pair(pixels, texts)

    def stages(self, pixels: Tensor, texts: Tensor, *, alone: bool) -> list[Pair]:
        """X_1 to the last stage, one for each prompt (Eq. 4-13)."""
        found: list[Pair] = []
        before = origin = Pair(pixels, texts)
        for prompt in self.prompts:
            assert isinstance(prompt, BilateralPrompt)
            read = Pair(
                prompt.read_one_text(pixels) if alone else prompt.read_texts(*before),
                # under autocast it comes as bfloat16, and sums of small parts would lose it
                prompt.read_image(*before).float(),
            )
            if self.residual == "twice" or (self.residual == "once" and not found):
                read = _sum(read, self.alpha, origin)
            if self.residual != "none" and found:
                read = _sum(read, self.beta, before)
            found.append(read)
            before = read
        return found


def _sum(first: Pair, weight: float, second: Pair) -> Pair:
    return Pair(first.pixels + weight * second.pixels, first.texts + weight * second.texts)
