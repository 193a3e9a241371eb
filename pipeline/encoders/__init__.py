"""Image and text encoders behind one face. `build_encoder` makes one from its configuration."""

from __future__ import annotations

from pathlib import Path

from pipeline.encoders.face import Encoder

__all__ = ["Encoder", "build_encoder"]


def build_encoder(
    *,
    model: str,
    pretrained: str | None,
    output_stride: int | None,
    context: int,
    normalise: str,
    seed: int,
    vit_pyramid: bool = False,
    project_words: bool = False,
) -> Encoder:
    """An open_clip encoder by name and tag, or from a folder of the pipeline's own.

    Args:
        model: a model of open_clip's list, or a folder that `OpenClipEncoder.save` wrote.
        pretrained: open_clip's tag of weights, or a file of them; None for random ones (ignored
            for a folder).
        output_stride: see `OpenClipEncoder`; None for the tower's own (of a folder: as trained).
        context: tokens a text, start and end included.
        normalise: `clip` or `imagenet`.
        seed: of random weights.

    Raises:
        InputError: the model, its weights or an option is not available.
    """
    # open_clip takes seconds to import: whoever needs only the face does not pay for it.
    from pipeline.encoders import openclip

    folder = Path(model)
    if (folder / openclip.CONFIG_FILE).is_file():
        clip, vocabulary, content = openclip.load_local(folder)
        architecture = content["model_cfg"]
        if output_stride is None:
            output_stride = content.get("output_stride")
    else:
        clip, architecture = openclip.load_published(model, pretrained, seed)
        vocabulary = openclip.full_vocabulary()
    return openclip.OpenClipEncoder(
        clip,
        vocabulary,
        architecture=architecture,
        output_stride=output_stride,
        context=context,
        normalise=normalise,
        vit_pyramid=vit_pyramid,
        project_words=project_words,
    )
