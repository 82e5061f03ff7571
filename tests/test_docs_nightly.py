"""docs/nightly.md: its commands exist, and what it tells a receiver of the webhook to do works."""

from __future__ import annotations

import configparser
import hashlib
import hmac
import re
from pathlib import Path

import pytest


@pytest.fixture
def page(project_root: Path) -> str:
    return (project_root / "docs" / "nightly.md").read_text(encoding="utf-8")


def _code(page: str, begins: str) -> str:
    """The indented block whose first line begins so."""
    lines = page.splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith(f"    {begins}"))
    found = []
    for line in lines[first:]:
        if line and not line.startswith("    "):
            break
        found.append(line[4:])
    return "\n".join(found)


def test_every_command_and_flag_of_the_page_is_a_tasks(page: str) -> None:
    import tasks

    flags = {context.name: {*context.flags, *context.inverse_flags} for context in tasks.namespace.to_contexts()}
    code = [line for line in page.splitlines() if line.startswith("    ")]
    used = [
        (task, flag)
        for line in code
        for task, words in re.findall(r"inv ((?!$)[a-z.]+)([^;#|]*)", line)
        for flag in ["", *re.findall(r"(--[a-z-]+)", words)]
    ]
    assert len(used) > 10
    assert not [(task, flag) for task, flag in used if task not in flags or flag not in flags[task] | {""}]


def test_receivers_check_takes_our_signature_and_no_other(page: str) -> None:
    names: dict[str, object] = {}
    exec(_code(page, "import hashlib, hmac"), names)
    is_ours = names["is_ours"]
    assert callable(is_ours)
    signed = "sha256=" + hmac.new(b"key", b"body", hashlib.sha256).hexdigest()
    assert is_ours(b"body", signed, "key")
    assert not is_ours(b"other", signed, "key")


def test_units_of_systemd_can_be_read_and_belong_together(page: str) -> None:
    service, timer = configparser.RawConfigParser(strict=True), configparser.RawConfigParser(strict=True)
    first, _, second = page.partition("edgewright-nightly.timer`:")
    service.read_string(_code(first.partition("edgewright-nightly.service`:")[2], "[Unit]"))
    timer.read_string(_code(second, "[Unit]"))
    assert service["Service"]["ExecStart"].startswith(f"{service['Service']['WorkingDirectory']}/inv nightly ")
    assert timer["Install"]["WantedBy"] == "timers.target"
