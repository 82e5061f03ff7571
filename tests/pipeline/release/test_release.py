"""Releases made of an accepted bundle: what is in the folder, what is refused, and what a second time does."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from device_agents.bundle import read_bundle
from device_agents.farm.ledger.ledger import Ledger
from edgewright.errors import BadArgument
from edgewright.files import sha256_file
from pipeline.bundles import NothingAccepted
from pipeline.plan import make_plan
from pipeline.project import Project
from pipeline.recipe import read_recipe
from pipeline.release import checksums, manifest, signing
from pipeline.release.errors import BadVersion, MajorDemanded, NoRelease, NotWritten, Unmeasured, VersionExists
from targets.schema import read_target
from tests.pipeline.release import accepted
from tests.pipeline.release.accepted import released


@pytest.fixture
def project(tmp_path: Path, state: Path) -> Project:
    return accepted.project(tmp_path / "project", state)


@pytest.fixture
def bundle(project: Project, tmp_path: Path) -> Any:
    return accepted.accept(project, accepted.bundle(tmp_path))


FILES = {"SHA256SUMS", "bundle.sig", "labels.txt", "manifest.json", "model/bundle.json", "model/model.onnx",
         "model_card.html", "model_card.md", "preprocessing.json", "provenance.json", "sample/expected.npy",
         "sample/input.npy", "sample/sample.json", "sbom.cdx.json", "signature.json"}  # fmt: skip


def test_release_holds_every_file_and_its_sums(project: Project, bundle: Any) -> None:
    made_ = released(project)
    assert made_.new and made_.folder == project.root / "releases" / "tiny-raspberry-pi-1.0.0"
    found = set(checksums.paths(made_.folder))
    assert found - {path for path in found if path.startswith("packages/linux/")} == FILES
    checked = subprocess.run(
        ["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"], cwd=made_.folder, capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    listed = {line.split("  ", 1)[1] for line in (made_.folder / "SHA256SUMS").read_text().splitlines()}
    assert listed == found - {"SHA256SUMS", "signature.json"}
    told = manifest.read(made_.folder)
    assert told == made_.manifest and told.bundle == bundle.digest and not told.unmeasured
    assert told.model_file.sha256 == sha256_file(made_.folder / told.model_file.path)
    assert (made_.folder / "model/bundle.json").read_bytes() == bundle.manifest.canonical()
    assert [one.device for one in told.devices] == ["kitchen-pi"]
    assert (made_.folder / "labels.txt").read_text() == "zero\none\ntwo\nthree\n"


def test_release_is_as_readable_as_any_whatever_the_umask(project: Project, bundle: Any) -> None:
    before = os.umask(0o077)
    try:
        folder = released(project).folder
    finally:
        os.umask(before)
    for path in (folder, *folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644)


def test_the_same_version_again_is_there_already_or_refused(project: Project, bundle: Any, tmp_path: Path) -> None:
    first = released(project)
    again = released(project)
    assert not again.new and again.draft is None and again.digest == first.digest
    (tmp_path / "other").mkdir()
    with pytest.raises(VersionExists, match="signed by another key"):
        released(project, key=accepted.key(tmp_path / "other"))
    (first.folder / "labels.txt").write_text("changed")
    with pytest.raises(VersionExists, match=r"other: labels\.txt\.") as caught:
        released(project)
    assert caught.value.where == str(first.folder)
    assert (first.folder / "labels.txt").read_text() == "changed"
    accepted.accept(project, accepted.bundle(tmp_path, "deeper", layers=3))
    with pytest.raises(VersionExists, match=r"manifest\.json.*and \d+ more"):
        released(project)
    assert sorted(path.name for path in first.folder.parent.iterdir()) == [
        "CHANGELOG-tiny-raspberry-pi.draft.md",
        "tiny-raspberry-pi-1.0.0",
    ]


def test_versions_must_rise_and_say_when_apps_break(project: Project, bundle: Any, tmp_path: Path) -> None:
    released(project, "1.1.0")
    with pytest.raises(BadVersion, match="does not come after"):
        released(project, "1.0.0")
    released(project, "0.1.0", out=tmp_path / "elsewhere")
    accepted.accept(project, accepted.bundle(tmp_path, "renamed", labels=["zero", "one", "two", "four"]))
    with pytest.raises(MajorDemanded, match="number 3 is 'three' > 'four'"):
        released(project, "1.2.0")
    assert not (project.root / "releases" / "tiny-raspberry-pi-1.2.0").exists()
    made_ = released(project, "2.0.0")
    assert made_.draft is not None
    draft = made_.draft.read_text()
    assert "### Changed, and apps must follow\n\n- labels: number 3 is 'three' > 'four'" in draft


def test_only_what_was_accepted_is_released(project: Project, tmp_path: Path) -> None:
    with pytest.raises(NothingAccepted, match="No bundle for raspberry-pi was accepted yet") as caught:
        released(project)
    assert "./inv deploy --target raspberry-pi" in caught.value.remedy
    accepted.accept(project, accepted.bundle(tmp_path))
    with pytest.raises(NothingAccepted, match="No bundle of digits for raspberry-pi"):
        released(project, model="digits")
    accepted.accept(project, accepted.bundle(tmp_path, "other", model="digits"))
    with pytest.raises(BadArgument, match="2 models were accepted for raspberry-pi: digits, tiny"):
        released(project)
    assert released(project, model="tiny").manifest.model == "tiny"
    with pytest.raises(BadVersion):
        released(project, "1.0")


EMULATED = {"name": "double", "stand_in": False, "emulated": True}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ([], "there is no report"),
        ([{"valid": False, "problems": ["it throttled"]}], "only reports that are invalid"),
        ([{"device": accepted.DESK}], "only reports that are standing in"),
        ([{"device": EMULATED}, {"valid": False}], "only reports that are emulated, invalid"),
    ],
)
def test_what_was_not_measured_is_refused_unless_that_is_allowed(
    fields: list[dict[str, Any]], why: str, project: Project, tmp_path: Path
) -> None:
    given = accepted.bundle(tmp_path)
    accepted.accept(project, given, tuple(accepted.report(given, **one) for one in fields))
    with pytest.raises(Unmeasured, match=why) as caught:
        released(project)
    assert "--allow-unmeasured" in caught.value.remedy
    assert not (project.root / "releases").exists()
    folder = released(project, allow_unmeasured=True).folder
    for name in ("model_card.md", "model_card.html"):
        assert "NOT MEASURED" in (folder / name).read_text()
    assert manifest.read(folder).unmeasured


def test_reports_that_come_after_the_acceptance_change_nothing(project: Project, bundle: Any, tmp_path: Path) -> None:
    first = released(project)
    with Ledger.open(None, project.state) as ledger:
        ledger.append(accepted.report(bundle))
        ledger.append(accepted.report(bundle, device={"name": "attic-pi", "stand_in": False, "emulated": False}))
    assert released(project, out=tmp_path / "later").digest == first.digest
    with Ledger.open(None, project.state) as ledger:
        last = ledger.reports()[-1].id
        ledger.accept(model="tiny", target="raspberry-pi", variant="tiny", bundle=bundle.digest, who="me", report=last)
    told = released(project, out=tmp_path / "accepted anew").manifest
    assert [one.device for one in told.devices] == ["attic-pi", "kitchen-pi"]


def test_a_failure_on_the_way_leaves_nothing(
    project: Project, bundle: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted.needed()

    def full(folder: Path, key: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(signing, "sign_release", full)
        with pytest.raises(NotWritten, match="No space left"):
            released(project)
    assert list((project.root / "releases").iterdir()) == []
    (tmp_path / "a file").write_text("")
    with pytest.raises(NotWritten):
        released(project, out=tmp_path / "a file")
    assert released(project).new


def test_bundle_in_a_release_is_the_bundle(project: Project, bundle: Any, tmp_path: Path) -> None:
    model = released(project).folder / "model"
    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    (copy / "bundle.json").rename(copy / "manifest.json")
    assert read_bundle(copy).digest == bundle.digest


@pytest.mark.parametrize("otherwise", [False, True])
def test_training_that_was_told_otherwise_is_warned_of(
    otherwise: bool, project: Project, bundle: Any, tmp_path: Path
) -> None:
    plan = make_plan(read_recipe("tiny", project.root), read_target("raspberry-pi", project.root))
    told = dict(plan.nodes["trained/train"].parameters)
    if otherwise:
        told["metric"] = "another"
    record = {"fingerprint": bundle.manifest.origin["steps"]["train"], "step": "train", "node": "trained/train"}
    figure = {"summary": {"figure": "trained for a week"}, "seconds": 1.0, "ingredients": {"parameters": told}}
    (tmp_path / "files").mkdir()
    project.store.commit(record | figure, tmp_path / "files")
    said: list[str] = []
    folder = released(project, say=said.append).folder
    assert any(line.startswith("warning: the recipe was changed") for line in said) == otherwise
    assert "trained for a week" in (folder / "model_card.md").read_text()


def test_changed_recipe_is_another_release(project: Project, bundle: Any) -> None:
    released(project)
    (project.root / "models" / "tiny.toml").write_text(accepted.RECIPE.replace("0.5", "0.6"))
    with pytest.raises(VersionExists, match=r"manifest\.json"):
        released(project)


def test_release_after_one_that_cannot_be_read_is_refused(project: Project, bundle: Any) -> None:
    """Else a version could go back, or break apps, unseen."""
    torn = released(project, "1.1.0").folder
    (torn / "manifest.json").write_text("{")
    with pytest.raises(NoRelease, match="which version may come next is not known") as caught:
        released(project, "1.0.0")
    assert caught.value.where == str(torn) and "./inv release.verify" in caught.value.remedy
    assert not (torn.parent / "tiny-raspberry-pi-1.0.0").exists()


def test_candidate_may_change_on_its_way_to_the_release(project: Project, bundle: Any, tmp_path: Path) -> None:
    released(project, "1.0.0")
    for number, version in enumerate(("2.0.0-rc.1", "2.0.0-rc.2", "2.0.0")):
        labels = ["zero", "one", "two", f"other {number}"]
        accepted.accept(project, accepted.bundle(tmp_path, f"b{number}", labels=labels))
        assert released(project, version).new
    accepted.accept(project, accepted.bundle(tmp_path, "last"))
    with pytest.raises(MajorDemanded, match=r"An app of 2\.0\.0"):
        released(project, "2.1.0-rc.1")
