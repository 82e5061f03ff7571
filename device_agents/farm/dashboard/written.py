"""Which reports have their page already: a report never changes, so one version of the code makes its page once."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path

from device_agents.farm.dashboard.names import report_file, samples_file
from device_agents.farm.page import TEMPLATES
from edgewright.files import canonical_json, sha256_bytes, sha256_file, write_atomically

FILE = "written.json"
SCHEMA = "edgewright-dashboard/1"


class Written:
    """The pages of reports in a folder, by the sizes of their files: one that a power cut left short is made again."""

    def __init__(self, folder: Path, maker: str, sizes: dict[str, list[int]]) -> None:
        self._folder = folder
        self._maker = maker
        self._sizes = sizes

    @classmethod
    def read(cls, folder: Path, maker: str) -> Written:
        """What is there; nothing where another maker made it, or its list can't be read."""
        try:
            found = json.loads((folder / FILE).read_bytes())
            if (found["schema"], found["maker"]) == (SCHEMA, maker):
                return cls(folder, maker, {str(id): list(sizes) for id, sizes in found["reports"].items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        return cls(folder, maker, {})

    def has(self, id: str) -> bool:
        """Whether both files of a report are there, and whole."""
        sizes = self._sizes.get(id)
        return sizes is not None and sizes == self._found(id)

    def add(self, id: str, page: bytes, samples: bytes) -> None:
        """Writes the files of a report. Raises OSError."""
        put(self._folder / report_file(id), page)
        put(self._folder / samples_file(id), samples)
        self._sizes[id] = [len(page), len(samples)]

    def save(self) -> None:
        """Writes the list. Raises OSError."""
        content = {"schema": SCHEMA, "maker": self._maker, "reports": self._sizes}
        write_atomically(self._folder / FILE, canonical_json(content))

    def _found(self, id: str) -> list[int]:
        sizes = []
        for name in (report_file(id), samples_file(id)):
            with contextlib.suppress(OSError):
                sizes.append((self._folder / name).stat().st_size)
        return sizes


def maker() -> str:
    """A digest of all that a report's page is made by: a later version makes it anew."""
    sources = [*Path(__file__).parent.glob("*.py"), *TEMPLATES.parent.glob("*.py"), *TEMPLATES.iterdir()]
    digests = {f"{path.parent.name}/{path.name}": sha256_file(path) for path in sources if path.is_file()}
    return sha256_bytes(canonical_json(digests))


def put(path: Path, data: bytes) -> None:
    """Writes a page whole or not at all, for whoever reads it meanwhile. Raises OSError.

    Unlike write_atomically it doesn't wait for the disk: what a power cut takes is made again.
    """
    with contextlib.suppress(OSError):
        if path.stat().st_size == len(data) and path.read_bytes() == data:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
