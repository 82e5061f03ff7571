"""Packs the agent into one zipapp, the same bytes every time, so that its digest names its version."""

from __future__ import annotations

import io
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
            found[f"{prefix}/{entry.name}"] = entry.read_bytes()
    return found


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


def place_source() -> bytes:
    """The program that runs on the device before the agent is there (device_agents/agent/place.py)."""
    return (files("device_agents") / "agent" / "place.py").read_bytes()
