"""Images as pixels, uint8 [height, width, channels]. PNG, PGM and PPM need only numpy; other files and sizes Pillow."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy

_PNG = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""PNG's colour types: grey, RGB, palette, grey and alpha, RGB and alpha."""


def read(path: Path, height: int, width: int, channels: int) -> Any:
    """The pixels of an image file as the model wants them. Alpha is left out. Raises OSError, ValueError."""
    data = path.read_bytes()
    pixels = _png(data) if data.startswith(_PNG) else _pnm(data)
    if pixels is None:
        pixels = _by_pillow(path)
    pixels = _coloured(pixels, channels)
    if pixels.shape[:2] != (height, width):
        pixels = _scaled(pixels, height, width)
    return pixels


def _pnm(data: bytes) -> Any | None:
    """PGM and PPM, binary, of one byte a value: values stay as they are in the file. None: another format."""
    gap = rb"(?:\s|#[^\n]*\n)+"
    found = re.match(rb"P([56])" + gap + rb"(\d+)" + gap + rb"(\d+)" + gap + rb"(\d+)\s", data)
    if found is None:
        return None
    kind, width, height, most = (int(group) for group in found.groups())
    if most > 255:
        return None
    shape = (height, width, 1 if kind == 5 else 3)
    values = numpy.frombuffer(data, numpy.uint8, offset=found.end())
    if len(values) < shape[0] * shape[1] * shape[2]:
        raise ValueError("the image is cut short")
    return values[: shape[0] * shape[1] * shape[2]].reshape(shape)


def _png(data: bytes) -> Any | None:
    """PNG (RFC 2083) of 8 bits a value, not interlaced; None: one of the rarer kinds."""
    header: tuple[int, ...] | None = None
    palette, packed, place = b"", b"", len(_PNG)
    while place + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        body, crc = data[place + 8 : place + 8 + length], data[place + 8 + length : place + 12 + length]
        if crc != struct.pack(">I", zlib.crc32(kind + body)):
            raise ValueError("the image is damaged or cut short")
        if kind == b"IHDR" and length == 13:
            header = struct.unpack(">IIBBBBB", body)
        elif kind == b"PLTE":
            palette = body
        elif kind == b"IDAT":
            packed += body
        place += 12 + length
    if header is None:
        raise ValueError("the image is damaged or cut short")
    width, height, depth, colour, _, _, interlaced = header
    if depth != 8 or interlaced or colour not in _CHANNELS:
        return None
    channels = _CHANNELS[colour]
    try:
        rows = zlib.decompress(packed)
    except zlib.error as error:
        raise ValueError(f"the image is damaged ({error})") from error
    pixels = _unfiltered(rows, height, width * channels, channels).reshape(height, width, channels)
    if colour == 3:
        colours = numpy.frombuffer(palette[: len(palette) // 3 * 3], numpy.uint8).reshape(-1, 3)
        if len(colours) <= int(pixels.max()):
            raise ValueError("the image is damaged: its palette is too short")
        return colours[pixels[:, :, 0]]
    return pixels


def _unfiltered(rows: bytes, height: int, stride: int, step: int) -> Any:
    """Undoes the filters of PNG's rows (RFC 2083, chapter 6). step: bytes of a pixel."""
    if len(rows) != height * (stride + 1):
        raise ValueError("the image is damaged: it has too few or too many rows")
    made: list[bytes] = []
    above = bytes(stride)
    for start in range(0, len(rows), stride + 1):
        kind, row = rows[start], bytearray(rows[start + 1 : start + 1 + stride])
        if kind > 4:
            raise ValueError(f"the image is damaged: there is no filter {kind}")
        for place in range(stride if kind else 0):
            left = row[place - step] if place >= step else 0
            corner = above[place - step] if place >= step else 0
            row[place] = (row[place] + _guess(kind, left, above[place], corner)) & 255
        above = bytes(row)
        made.append(above)
    return numpy.frombuffer(b"".join(made), numpy.uint8)


def _guess(kind: int, left: int, up: int, corner: int) -> int:
    """What filter 1 (Sub), 2 (Up), 3 (Average) or 4 (Paeth) foretells."""
    if kind < 3:
        return left if kind == 1 else up
    if kind == 3:
        return (left + up) // 2
    far_left, far_up, far = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
    if far_left <= far_up and far_left <= far:
        return left
    return up if far_up <= far else corner


def _coloured(pixels: Any, channels: int) -> Any:
    """Grey or RGB as the model takes it. Grey is Pillow's: ITU-R 601-2 luma in whole numbers."""
    if pixels.shape[2] in (2, 4):
        pixels = pixels[:, :, :-1]
    if pixels.shape[2] == channels:
        return pixels
    if pixels.shape[2] == 1:
        return numpy.repeat(pixels, channels, axis=2)
    if channels != 1:
        raise ValueError(f"the model takes {channels} channels, an image has 1 or 3")
    weighed = pixels.astype(numpy.uint32) @ numpy.array([19595, 38470, 7471], numpy.uint32)
    return ((weighed + 0x8000) >> 16).astype(numpy.uint8)[:, :, None]


def _by_pillow(path: Path) -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise ValueError("such an image needs Pillow: apt-get install python3-pil, or pip install pillow") from None
    try:
        with Image.open(str(path)) as image:
            return numpy.atleast_3d(numpy.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB")))
    except Exception as error:  # its decoders raise what they will
        raise ValueError(f"Pillow can't read the image ({error})") from error


def _scaled(pixels: Any, height: int, width: int) -> Any:
    """Bilinear, by Pillow."""
    try:
        from PIL import Image
    except ImportError:
        size = f"{pixels.shape[1]} x {pixels.shape[0]}, the model takes {width} x {height}"
        raise ValueError(f"the image is {size}: scale it, or have Pillow (apt-get install python3-pil)") from None
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    bilinear: Any = vars(Image)["BILINEAR"]  # Image.Resampling is missing in Debian 11's
    return numpy.atleast_3d(numpy.asarray(image.resize((width, height), bilinear)))
