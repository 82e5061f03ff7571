"""What a test needs from the machine: without it a test is skipped locally and fails in CI, so none is lost unseen."""

from __future__ import annotations

import os

import pytest


def in_ci() -> bool:
    """Whether CI=true (or 1) is set, as .ci/run and most CI services do."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def require(condition: object, missing: str) -> None:
    """Ends the test where `condition` is false: skipped on a person's machine, failed in CI.

    missing: what is not there and how to get it, e.g. "sshd is not installed: apt-get install openssh-server".
    """
    if condition:
        return
    if in_ci():
        pytest.fail(f"prerequisite missing in CI: {missing}", pytrace=False)
    pytest.skip(missing)
