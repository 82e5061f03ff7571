"""The drafted CHANGELOG entry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.release import changelog
from pipeline.release.evidence import Evidence
from pipeline.release.manifest import ReleaseManifest
from pipeline.release.versions import Known, Version
from tests.pipeline.release.accepted import MEASURED
from tests.pipeline.release.contents import content, manifest


def _known(told: ReleaseManifest) -> Known:
    return Known(Path("nowhere"), Version.parse(told.version), told)


def test_first_release_is_said_to_be_one(tmp_path: Path) -> None:
    path = changelog.write(tmp_path, manifest(content(tmp_path)), [])
    assert path == tmp_path / "CHANGELOG-tiny-raspberry-pi.draft.md"
    assert path.read_text() == "## 1.0.0\n\n### Added\n\n- The first release of tiny for raspberry-pi: tiny.\n"


def test_entry_is_of_what_changed_since_the_newest_earlier_one(tmp_path: Path) -> None:
    old, newer = (manifest(content(tmp_path / v, version=v, params=p)) for v, p in (("1.0.0", 100), ("1.9.0", 400)))
    later = manifest(content(tmp_path / "3", version="3.0.0"))
    made = manifest(content(tmp_path / "b", version="1.10.0", name="narrow", params=300))
    text = changelog.write(tmp_path, made, [_known(one) for one in (newer, later, old)]).read_text()
    assert text.startswith("## 1.10.0\n\n### Changed\n\n- variant: tiny to narrow\n")
    assert "- params: 400 to 300 (-25.0 %)\n" in text and "top-1" not in text


def test_entry_tells_what_was_not_measured_and_what_did_not_change(tmp_path: Path) -> None:
    evidence = Evidence((replace(MEASURED, worth="invalid"),), True)
    one = manifest(content(tmp_path / "a", evidence=evidence))
    other = one.model_copy(update={"version": "1.0.1"})
    text = changelog.write(tmp_path, other, [_known(one)]).read_text()
    assert text == "## 1.0.1\n\nNot measured on a real device.\n\nNo figure changed since 1.0.0.\n"
