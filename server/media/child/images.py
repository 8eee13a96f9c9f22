"""Still images, by Pillow."""

import io
import warnings

from PIL import Image, ImageOps

from .wire import MAX_READ, UNREADABLE, Failure, Remote

# The one Pillow format that opens each media type: among its others are some that start
# another program.
FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
    "image/bmp": "BMP",
    "image/tiff": "TIFF",
}
_MAX_PIXELS = 50_000_000  # Pillow refuses twice this: a large camera's picture passes


def opened(remote: Remote, content_type: str) -> Image.Image:
    """The image, not decoded yet."""
    if content_type not in FORMATS:
        raise Failure(UNREADABLE, "Images of this type are kept, but cannot be drawn.")
    Image.MAX_IMAGE_PIXELS = _MAX_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.open(io.BufferedReader(remote, MAX_READ), formats=[FORMATS[content_type]])


def shown_size(picture: Image.Image) -> tuple[int, int]:
    """Width and height as shown: a camera held sideways says so in the EXIF orientation."""
    width, height = picture.size
    return (height, width) if picture.getexif().get(0x0112, 1) in {5, 6, 7, 8} else (width, height)


def upright(picture: Image.Image, side: int) -> Image.Image:
    """Decoded, turned, and in RGB; `side` is how many pixels are needed of the shorter one."""
    picture.draft("RGB", (side, side))  # a JPEG is decoded at a fraction of its size
    return _flat(ImageOps.exif_transpose(picture))


def saved(picture: Image.Image, kind: str) -> bytes:
    """The picture as "JPEG" or "PNG"."""
    buffer = io.BytesIO()
    if kind == "JPEG":
        picture.save(buffer, kind, quality=82, optimize=True)
    else:
        picture.save(buffer, kind, compress_level=3)
    return buffer.getvalue()


def _flat(picture: Image.Image) -> Image.Image:
    """The picture in RGB, on white where one can look through it."""
    if picture.mode.startswith("I"):  # 16 bits and more: Pillow would clip, not scale
        return picture.convert("I").point(lambda value: value / 256).convert("L").convert("RGB")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    ground = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(ground, picture).convert("RGB")
