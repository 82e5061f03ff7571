"""Versions: semver's own examples, its order, and which one may come next."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.release.errors import BadVersion, MajorDemanded, NoRelease
from pipeline.release.manifest import manifest_of
from pipeline.release.versions import Known, Version, check_next, doubtful, known, promised
from tests.pipeline.release.contents import content

ORDERED = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
           "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0"]  # fmt: skip
"""Section 11 of the specification, and what comes after."""


def test_versions_are_ordered_as_the_specification_says() -> None:
    parsed = [Version.parse(text) for text in ORDERED]
    assert sorted([*parsed[5:], *parsed[:5]]) == parsed
    assert [str(one) for one in parsed] == ORDERED


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.2", "1.2.3.4", "v1.2.3", "01.2.3", "1.02.3", "1.2.3-", "1.2.3-01", "1.2.3-a..b", "1.2.3+build",
     " 1.2.3", "1.2.3\n", "1.2.x", "1.2.3-ä", "-1.2.3", "\uff11.2.3", "1.2.3-" + "a" * 100, "../1.2.3", "1.2.3/.."],
)  # fmt: skip
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(BadVersion, match="no semantic version") as caught:
        Version.parse(text)
    assert "1.2.0-rc.1" in caught.value.remedy


@given(st.tuples(*[st.integers(0, 10**6)] * 3), st.from_regex(r"\A(|[a-z][0-9a-z-]{0,5}(\.(0|[1-9][0-9]{0,3}))?)\Z"))
def test_version_is_what_was_parsed(numbers: tuple[int, int, int], pre: str) -> None:
    version = Version(*numbers, pre)
    assert Version.parse(str(version)) == version
    assert version < version.next_major()


def _known(folder: Path, version: str) -> Known:
    told = manifest_of(content(folder / version, version=version), b"", [], 0.5)
    place = folder / f"{told.name}-{version}"
    place.mkdir()
    (place / "manifest.json").write_bytes(told.written())
    return Known(place, Version.parse(version), told)


def test_next_must_be_greater_and_major_where_the_signature_changed(tmp_path: Path) -> None:
    newest = _known(tmp_path, "1.9.0")
    for good in ("1.9.1", "1.10.0", "2.0.0-rc.1"):
        check_next(Version.parse(good), newest, [])
    for low in ("1.9.0", "1.9.0-rc.1", "0.9.0", "1.8.7"):
        with pytest.raises(BadVersion, match=r"does not come after 1\.9\.0"):
            check_next(Version.parse(low), newest, [])
    with pytest.raises(MajorDemanded, match=r"input x shape: .*") as caught:
        check_next(Version.parse("1.10.0"), newest, ["input x shape: [1] > [2]"])
    assert "--version 2.0.0" in caught.value.remedy
    check_next(Version.parse("2.0.0"), newest, ["input x shape: [1] > [2]"])
    check_next(Version.parse("0.0.1"), None, [])


def test_known_finds_releases_in_their_order_and_nothing_else(tmp_path: Path) -> None:
    for version in ("1.10.0", "1.9.0", "1.9.0-rc.1"):
        _known(tmp_path, version)
    (tmp_path / "tiny-raspberry-pi-3.0.0").mkdir()
    renamed = tmp_path / "tiny-raspberry-pi-4.0.0"
    _known(tmp_path, "0.1.0").folder.rename(renamed)
    (tmp_path / "a file").write_text("")
    assert [str(one.version) for one in known(tmp_path, "tiny-raspberry-pi")] == ["1.9.0-rc.1", "1.9.0", "1.10.0"]
    assert known(tmp_path, "other") == [] and known(tmp_path / "none") == []


def test_prerelease_promises_nothing(tmp_path: Path) -> None:
    """What changes between a candidate and its release is held against the newest release proper."""
    stable, candidate = _known(tmp_path, "1.0.0"), _known(tmp_path, "2.0.0-rc.1")
    assert promised([stable, candidate]) == stable and promised([candidate]) is None
    check_next(Version.parse("2.0.0"), candidate, ["labels: 4 > 3"], stable)
    with pytest.raises(MajorDemanded, match=r"An app of 1\.0\.0 would break on 1\.1\.0"):
        check_next(Version.parse("1.1.0"), stable, ["labels: 4 > 3"], stable)


def test_folder_that_should_hold_a_release_and_does_not_is_doubtful(tmp_path: Path) -> None:
    good, torn = _known(tmp_path, "1.0.0").folder, _known(tmp_path, "1.1.0").folder
    (torn / "manifest.json").write_text("{")
    (tmp_path / "tiny-raspberry-pi-1.2.0").mkdir()
    (tmp_path / "other-jetson-1.0.0").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "tiny-raspberry-pi-9.0.0").write_text("a file")
    good.with_name("tiny-raspberry-pi-1.0.0-copy").symlink_to(good)
    found = [folder.name for folder in doubtful(tmp_path, "tiny-raspberry-pi")]
    assert found == ["tiny-raspberry-pi-1.1.0", "tiny-raspberry-pi-1.2.0"]
    assert len(doubtful(tmp_path)) == 3


def test_folder_of_releases_that_cannot_be_looked_into_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    assert known(tmp_path / ("a" * 300)) == []
    monkeypatch.setattr(Path, "iterdir", closed)
    with pytest.raises(NoRelease, match="Permission denied") as caught:
        known(tmp_path)
    assert caught.value.where == str(tmp_path)
