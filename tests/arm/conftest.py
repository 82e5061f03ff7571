"""ARM doubles for the tests, each started once a session."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.doubles.arm import ArmDouble
from tests.doubles.arm_root import missing
from tests.prerequisites import require


@pytest.fixture(scope="session")
def cache() -> Path:
    """Where wheels are kept: the person's own, so that a second run of the tests needs no network."""
    return Path(os.environ.get("EDGEWRIGHT_CACHE", "~/.cache/edgewright")).expanduser()


@pytest.fixture(scope="session")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ArmDouble]]:
    """The double of a board by its name; it is started at the first asking and kept."""
    reason = missing()
    require(reason is None, reason or "")
    running: dict[str, ArmDouble] = {}
    with ExitStack() as stack:

        def double(like: str) -> ArmDouble:
            if like not in running:
                running[like] = stack.enter_context(ArmDouble(tmp_path_factory.mktemp(like), like))
            return running[like]

        yield double
