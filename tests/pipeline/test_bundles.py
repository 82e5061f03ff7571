"""Bundles found by what a person types, and the messages where they can't be."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agents.bundle import Bundle, read_bundle
from device_agents.errors import BundleError
from device_agents.farm.ledger.ledger import Ledger
from edgewright.errors import BadArgument
from pipeline.bundles import BundleGone, NothingAccepted, accepted, find_bundle, find_pair, keep_bundle
from pipeline.project import Project
from tests.device_agents.tiny import tiny_bundle


@pytest.fixture
def project(tmp_path: Path, state: Path) -> Project:
    return Project(tmp_path, state, tmp_path / "cache", None)


@pytest.fixture
def one(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "one")


@pytest.fixture
def other(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "other", "other", layers=3)


def accept(project: Project, bundle: Bundle) -> None:
    with Ledger.open(None, project.state) as ledger:
        of = bundle.manifest
        ledger.accept(model=of.model, target=of.target, variant=of.name, bundle=bundle.digest, who="me")


def test_bundle_is_found_by_folder_and_by_the_beginning_of_its_digest(project: Project, one: Bundle) -> None:
    assert find_bundle(project, str(one.folder)).digest == one.digest
    with pytest.raises(BundleGone, match=f"begins with {one.digest[:8]}"):
        find_bundle(project, one.digest[:8])
    kept = keep_bundle(project, one)
    assert kept.folder == project.state / "bundles" / one.digest
    for given in (one.digest, one.digest[:6]):
        assert find_bundle(project, given).folder == kept.folder


def test_bundle_is_kept_once_and_mended_where_it_is_damaged(project: Project, one: Bundle) -> None:
    kept = keep_bundle(project, one)
    written = kept.model_file.stat().st_mtime_ns
    assert keep_bundle(project, kept).model_file.stat().st_mtime_ns == written
    kept.model_file.write_bytes(b"")
    assert read_bundle(keep_bundle(project, one).folder).digest == one.digest


def test_bundle_that_cannot_be_kept_says_where(project: Project, one: Bundle) -> None:
    (project.state / "bundles").write_text("in the way")
    with pytest.raises(BundleGone) as caught:
        keep_bundle(project, one)
    assert caught.value.where == str(project.state / "bundles" / one.digest)


@pytest.mark.parametrize(
    "given", ["", "abc", "ABCDEF", "no/such/folder", "~nobody-of-that-name/x", "a" * 5000, "accepted"]
)
def test_what_is_no_bundle_is_refused(given: str, project: Project) -> None:
    with pytest.raises(BadArgument, match="is no bundle's folder, no package, and no beginning of a digest"):
        find_bundle(project, given)


def test_two_that_begin_alike_ask_for_more_digits(project: Project) -> None:
    for end in "01":
        (project.state / "bundles" / ("abcdef" + end * 58)).mkdir(parents=True)
    with pytest.raises(BadArgument, match="2 bundles begin with abcdef") as caught:
        find_bundle(project, "abcdef")
    assert "more digits" in caught.value.remedy


def test_damaged_bundle_and_empty_folder_are_named(project: Project, one: Bundle, tmp_path: Path) -> None:
    one.model_file.write_bytes(b"other")
    for folder in (one.folder, tmp_path):
        with pytest.raises(BundleError):
            find_bundle(project, str(folder))


def test_accepted_is_the_last_that_was(project: Project, one: Bundle, other: Bundle) -> None:
    with Ledger.open(None, project.state) as ledger:
        with pytest.raises(NothingAccepted, match="No bundle of tiny for raspberry-pi") as caught:
            accepted(project, ledger, "tiny", "raspberry-pi")
        assert "./inv accept BUNDLE" in caught.value.remedy
    for bundle in (one, other):
        accept(project, keep_bundle(project, bundle))
    with Ledger.open(None, project.state) as ledger:
        assert accepted(project, ledger, "tiny", "raspberry-pi").digest == other.digest
        with pytest.raises(NothingAccepted):
            accepted(project, ledger, "tiny", "jetson")


def test_accepted_that_is_gone_from_this_machine_says_so(project: Project, one: Bundle) -> None:
    accept(project, one)
    with Ledger.open(None, project.state) as ledger, pytest.raises(BundleGone):
        accepted(project, ledger, "tiny", "raspberry-pi")


def test_pair_may_name_the_accepted_one_on_either_side(project: Project, one: Bundle, other: Bundle) -> None:
    accept(project, keep_bundle(project, one))
    for given, digests in (
        (("accepted", str(other.folder)), (one.digest, other.digest)),
        ((str(other.folder), "accepted"), (other.digest, one.digest)),
        ((str(other.folder), str(other.folder)), (other.digest, other.digest)),
    ):
        assert tuple(found.digest for found in find_pair(project, *given)) == digests
    with pytest.raises(BadArgument, match="Only one of the two"):
        find_pair(project, "accepted", "accepted")


def test_pair_by_name_asks_no_ledger(project: Project, one: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_LEDGER", "postgresql://127.0.0.1:1/away")
    assert find_pair(project, str(one.folder), str(one.folder))[0].digest == one.digest
