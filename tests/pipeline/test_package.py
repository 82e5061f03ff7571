"""`./inv package`: what it writes and says, and packages where a bundle may be named."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agents.bundle import Bundle
from device_agents.package import PackageError
from edgewright.errors import BadArgument
from pipeline.bundles import find_bundle, find_pair
from pipeline.package import default_name, package
from pipeline.project import Project
from tests.device_agents.tiny import tiny_bundle


@pytest.fixture
def project(tmp_path: Path, state: Path) -> Project:
    return Project(tmp_path, state, tmp_path / "cache", None)


@pytest.fixture
def one(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "one")


def test_package_stands_for_its_bundle(project: Project, one: Bundle, tmp_path: Path) -> None:
    made = package(project, str(one.folder), tmp_path / "one.ewp")
    assert f"bundle {one.digest[:12]}" in made.lines()[0]
    found = find_bundle(project, str(tmp_path / "one.ewp"))
    assert found.folder == project.state / "bundles" / one.digest
    assert found.model_file.read_bytes() == one.model_file.read_bytes()
    assert find_bundle(project, one.digest[:8]).digest == one.digest
    other = tiny_bundle(tmp_path / "other", "other", layers=3)
    assert [each.digest for each in find_pair(project, str(tmp_path / "one.ewp"), str(other.folder))] == [
        one.digest,
        other.digest,
    ]


def test_package_is_unpacked_once_and_mends_what_is_damaged(project: Project, one: Bundle, tmp_path: Path) -> None:
    package(project, str(one.folder), tmp_path / "one.ewp")
    model = find_bundle(project, str(tmp_path / "one.ewp")).model_file
    written = model.stat().st_mtime_ns
    assert find_bundle(project, str(tmp_path / "one.ewp")).model_file.stat().st_mtime_ns == written
    model.write_bytes(b"")
    assert find_bundle(project, str(tmp_path / "one.ewp")).model_file.read_bytes() == one.model_file.read_bytes()


def test_package_without_a_name_is_called_after_model_and_variant(
    project: Project, one: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert package(project, str(one.folder)).package.path == Path("tiny-tiny.ewp")
    assert (tmp_path / "tiny-tiny.ewp").is_file()
    assert default_name("resnet8", "shallow+int8@onnxruntime") == "resnet8-shallow+int8@onnxruntime.ewp"
    assert default_name("a/../b", "c d") == "a_.._b-c_d.ewp"


def test_package_of_a_bad_name_is_refused(project: Project, one: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match=r"ends in \.ewp") as caught:
        package(project, str(one.folder), tmp_path / "one.zip")
    assert caught.value.remedy.endswith("one.zip.ewp")
    (tmp_path / "folder.ewp").mkdir()
    with pytest.raises(BadArgument, match="A folder has that name"):
        package(project, str(one.folder), tmp_path / "folder.ewp")


@pytest.mark.parametrize("given", ["none.ewp", "~nobody-at-all/x.ewp", "x" * 300 + ".ewp"])
def test_package_that_is_not_there_is_told(project: Project, given: str) -> None:
    with pytest.raises(PackageError, match="No package there"):
        find_bundle(project, given)
