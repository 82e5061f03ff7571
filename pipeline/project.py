"""Where a project's things lie: its root, its state, the downloads; settable by environment variables."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgewright.places import cache_folder, data_folder
from pipeline.store import Store


@dataclass(frozen=True)
class Project:
    """root: has farm.toml, models/ and targets/; state: store, reports, bundles; cache: downloads; data: the user's."""

    root: Path
    state: Path
    cache: Path
    data: Path | None

    @classmethod
    def here(cls, environment: Mapping[str, str] = os.environ) -> Project:
        """EDGEWRIGHT_ROOT (set by ./inv; else the working folder), and _STATE, _CACHE and _DATA likewise."""

        def folder(name: str, otherwise: Path) -> Path:
            return Path(environment[name]).expanduser().resolve() if environment.get(name) else otherwise

        root = folder("EDGEWRIGHT_ROOT", Path.cwd())
        state = folder("EDGEWRIGHT_STATE", root / ".edgewright")
        return cls(root, state, cache_folder(environment), data_folder(environment))

    @property
    def store(self) -> Store:
        return Store(self.state / "store")

    @property
    def farm_file(self) -> Path:
        return self.root / "farm.toml"

    def commit(self) -> str | None:
        """The root's git commit, with "+changes" where files differ from it; None without git."""
        try:
            found = subprocess.run(
                ["git", "-C", str(self.root), "describe", "--always", "--abbrev=40", "--dirty=+changes", "--exclude=*"],
                capture_output=True, text=True, timeout=10, check=True,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            return None
        return found.stdout.strip() or None

    def shown(self, path: Path) -> str:
        """A path as short as it can be typed from here."""
        try:
            return str(path.resolve().relative_to(Path.cwd()))
        except ValueError:
            return str(path)
