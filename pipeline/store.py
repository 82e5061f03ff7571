"""What is kept: artifacts found by fingerprint, their files kept once by content, committed by one rename."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.errors import EdgewrightError
from edgewright.files import pretty_json, sha256_bytes, sha256_file, write_atomically


class CorruptArtifact(EdgewrightError):
    """A file in the store is gone or is not what was put there."""


class StoreBusy(EdgewrightError):
    """Another process uses the store in a way that excludes this one."""


@dataclass(frozen=True)
class Artifact:
    """The files that a step left. `summary` holds small figures about them; `ingredients` all that went into it."""

    fingerprint: str
    step: str
    node: str
    files: Mapping[str, Mapping[str, Any]]
    summary: Mapping[str, Any]
    seconds: float
    made: str
    ingredients: Mapping[str, Any]
    objects: Path

    def path(self, name: str) -> Path:
        """The file's place in the store, its content checked against its digest. Raises CorruptArtifact."""
        entry = self.files[name]
        path = self.objects / entry["sha256"][:2] / entry["sha256"]
        if not path.is_file() or path.stat().st_size != entry["bytes"] or sha256_file(path) != entry["sha256"]:
            raise CorruptArtifact(
                f"{name!r} of the artifact {self.fingerprint[:12]} ({self.node}) is gone or damaged",
                where=str(path),
                remedy="./inv store.verify --remove, then run the command again: it is made anew",
            )
        return path

    @property
    def digest(self) -> str:
        """Names the content: equal digests mean equal files."""
        listing = "\n".join(f"{name} {entry['sha256']}" for name, entry in sorted(self.files.items()))
        return sha256_bytes(listing.encode())

    @property
    def bytes(self) -> int:
        return sum(entry["bytes"] for entry in self.files.values())


