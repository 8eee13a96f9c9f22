"""The sample provider's clip: moving, labelled, with the prompt on it."""

import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Sequence
from fractions import Fraction
from math import ceil
from typing import Any

import av
from PIL import Image, ImageDraw, ImageFont, ImageOps

from . import images
from .encoding import add_picture
from .remux import open_output
from .wire import Remote

_LONGEST_PROMPT = 600  # characters drawn

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Ground = Callable[[float], Image.Image]  # the background at a part (0 to 1) of the clip


def render(
    sources: Sequence[tuple[Remote, str]], arguments: dict[str, Any]
) -> tuple[dict[str, Any], bytes]:
    """Write the clip to `arguments["out"]`; the one input, if any, is the background image."""
    width, height = (max(2, arguments[side] // 2 * 2) for side in ("width", "height"))
    rate = Fraction(arguments["fps"])
    total = max(1, round(arguments["duration"] * rate))
    ground = _still(*sources[0], width, height) if sources else _gradient(width, height)
    words, mask = _lettering(_printable(arguments["prompt"]), width, height)
    bar = max(4, height // 45)
    with open_output(arguments["out"]) as out:
        stream = add_picture(out, (width, height), rate)
        for number in range(total):
            picture = ground(number / total)
            picture.paste(words, (0, 0), mask)
            done = round(width * (number + 1) / total)
            picture.paste((255, 255, 255), (0, height - bar, done, height))
            frame = av.VideoFrame.from_image(picture)  # type: ignore[no-untyped-call]
            frame.pts, frame.time_base = number, 1 / rate
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return {}, b""


def _gradient(width: int, height: int) -> Ground:
    """Colours that drift to the left and come round once in the clip."""
    ramp = Image.linear_gradient("L").rotate(90).resize((width, 1))
    there = ImageOps.colorize(ramp, "#1d2b64", "#b0436e", mid="#5b3a86")
    strip = Image.new("RGB", (3 * width, 1))
    for index, part in enumerate((there, ImageOps.mirror(there), there)):
        strip.paste(part, (index * width, 0))
    strip = strip.resize((3 * width, height))

    def at(part: float) -> Image.Image:
        left = round(part * 2 * width)
        return strip.crop((left, 0, left + width, height))

    return at


def _still(remote: Remote, content_type: str, width: int, height: int) -> Ground:
    """The image, filling the frame and moving slowly across it."""
    picture = images.upright(images.opened(remote, content_type), 2 * max(width, height))
    room = (width * 9 // 8, height * 9 // 8)
    large = ImageOps.fit(picture, room)

    def at(part: float) -> Image.Image:
        left, top = round(part * (room[0] - width)), round(part * (room[1] - height))
        return large.crop((left, top, left + width, top + height))

    return at


def _lettering(prompt: str, width: int, height: int) -> tuple[Image.Image, Image.Image]:
    """The words as an image and its mask: drawn once, laid over every frame."""
    layer = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    margin, small = max(4, width // 20), ImageFont.load_default(max(8, height // 24))
    room = height - 4 * margin
    size = max(8, height // 12)
    while True:
        font = ImageFont.load_default(size)
        lines = _wrapped(prompt, font, width - 2 * margin)
        step = round(size * 1.3)
        if len(lines) * step <= room or size <= 10:
            break
        size = max(10, size * 4 // 5)
    fitting = max(1, room // step)
    if len(lines) > fitting:
        lines = [*lines[: fitting - 1], "…"]
    top = (height - len(lines) * step) // 2
    for number, line in enumerate(lines):
        left = (width - font.getlength(line)) / 2
        place = (left, top + number * step)
        draw.text(place, line, "white", font, stroke_width=max(1, size // 12), stroke_fill="black")
    draw.text((margin, margin), "sample", "white", small, stroke_width=1, stroke_fill="black")
    return layer.convert("RGB"), layer.getchannel("A")


def _wrapped(text: str, font: Font, width: int) -> list[str]:
    """Lines no wider than `width` pixels; a word that is, is broken."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if font.getlength(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        while len(word) > 1 and font.getlength(word) > width:
            counts = range(1, len(word))
            cut = max(1, bisect_right(counts, width, key=lambda n: ceil(font.getlength(word[:n]))))
            lines.append(word[:cut])
            word = word[cut:]
        line = word
    return [*lines, line] if line else lines


def _printable(prompt: str) -> str:
    """What a font can be asked to draw: no control characters, no half of a surrogate pair."""
    drawn = "".join(
        " " if unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"} else letter
        for letter in prompt[: _LONGEST_PROMPT + 1]
    )
    return drawn if len(prompt) <= _LONGEST_PROMPT else drawn[:_LONGEST_PROMPT] + "…"
