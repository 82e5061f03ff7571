"""devices.setup as it is typed: whose bundles a device takes, told by a file of public keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from device_agents.farm import setup as setting_up
from edgewright.errors import BadArgument
from pipeline import devices
from pipeline.release.keys import KeyMissing, WrongKind
from tests.device_agents.signer import Signer

ADA, EVE = Signer(b"ada"), Signer(b"eve")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What of the device's trust is asked to be changed: [(lines, none)]."""
    found: list[Any] = []

    def setup(*given: Any) -> list[str]:
        found.append((given[-2], given[-1]))
        return []

    monkeypatch.setattr(setting_up, "setup", setup)
    return found


def test_every_key_of_a_file_is_trusted(asked: list[Any], tmp_path: Path) -> None:
    (tmp_path / "team").write_text(f"# the team\n{ADA.line}\n{EVE.line}\n")
    devices.setup("host", False, str(tmp_path / "team"))
    devices.setup("host", False, str(tmp_path / "team"), True)
    devices.setup("host", False)
    assert asked == [([ADA.line, EVE.line], False), ([ADA.line, EVE.line], True), ([], False)]


def test_file_that_holds_no_key_changes_nothing(asked: list[Any], tmp_path: Path) -> None:
    (tmp_path / "none").write_text("no key\n")
    with pytest.raises(WrongKind):
        devices.setup("host", False, str(tmp_path / "none"))
    with pytest.raises(KeyMissing):
        devices.setup("host", False, str(tmp_path / "gone"))
    assert not asked


def test_undo_trusts_nothing(asked: list[Any]) -> None:
    for given in ({"trust_key": "file"}, {"trust_no_key": True}):
        with pytest.raises(BadArgument, match="trusts nothing"):
            devices.setup("host", True, **given)
