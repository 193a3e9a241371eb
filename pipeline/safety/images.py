"""Pictures of any origin, decoded to 8-bit RGB or refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pipeline.safety.errors import InputError

# Pillow knows many more; some of those start other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
_DEEP_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_ORIENTATION = 0x0112  # EXIF: 5 to 8 lie on their side
_WHITE = (255, 255, 255, 255)


def open_image(
    path: str | Path,
    max_pixels: int,
    *,
    apply_exif: bool = True,
    size: tuple[int, int] | None = None,
) -> np.ndarray:
    """The picture as uint8 (H, W, 3) RGB; of an animation the first frame.

    max_pixels: a larger picture is refused from its header, before anything is decoded.
    apply_exif: turn it as its camera's note says. Give False where masks are defined on the stored
        pixels, as in the datasets.
    size: the height and width that the picture must have once it is turned (or is not, as
        ``apply_exif`` says), if that is known.

    Grey, palette and CMYK are converted, 16 bits are scaled to 8, transparency is laid over white.
    InputError names a file that is missing, no picture, truncated, too large, or of another
    size.
    """
    path = Path(path)
    with _opened(path, max_pixels) as image:
        _check_pixels(path, image, max_pixels)
        seen = _size(image, upright=apply_exif)
        if size is not None and seen != size:
            raise InputError(
                f"{path}: {seen[0]} high and {seen[1]} wide, but its dataset says "
                f"{size[0]} and {size[1]}; get the picture that the annotations belong to"
            )
        image.load()
        return _rgb(ImageOps.exif_transpose(image) if apply_exif else image)


def upright_size(path: str | Path, max_pixels: int) -> tuple[int, int]:
    """Height and width of the picture as its camera's note turns it.

    It is read to its end, so that a cut one is found here and not hours later; a JPEG at an eighth
    of its size, in a third of the time. InputError as for :func:`open_image`.
    """
    path = Path(path)
    with _opened(path, max_pixels) as image:
        _check_pixels(path, image, max_pixels)
        size = _size(image, upright=True)
        image.draft("L", (1, 1))
        image.load()
        return size


def open_mask(path: str | Path, size: tuple[int, int]) -> np.ndarray:
    """The bool mask (height, width) in a picture: what is neither black nor transparent is set.

    Of a palette (a label map) every number but 0 is set. InputError as for :func:`open_image`.
    """
    path = Path(path)
    with _opened(path, size[0] * size[1]) as image:
        if (image.height, image.width) != size:
            raise InputError(
                f"{path}: the mask is {image.height} high and {image.width} wide, its picture "
                f"{size[0]} and {size[1]}; draw it again on the picture as it is shown"
            )
        image.load()
        values = np.asarray(image)
        if values.ndim == 2:
            return values != 0
        transparent = image.mode in ("LA", "PA", "La", "RGBA", "RGBa")
        colours = values[:, :, :-1] if transparent else values
        visible = values[:, :, -1] != 0 if transparent else True
        return np.asarray(colours.any(axis=2) & visible, dtype=np.bool_)


@contextmanager
def _opened(path: Path, max_pixels: int) -> Iterator[Image.Image]:
    """The picture with its header read; whatever goes wrong with it becomes an InputError."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            yield image
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except Image.UnidentifiedImageError as error:
        raise InputError(f"{path}: not a picture ({', '.join(FORMATS)} are read)") from error
    except Image.DecompressionBombError as error:  # Pillow's own limit, before the size is known
        raise InputError(
            f"{path}: {error}; at most {max_pixels} pixels are read; make it smaller"
        ) from error
    except Exception as error:  # a damaged picture can make a decoder raise anything
        raise InputError(f"{path}: damaged picture ({error}); get it again") from error


def _check_pixels(path: Path, image: Image.Image, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise InputError(
            f"{path}: {image.width} x {image.height} pixels, at most {max_pixels} are "
            "read; make it smaller"
        )


def _size(image: Image.Image, *, upright: bool) -> tuple[int, int]:
    """Height and width, as stored or as the camera's note turns it."""
    on_its_side = upright and image.getexif().get(_ORIENTATION) in (5, 6, 7, 8)
    return (image.width, image.height) if on_its_side else (image.height, image.width)


def _rgb(image: Image.Image) -> np.ndarray:
    """uint8 (H, W, 3) of a decoded picture of any mode."""
    if image.mode in _DEEP_MODES:
        deep = np.clip(np.asarray(image, dtype=np.int64), 0, 65535)
        grey = ((deep + 128) // 257).astype(np.uint8)  # 65535 = 255 * 257
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("its pixels are floating point, of no known range")
    if image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, _WHITE), layer)
    return np.array(image.convert("RGB"))
