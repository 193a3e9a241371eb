"""Pictures of any origin, decoded to 8-bit RGB or refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pipeline.safety.errors import InputError

# Pillow knows many more; some of those start other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
_DEEP_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")
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
    size: the height and width that the stored picture must have, if that is known.

    Grey, palette and CMYK are converted, 16 bits are scaled to 8, transparency is laid over white.
    InputError names a file that is missing, no picture, truncated, too large, or of another
    size.
    """
    path = Path(path)
    try:
        with Image.open(path, formats=FORMATS) as image:
            if size is not None and (image.height, image.width) != size:
                raise InputError(
                    f"{path}: {image.height} high and {image.width} wide, but its dataset says "
                    f"{size[0]} and {size[1]}; get the picture that the annotations belong to"
                )
            if image.width * image.height > max_pixels:
                raise InputError(
                    f"{path}: {image.width} x {image.height} pixels, at most {max_pixels} are "
                    "read; make it smaller"
                )
            image.load()
            turned = ImageOps.exif_transpose(image) if apply_exif else image
            return _rgb(turned)
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
