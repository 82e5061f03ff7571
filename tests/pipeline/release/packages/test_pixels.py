"""The example's own image reader: the same pixels as Pillow's, and one sentence about every file that is none."""

from __future__ import annotations

import importlib.util
import io
import struct
import sys
import zlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.pipeline.release.packages.runnable import TEMPLATES

Image = pytest.importorskip("PIL.Image")

HEIGHT, WIDTH = 13, 9


@pytest.fixture(scope="module")
def pixels() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pixels", TEMPLATES / "pixels.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _noise(channels: int, smooth: bool = False) -> np.ndarray:
    noise = np.random.default_rng(channels).integers(0, 256, (HEIGHT, WIDTH, channels), np.uint8)
    return np.cumsum(noise // 32, axis=1).astype(np.uint8) if smooth else noise


def _png(array: np.ndarray, kinds: list[int]) -> bytes:
    """A PNG whose rows go through the filters `kinds` in turn, by the definitions (RFC 2083, 6)."""
    height, width, channels = array.shape
    rows = array.reshape(height, width * channels).astype(np.int32)
    made = b""
    for number in range(height):
        row, above = rows[number], rows[number - 1] if number else np.zeros_like(rows[0])
        left = np.concatenate([np.zeros(channels, np.int32), row[:-channels]])
        corner = np.concatenate([np.zeros(channels, np.int32), above[:-channels]])
        guess = left + above - corner
        near = np.stack([abs(guess - left), abs(guess - above), abs(guess - corner)])
        paeth = np.choose(near.argmin(axis=0), [left, above, corner])
        kind = kinds[number % len(kinds)]
        foretold = [np.zeros_like(row), left, above, (left + above) // 2, paeth][kind]
        made += bytes([kind]) + ((row - foretold) % 256).astype(np.uint8).tobytes()
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    packed = zlib.compress(made)
    halves = [(b"IDAT", packed[: len(packed) // 2]), (b"IDAT", packed[len(packed) // 2 :])]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in [(b"IHDR", header), *halves, (b"IEND", b"")]
    )


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kinds", [[0], [1], [2], [3], [4], [4, 3, 2, 1, 0]])
def test_png_is_read_as_pillow_reads_it(
    pixels: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int, kinds: list[int]
) -> None:
    array = _noise(channels)
    (tmp_path / "image.png").write_bytes(_png(array, kinds))
    coloured = channels > 2
    with Image.open(tmp_path / "image.png") as image:
        mode = "RGBA" if channels == 4 else "LA" if channels == 2 else image.mode
        assert np.array_equal(np.asarray(image.convert(mode)).reshape(array.shape), array)
    monkeypatch.setitem(sys.modules, "PIL", None)  # by ourselves
    found = pixels.read(tmp_path / "image.png", HEIGHT, WIDTH, 3 if coloured else 1)
    assert np.array_equal(found, array[:, :, :3] if coloured else array[:, :, :1])


def test_png_as_pillow_writes_it_is_read(pixels: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smooth = _noise(3, smooth=True)
    Image.fromarray(smooth).save(tmp_path / "smooth.png")
    palette = Image.fromarray(smooth).convert("P")
    palette.save(tmp_path / "palette.png")
    wanted = np.asarray(palette.convert("RGB"))
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert np.array_equal(pixels.read(tmp_path / "smooth.png", HEIGHT, WIDTH, 3), smooth)
    assert np.array_equal(pixels.read(tmp_path / "palette.png", HEIGHT, WIDTH, 3), wanted)


@pytest.mark.parametrize(("magic", "channels"), [(b"P5", 1), (b"P6", 3)])
def test_pnm_keeps_its_values(pixels: ModuleType, tmp_path: Path, magic: bytes, channels: int) -> None:
    array = _noise(channels) % 17
    header = magic + b"\n# a comment\n%d %d # another\n16\n" % (WIDTH, HEIGHT)
    (tmp_path / "image.pnm").write_bytes(header + array.tobytes())
    assert np.array_equal(pixels.read(tmp_path / "image.pnm", HEIGHT, WIDTH, channels), array)


def test_colours_become_the_models_as_pillow_does_it(pixels: ModuleType, tmp_path: Path) -> None:
    array = _noise(3)
    Image.fromarray(array).save(tmp_path / "image.png")
    grey = np.asarray(Image.fromarray(array).convert("L"))[:, :, None]
    assert np.array_equal(pixels.read(tmp_path / "image.png", HEIGHT, WIDTH, 1), grey)
    Image.fromarray(grey[:, :, 0]).save(tmp_path / "grey.png")
    assert np.array_equal(pixels.read(tmp_path / "grey.png", HEIGHT, WIDTH, 3), np.repeat(grey, 3, axis=2))


def test_other_sizes_and_files_go_through_pillow(pixels: ModuleType, tmp_path: Path) -> None:
    array = _noise(3, smooth=True)
    Image.fromarray(array).save(tmp_path / "image.bmp")
    assert np.array_equal(pixels.read(tmp_path / "image.bmp", HEIGHT, WIDTH, 3), array)
    Image.fromarray(array).save(tmp_path / "interlaced.png", interlace=1)
    wanted = np.asarray(Image.fromarray(array).resize((4, 5), Image.Resampling.BILINEAR))
    assert np.array_equal(pixels.read(tmp_path / "interlaced.png", 5, 4, 3), wanted)


@pytest.mark.parametrize("name", ["image.bmp", "big.png"])
def test_without_pillow_its_absence_is_told(
    pixels: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    Image.fromarray(_noise(3)).save(tmp_path / name)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ValueError, match="python3-pil"):
        pixels.read(tmp_path / name, 5, 4, 3)


def test_damaged_images_are_no_traceback(pixels: ModuleType, tmp_path: Path) -> None:
    whole = _png(_noise(3), [4])
    buffer = io.BytesIO()
    Image.fromarray(_noise(3)).convert("P").save(buffer, "PNG")
    for data in (whole, buffer.getvalue(), b"P6 9 13 255\n" + _noise(3).tobytes()):
        for place in [*range(0, len(data), 7), len(data) - 1]:
            for wrong in (data[:place], data[:place] + bytes([data[place] ^ 0x5A]) + data[place + 1 :]):
                (tmp_path / "image").write_bytes(wrong)
                try:
                    found = pixels.read(tmp_path / "image", HEIGHT, WIDTH, 3)
                except (ValueError, OSError):
                    continue
                assert found.shape == (HEIGHT, WIDTH, 3)
