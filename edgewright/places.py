"""Where downloads are kept and where a person's own copies lie, as environment variables say."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from pathlib import Path


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """EDGEWRIGHT_CACHE, else `edgewright` in the person's cache folder. It need not exist yet."""
    if named := environment.get("EDGEWRIGHT_CACHE"):
        return Path(named).expanduser().resolve()
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgewright"


def user_name() -> str:
    """Who runs this, as the system knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "someone"


def data_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """EDGEWRIGHT_DATA: a folder with the person's own copies of what would be downloaded; None where it isn't set."""
    named = environment.get("EDGEWRIGHT_DATA")
    return Path(named).expanduser().resolve() if named else None
