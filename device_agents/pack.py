"""Packs the agent into one zipapp, the same bytes every time, so that its digest names its version.

Comments and docstrings stay here, which makes it smaller by a third; line numbers are those of the sources.
"""

from __future__ import annotations

import ast
import io
import tokenize
import zipfile
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from edgewright.files import sha256_bytes

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_PACKAGE = "edgewright_agent"
_MAIN = f"import sys\nfrom {_PACKAGE}.__main__ import main\nsys.exit(main())\n"
# The oldest time a zip can hold: no clock in the bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)


class Zipapp(NamedTuple):
    """The agent as one file, and its digest."""

    data: bytes
    sha256: str


def _sources(folder: Traversable, prefix: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            found |= _sources(entry, f"{prefix}/{entry.name}")
        elif entry.name.endswith(".py"):
            found[f"{prefix}/{entry.name}"] = stripped(entry.read_bytes())
    return found


def stripped(source: bytes) -> bytes:
    """A module without comments, and with "" for each docstring: what runs, on the lines where it was."""
    lines = source.decode().split("\n")
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip()
    found = [line.encode() for line in lines]  # ast counts columns in bytes
    for text in ast.walk(ast.parse(source)):
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str):
            first, last = text.lineno - 1, (text.end_lineno or text.lineno) - 1
            kept = found[first][: text.col_offset] + b'""' + found[last][text.end_col_offset :]
            found[first : last + 1] = [kept] + [b""] * (last - first)
    return b"\n".join(found)


@cache
def agent() -> Zipapp:
    """The agent of this installation."""
    sources = _sources(files("device_agents") / "agent", _PACKAGE) | {"__main__.py": _MAIN.encode()}
    buffer = io.BytesIO()
    # Compressed: every CPython on a device has zlib, and the agent travels over slow links too.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(sources):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, sources[name])
    data = buffer.getvalue()
    return Zipapp(data, sha256_bytes(data))


@cache
def place_source() -> bytes:
    """The program that runs on the device before the agent is there: agent/restore.py, then agent/place.py."""
    folder = files("device_agents") / "agent"
    # Each compiled by itself: a traceback names the file and its line, and each has its own `from __future__`.
    parts = [(name, stripped((folder / name).read_bytes()).decode()) for name in ("restore.py", "place.py")]
    return f"for name, text in {parts!r}:\n    exec(compile(text, name, 'exec'))\n".encode()
