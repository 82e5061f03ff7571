"""Old releases: which go, which stay, and that nothing goes unasked."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from edgewright.errors import BadArgument
from edgewright.files import sha256_file
from pipeline.release.errors import NotWritten
from pipeline.release.retention import prune
from tests.pipeline.release.contents import content, manifest

VERSIONS = ["1.0.0", "1.1.0", "1.2.0-rc.1", "1.2.0", "2.0.0"]


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    folder = tmp_path / "releases"
    told = manifest(content(tmp_path))
    for version in VERSIONS:
        place = folder / f"tiny-raspberry-pi-{version}"
        place.mkdir(parents=True)
        (place / "manifest.json").write_bytes(told.model_copy(update={"version": version}).written())
        (place / "SHA256SUMS").write_text(version)
    (folder / "CHANGELOG-tiny-raspberry-pi.draft.md").write_text("")
    return folder


def there(releases: Path) -> list[str]:
    return sorted(path.name.removeprefix("tiny-raspberry-pi-") for path in releases.iterdir() if path.is_dir())


def installed(state: Path, release: Any) -> None:
    (state / "rollouts").mkdir(exist_ok=True)
    (state / "rollouts" / "1.json").write_text(json.dumps({"release": release}))


def test_nothing_goes_unless_that_is_asked(releases: Path, state: Path) -> None:
    found = prune(releases, state, keep=2)
    assert [str(one.version) for one in found.go] == ["1.0.0", "1.1.0"]
    assert "would go" in found.lines()[0] and "--remove" in found.lines()[-1]
    assert there(releases) == sorted(VERSIONS)


def test_newest_of_each_major_version_stay(releases: Path, state: Path) -> None:
    found = prune(releases, state, keep=1, remove=True)
    assert there(releases) == ["1.2.0", "2.0.0"]
    assert found.to_json()["go"] == [f"tiny-raspberry-pi-{one}" for one in ("1.0.0", "1.1.0", "1.2.0-rc.1")]
    assert prune(releases, state, keep=1, remove=True).go == []
    assert sorted(path.name for path in releases.iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize("by", ["path", "digest", "both"])
def test_what_a_rollout_has_installed_stays(by: str, releases: Path, state: Path) -> None:
    folder = releases / "tiny-raspberry-pi-1.0.0"
    sums = sha256_file(folder / "SHA256SUMS")
    installed(state, {"path": str(folder), "digest": sums, "both": {"path": "/gone", "sums": sums}}[by])
    found = prune(releases, state, keep=1, remove=True)
    assert there(releases) == ["1.0.0", "1.2.0", "2.0.0"]
    assert any("a rollout has put it on a device" in line for line in found.lines())


def test_record_that_cannot_be_read_stops_it(releases: Path, state: Path) -> None:
    for broken in ("{", "[]", "{}"):
        (state / "rollouts").mkdir(exist_ok=True)
        (state / "rollouts" / "1.json").write_text(broken)
        with pytest.raises(NotWritten, match="not known") as caught:
            prune(releases, state, keep=1, remove=True)
        assert "./inv fleet" in caught.value.remedy
    assert there(releases) == sorted(VERSIONS)


def test_none_can_be_kept_is_refused_and_an_empty_folder_is_none(releases: Path, state: Path, tmp_path: Path) -> None:
    with pytest.raises(BadArgument):
        prune(releases, state, keep=0)
    assert prune(tmp_path / "nowhere", state, keep=1).lines() == ["  no releases there"]


def test_what_cannot_be_read_stays_and_is_named(releases: Path, state: Path) -> None:
    (releases / "tiny-raspberry-pi-1.0.0" / "manifest.json").write_text("{")
    found = prune(releases, state, keep=1, remove=True)
    assert there(releases) == ["1.0.0", "1.2.0", "2.0.0"]
    assert "  stays      tiny-raspberry-pi-1.0.0  (no release that can be read)" in found.lines()
    assert {"release": "tiny-raspberry-pi-1.0.0", "why": "no release that can be read"} in found.to_json()["stay"]


def test_release_that_cannot_be_moved_stays_whole(releases: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount point, say: to copy it and remove the rest file by file would leave half of it."""

    def refused(*given: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refused)
        with pytest.raises(NotWritten, match="Invalid cross-device link"):
            prune(releases, state, keep=1, remove=True)
    assert there(releases) == sorted(VERSIONS)
    assert len(list((releases / "tiny-raspberry-pi-1.0.0").iterdir())) == 2