class Store:
    """A folder: `objects/` by content, `artifacts/` by fingerprint, `work/` for what is under way, `locks/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects = folder / "objects"
        self.artifacts = folder / "artifacts"
        self.work = folder / "work"
        self.locks = folder / "locks"

    def find(self, fingerprint: str) -> Artifact | None:
        """The artifact of that fingerprint, or None. One whose files are gone counts as none."""
        path = self._entry(fingerprint)
        try:
            content = json.loads(path.read_bytes())
            artifact = Artifact(objects=self.objects, **content)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise CorruptArtifact(
                f"The record of the artifact {fingerprint[:12]} is damaged",
                where=str(path),
                remedy="./inv store.verify --remove",
            ) from error
        for entry in artifact.files.values():
            place = self.objects / entry["sha256"][:2] / entry["sha256"]
            if not place.is_file() or place.stat().st_size != entry["bytes"]:
                return None
        return artifact

    def commit(self, record: Mapping[str, Any], folder: Path) -> Artifact:
        """Takes the files of `folder` in. The record's rename is last, so an artifact is whole or absent."""
        files: dict[str, dict[str, Any]] = {}
        for path in sorted(folder.iterdir()):
            digest = sha256_file(path)
            files[path.name] = {"sha256": digest, "bytes": path.stat().st_size}
            place = self.objects / digest[:2] / digest
            place.parent.mkdir(parents=True, exist_ok=True)
            with path.open("rb+") as stream:
                os.fsync(stream.fileno())
            path.chmod(0o444)
            path.replace(place)
        made = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        content = {**record, "files": files, "made": made}
        write_atomically(self._entry(record["fingerprint"]), pretty_json(content))
        return Artifact(objects=self.objects, **content)

    def all(self) -> Iterator[Artifact]:
        """Every artifact whose record can be read, oldest use first."""
        paths = self.artifacts.glob("*.json") if self.artifacts.is_dir() else ()
        for path in sorted(paths, key=lambda path: path.stat().st_mtime):
            with contextlib.suppress(ValueError, TypeError):
                yield Artifact(objects=self.objects, **json.loads(path.read_bytes()))

    def latest(self, node: str, step: str) -> Artifact | None:
        """The artifact made last for the same place in a plan: what `explain` compares with."""
        same = [artifact for artifact in self.all() if artifact.node == node and artifact.step == step]
        return max(same, key=lambda artifact: artifact.made, default=None)

    def touch(self, artifact: Artifact) -> None:
        """Notes the use, for `gc`."""
        with contextlib.suppress(OSError):
            os.utime(self._entry(artifact.fingerprint))

    def remove(self, fingerprint: str) -> None:
        self._entry(fingerprint).unlink(missing_ok=True)

    def scratch(self, fingerprint: str) -> Path:
        """A folder for checkpoints and files under way; it outlives a kill, and goes when the artifact is committed."""
        folder = self.work / fingerprint
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def discard_scratch(self, fingerprint: str) -> None:
        shutil.rmtree(self.work / fingerprint, ignore_errors=True)

    @contextlib.contextmanager
    def using(self) -> Iterator[None]:
        """Held while a build runs: `gc` and `verify --remove` wait outside."""
        with self._lock("store", fcntl.LOCK_SH, None):
            yield

    @contextlib.contextmanager
    def making(self, fingerprint: str, on_wait: Callable[[], None]) -> Iterator[None]:
        """One process makes an artifact at a time; a second one waits (`on_wait` says so) and then finds it made."""
        with self._lock(fingerprint, fcntl.LOCK_EX, on_wait):
            try:
                yield
            finally:
                # While it is held: whoever waits for it sees that its file is gone, and asks anew.
                (self.locks / fingerprint).unlink(missing_ok=True)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else uses the store meanwhile. Raises StoreBusy where somebody does."""
        with self._lock("store", fcntl.LOCK_EX, None):
            yield

    def broken(self) -> list[tuple[str, str]]:
        """(fingerprint, what is wrong) of every artifact that is damaged; reads every file."""
        found = []
        for path in sorted(self.artifacts.glob("*.json")) if self.artifacts.is_dir() else ():
            try:
                artifact = Artifact(objects=self.objects, **json.loads(path.read_bytes()))
                for name in artifact.files:
                    artifact.path(name)
            except (ValueError, TypeError):
                found.append((path.stem, "its record can't be read"))
            except CorruptArtifact as error:
                found.append((path.stem, error.what))
        return found

    def drop_broken(self, fingerprint: str) -> None:
        """Removes a damaged artifact's record and those of its files that are damaged."""
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, OSError):
            for entry in json.loads(self._entry(fingerprint).read_bytes())["files"].values():
                place = self.objects / entry["sha256"][:2] / entry["sha256"]
                if place.is_file() and sha256_file(place) != entry["sha256"]:
                    place.unlink()
        self.remove(fingerprint)

    def collect(self, budget: int) -> tuple[int, int]:
        """Drops what was used longest ago until the rest fits in `budget` bytes, then files that nothing names.

        Returns (artifacts dropped, bytes freed). Raises StoreBusy while a build runs.
        """
        with self.alone():
            before = self.size()
            keep = list(self.all())
            dropped = 0
            while keep and self._bytes_of(keep) > budget:
                self.remove(keep.pop(0).fingerprint)
                dropped += 1
            named = {entry["sha256"] for artifact in keep for entry in artifact.files.values()}
            for path in self.objects.glob("*/*") if self.objects.is_dir() else ():
                if path.name not in named:
                    path.unlink()
            shutil.rmtree(self.work, ignore_errors=True)
            return dropped, before - self.size()

    def size(self) -> int:
        """Bytes of all that is kept, work under way included."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    @staticmethod
    def _bytes_of(artifacts: list[Artifact]) -> int:
        return sum({entry["sha256"]: entry["bytes"] for one in artifacts for entry in one.files.values()}.values())

    def _entry(self, fingerprint: str) -> Path:
        return self.artifacts / f"{fingerprint}.json"

    @contextlib.contextmanager
    def _lock(self, name: str, kind: int, on_wait: Callable[[], None] | None) -> Iterator[None]:
        """A kernel lock: the death of its holder frees it. Without `on_wait`, a lock that is taken is refused."""
        self.locks.mkdir(parents=True, exist_ok=True)
        path = self.locks / name
        while True:
            with path.open("a") as stream:
                try:
                    fcntl.flock(stream, kind | fcntl.LOCK_NB)
                except BlockingIOError:
                    if on_wait is None:
                        raise StoreBusy(
                            "Another process is using the store",
                            where=str(self.folder),
                            remedy="wait until it is done, then type it again",
                        ) from None
                    on_wait()
                    fcntl.flock(stream, kind)
                if self._is_there(path, stream.fileno()):
                    yield
                    return

    @staticmethod
    def _is_there(path: Path, handle: int) -> bool:
        """Whether `path` is still the open file: one removed by the holder before us guards nothing."""
        try:
            return os.path.samestat(path.stat(), os.fstat(handle))
        except FileNotFoundError:
            return False
