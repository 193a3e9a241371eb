"""Masks, maps and peaks drawn over a picture.

Pictures are uint8 (H, W, 3) RGB, masks bool (H, W), maps float (H, W) in [0, 1], points (x, y) in
pixels. Nothing here writes into what it is given.
"""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Literal

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Colour = tuple[int, int, int]

TRUTH: Colour = (0, 200, 120)
PSEUDO_LABEL: Colour = (255, 160, 0)
PREDICTION: Colour = (60, 150, 255)
_HALO: Colour = (10, 10, 10)
_TINT = 0.45
_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
_HEAT_MAP = "inferno"


def tinted(picture: Picture, mask: Mask, colour: Colour) -> Picture:
    """The mask filled lightly and outlined; what is outside keeps its colours."""
    blend = picture.astype(np.float32)
    blend[mask] = (1 - _TINT) * blend[mask] + _TINT * np.array(colour, dtype=np.float32)
    return outlined(blend.round().astype(np.uint8), mask, colour)


def outlined(picture: Picture, mask: Mask, colour: Colour) -> Picture:
    """The mask's border in colour, with a dark halo so that it shows on every ground."""
    thick = _stroke(picture.shape)
    border = mask & ~ndimage.binary_erosion(mask, iterations=thick)
    halo = ndimage.binary_dilation(mask, iterations=max(1, thick // 2)) & ~mask
    drawn = picture.copy()
    drawn[halo] = _HALO
    drawn[border] = colour
    return drawn


def shown(picture: Picture, mask: Mask, colour: Colour) -> Picture:
    """The mask's pixels in their colours and outlined, all others grey and dark."""
    dimmed = picture.astype(np.float32) @ _LUMINANCE * 0.6
    drawn = np.repeat(dimmed.round().astype(np.uint8)[..., None], 3, axis=2)
    drawn[mask] = picture[mask]
    return outlined(drawn, mask, colour)


def heated(picture: Picture, heat: NDArray[np.floating]) -> Picture:
    """The map in colours over the picture in grey; where it is zero, the grey shows alone."""
    strength = np.clip(heat, 0.0, 1.0).astype(np.float32)
    grey = picture.astype(np.float32) @ _LUMINANCE
    colours = matplotlib.colormaps[_HEAT_MAP](strength)[..., :3].astype(np.float32) * 255
    opacity = (0.85 * np.sqrt(strength))[..., None]
    return ((1 - opacity) * 0.75 * grey[..., None] + opacity * colours).round().astype(np.uint8)


def with_peak(picture: Picture, x: float, y: float) -> Picture:
    """A ring around the centre of pixel (x, y)."""
    canvas = Image.fromarray(picture)
    pen = ImageDraw.Draw(canvas)
    thick = _stroke(picture.shape)
    for radius, colour, width in ((4.0, _HALO, 3), (4.0, (255, 255, 255), 1)):
        reach = radius * thick
        box = (x + 0.5 - reach, y + 0.5 - reach, x + 0.5 + reach, y + 0.5 + reach)
        pen.ellipse(box, outline=colour, width=width * thick)
    return np.asarray(canvas)


def fitted(picture: Picture, side: int) -> Picture:
    """Resized so that its longer side has ``side`` pixels, its form kept."""
    size = _fitted_size(picture.shape, side)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def fitted_mask(mask: Mask, side: int) -> Mask:
    """Likewise for a mask, each pixel from the one under its centre."""
    size = _fitted_size(mask.shape, side)
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))


def fitted_map(heat: NDArray[np.floating], side: int) -> NDArray[np.float32]:
    """Likewise for a map, bilinear."""
    size = _fitted_size(heat.shape, side)
    source = Image.fromarray(heat.astype(np.float32))
    return np.asarray(source.resize(size, Image.Resampling.BILINEAR))


def fitted_point(x: float, y: float, shape: tuple[int, ...], side: int) -> tuple[float, float]:
    """Where pixel (x, y) of a picture of ``shape`` comes to lie."""
    width, height = _fitted_size(shape, side)
    return (x + 0.5) * width / shape[1] - 0.5, (y + 0.5) * height / shape[0] - 0.5


def captioned(picture: Picture, text: str, *, width: int, text_size: int) -> Picture:
    """The picture on white, at least ``width`` pixels wide, with ``text`` wrapped below it."""
    width = max(width, picture.shape[1])
    font = font_of(text_size)
    margin = text_size // 2
    lines = wrapped(text, font, width - 2 * margin)
    line_height = math.ceil(1.3 * text_size)
    height = picture.shape[0] + 2 * margin + line_height * len(lines)
    canvas = Image.new("RGB", (width, height), (255, 255, 255))
    canvas.paste(Image.fromarray(picture), ((width - picture.shape[1]) // 2, 0))
    pen = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        place = (margin, picture.shape[0] + margin + number * line_height)
        pen.text(place, line, font=font, fill=(20, 20, 20))
    return np.asarray(canvas)


def font_of(size: int) -> ImageFont.FreeTypeFont:
    """The font that comes with matplotlib, so that a picture looks alike on every machine."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: int, most: int = 8) -> list[str]:
    """Lines of at most ``width`` pixels; a word that is longer is broken, more lines are cut."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    if len(lines) > most:
        lines = [*lines[: most - 1], f"{lines[most - 1]} …"]
    return lines


def encoded(
    picture: Picture | Mask, kind: Literal["png", "jpeg"], *, quality: int | None = None
) -> bytes:
    """The bytes of an image file; a mask becomes 8-bit grey, 0 and 255."""
    pixels = picture.astype(np.uint8) * 255 if picture.dtype == np.bool_ else picture
    buffer = io.BytesIO()
    if kind == "png":
        Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    else:
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def few_colours(picture: Picture) -> bytes:
    """A PNG of 256 colours: a third of the size, and hardly another picture."""
    palette = Image.fromarray(picture).quantize(
        256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    buffer = io.BytesIO()
    palette.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _stroke(shape: tuple[int, ...]) -> int:
    """Width of a line in pixels that shows at this size of picture."""
    return max(1, round(max(shape[:2]) / 128))


def _fitted_size(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Width and height, at least one pixel each."""
    scale = side / max(shape[:2])
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))
