"""release.verify: a whole release passes; whatever was changed in it, by a bit or by its maker, is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.release import bodies, keys
from pipeline.release.checksums import paths
from pipeline.release.errors import NoRelease
from pipeline.release.signing import sign_release
from pipeline.release.verify import Finding, verify
from tests.device_agents.tiny import tiny_bundle
from tests.pipeline.release.made import made_release, resigned, signing_key

ADA, EVE = signing_key(b"ada"), signing_key(b"eve")
TRUSTED = [ADA.public_key]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release that is never changed."""
    folder = tmp_path_factory.mktemp("release")
    return made_release(folder / "tiny-1.0.0", tiny_bundle(folder / "bundle"), ADA)


@pytest.fixture
def release(original: Path, tmp_path: Path) -> Path:
    """A copy to do things to."""
    return Path(shutil.copytree(original, tmp_path / "release"))


def _edit(path: Path, change: Callable[[Any], Any]) -> None:
    from edgewright.files import pretty_json

    path.write_bytes(pretty_json(change(json.loads(path.read_bytes()))))


def test_release_as_it_was_signed_passes(original: Path) -> None:
    said: list[str] = []
    assert verify(original, TRUSTED, say=said.append) == []
    assert said[0] == f"signature  by {ADA.keyid[:16]} ada"
    assert said[1].startswith("files      12 of 12")


def test_any_bit_of_any_file_is_named(release: Path) -> None:
    """First byte, middle and last of every file; each time that file, and no other, is named."""
    for path in paths(release):
        whole = (release / path).read_bytes()
        for number, place in enumerate((0, len(whole) // 2, len(whole) - 1)):
            changed = bytearray(whole)
            changed[place] ^= 1 << number
            (release / path).write_bytes(changed)
            found = verify(release, TRUSTED)
            assert {finding.file for finding in found} == {path}, (path, place, found)
        (release / path).write_bytes(whole)
    assert verify(release, TRUSTED) == []


@pytest.mark.slow
def test_any_bit_of_a_real_release_is_named(tmp_path: Path, state: Path) -> None:
    """Of one that `release` makes, with its packages."""
    from tests.pipeline.release import accepted

    project = accepted.project(tmp_path / "project", state)
    accepted.accept(project, accepted.bundle(tmp_path))
    folder = accepted.released(project, key=ADA).folder
    assert verify(folder, TRUSTED) == []
    for path in paths(folder):
        whole = (folder / path).read_bytes()
        for number, place in enumerate((0, len(whole) // 2, len(whole) - 1)):
            changed = bytearray(whole)
            changed[place] ^= 1 << number
            (folder / path).write_bytes(changed)
            assert {finding.file for finding in verify(folder, TRUSTED)} == {path}
        (folder / path).write_bytes(whole)


def test_any_file_that_is_gone_empty_or_longer_is_named(release: Path) -> None:
    for path in paths(release):
        whole = (release / path).read_bytes()
        for changed in (None, b"", whole + b"\n", whole[:-1]):
            if changed is None:
                (release / path).unlink()
            else:
                (release / path).write_bytes(changed)
            assert {finding.file for finding in verify(release, TRUSTED)} == {path}, (path, changed)
        (release / path).write_bytes(whole)


@pytest.mark.parametrize("name", ["extra", "model/extra", "new/extra", "SHA256SUMS.bak", ".hidden"])
def test_file_that_nobody_signed_is_named(release: Path, name: str) -> None:
    (release / name).parent.mkdir(exist_ok=True)
    (release / name).write_bytes(b"")
    assert verify(release, TRUSTED) == [Finding(name, "is not in SHA256SUMS")]


def test_release_of_another_key_is_refused(release: Path) -> None:
    (found,) = verify(release, [EVE.public_key])
    assert found.file == "signature.json"
    assert "not trusted here" in found.problem
    assert {finding.file for finding in verify(release, [])} == {"signature.json"}


def test_release_signed_anew_by_another_is_refused(release: Path) -> None:
    (release / "model_card.md").write_text("better figures")
    resigned(release, EVE)
    assert {finding.file for finding in verify(release, TRUSTED)} == {"signature.json"}


@pytest.mark.parametrize("target", ["/etc/hostname", "../outside", "model/bundle.json", "nowhere"])
def test_link_is_never_followed(release: Path, target: str) -> None:
    (release / "model_card.md").unlink()
    (release / "model_card.md").symlink_to(target)
    found = verify(release, TRUSTED)
    assert Finding("model_card.md", "is a link: a release holds plain files only") in found


def test_link_to_a_folder_is_never_followed(release: Path, original: Path) -> None:
    shutil.rmtree(release / "sample")
    (release / "sample").symlink_to(original / "sample")
    found = verify(release, TRUSTED)
    assert Finding("sample", "is a link: a release holds plain files only") in found
    assert Finding("sample/input.npy", "is missing") in found


def test_pipe_is_not_read(release: Path) -> None:
    os.mkfifo(release / "pipe")
    assert verify(release, TRUSTED) == [Finding("pipe", "is neither a file nor a folder")]


@pytest.mark.parametrize(
    "name",
    ["../outside", "/etc/passwd", "model/../../outside", "./manifest.json", "a//b", "C:/x", "a\\b", "a\x1bb", "ü"],
)
def test_list_that_names_what_lies_outside_is_refused(release: Path, name: str) -> None:
    """Also where its owner has signed it: nothing outside is ever read."""
    (release.parent / "outside").write_bytes(b"")
    with (release / "SHA256SUMS").open("ab") as stream:
        stream.write(f"{'0' * 64}  {name}\n".encode())
    sign_release(release, ADA)
    (found,) = verify(release, TRUSTED)
    assert found.file == "SHA256SUMS"
    assert found.problem.startswith("line 13: ")
    assert "\x1b" not in str(found)


@pytest.mark.parametrize("line", ["", "nonsense", f"{'0' * 64} *manifest.json", f"\\{'0' * 64}  a\\nb"])
def test_list_of_another_form_is_refused(release: Path, line: str) -> None:
    with (release / "SHA256SUMS").open("ab") as stream:
        stream.write(f"{line}\n".encode())
    sign_release(release, ADA)
    assert [found.problem for found in verify(release, TRUSTED)] == ["line 13: is no digest and name"]


def test_list_that_names_a_file_twice_or_itself_is_refused(release: Path) -> None:
    first = (release / "SHA256SUMS").read_bytes().split(b"\n")[0]
    with (release / "SHA256SUMS").open("ab") as stream:
        stream.write(first + b"\n" + b"0" * 64 + b"  SHA256SUMS\n")
    sign_release(release, ADA)
    assert [found.problem.partition(":")[0] for found in verify(release, TRUSTED)] == ["line 13", "line 14"]


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2Jb", "ü"])
def test_name_that_is_none_is_shown_harmless(release: Path, name: str) -> None:
    (release / name).write_bytes(b"")
    (found,) = verify(release, TRUSTED)
    assert "a character that no name in a release holds" in found.problem
    assert "\n" not in str(found)
    assert "\x1b" not in str(found)


def _version(told: dict[str, Any]) -> dict[str, Any]:
    return told | {"version": "1.0.1"}


def _shape(told: dict[str, Any]) -> dict[str, Any]:
    told["signature"]["inputs"][0]["shape"] = [1, 3, 8, 8]
    return told


def _subject(told: dict[str, Any]) -> dict[str, Any]:
    told["subject"][0]["digest"]["sha256"] = "0" * 64
    return told


def _no_subject(told: dict[str, Any]) -> dict[str, Any]:
    return told | {"subject": told["subject"][1:]}


def _package(told: dict[str, Any]) -> dict[str, Any]:
    told["packages"][0]["files"] = ["gone.deb"]
    return told


def _model_file(told: dict[str, Any]) -> dict[str, Any]:
    told["model_file"]["sha256"] = "0" * 64
    return told


@pytest.mark.parametrize(
    ("file", "change", "named", "problem"),
    [
        ("manifest.json", _version, "provenance.json", "another bundle or version"),
        ("manifest.json", _shape, "manifest.json", "signature.inputs is not the bundle's"),
        ("manifest.json", _package, "manifest.json", "names a file that is not there: gone.deb"),
        ("manifest.json", _model_file, "model/model.onnx", "is not the file that manifest.json names"),
        ("manifest.json", lambda told: told | {"bundle": "0" * 64}, "model/bundle.json", "not the bundle that"),
        ("manifest.json", lambda told: told | {"more": 1}, "manifest.json", "can't be read"),
        ("provenance.json", _subject, "provenance.json", "speaks of another model/model.onnx"),
        ("provenance.json", _no_subject, "provenance.json", "says nothing of the model file"),
        ("provenance.json", lambda told: [], "provenance.json", "no provenance statement"),
        ("provenance.json", lambda told: told | {"_type": "x"}, "provenance.json", "another kind"),
        ("model/bundle.json", lambda told: told, "model/bundle.json", "not spelt"),
        ("model/bundle.json", lambda told: {}, "model/bundle.json", "no bundle's manifest"),
        ("bundle.sig", lambda told: told | {"keyid": EVE.keyid}, "bundle.sig", "none of those that are trusted"),
    ],
)
def test_contradiction_that_its_owner_signed_is_named(
    release: Path, file: str, change: Callable[[Any], Any], named: str, problem: str
) -> None:
    _edit(release / file, change)
    resigned(release, ADA)
    found = verify(release, TRUSTED)
    assert any(finding.file == named and problem in finding.problem for finding in found), found


def test_release_without_a_part_that_it_needs_is_named_even_if_signed(release: Path) -> None:
    for name in ("bundle.sig", "provenance.json", "sample/sample.json"):
        (release / name).unlink()
    resigned(release, ADA)
    assert [finding.file for finding in verify(release, TRUSTED)] == [
        "bundle.sig", "provenance.json", "sample/sample.json",
    ]  # fmt: skip


def test_folder_that_is_none_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoRelease):
        verify(tmp_path / "none", TRUSTED)
    files = {finding.file for finding in verify(tmp_path, TRUSTED)}
    assert {"SHA256SUMS", "signature.json", "manifest.json"} <= files


def test_task_tells_a_person_and_a_program(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ada.pub").write_text(ADA.public_key.line)
    monkeypatch.setenv(keys.KEY, str(tmp_path / "ada.key"))  # the user's own public key, without its private half
    assert bodies.verify(str(release), None, None, False)
    assert capsys.readouterr().out.endswith("release: verified\n")
    (release / "model_card.md").write_text("better figures")
    assert not bodies.verify(str(release), str(tmp_path / "ada.pub"), None, False)
    assert "model_card.md: was changed" in capsys.readouterr().out
    assert not bodies.verify(str(release), None, None, True)
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], [one["file"] for one in told["findings"]]) == (False, ["model_card.md"])


def test_task_makes_a_key_that_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(keys.PASSPHRASE, "open sesame")
    bodies.make_key(str(tmp_path / "a.key"), "ada")
    said = capsys.readouterr().out
    assert keys.SigningKey.load(tmp_path / "a.key").keyid in said
    assert "no pass phrase" not in said
    monkeypatch.setenv(keys.PASSPHRASE, "")
    bodies.make_key(str(tmp_path / "b.key"), "")
    assert "no pass phrase" in capsys.readouterr().out
    with pytest.raises(keys.KeyExists):
        bodies.make_key(str(tmp_path / "b.key"), "")


@pytest.mark.parametrize("changed", ["", "SHA256SUMS", "model_card.md", "signature.json"])
def test_by_hand_as_the_documentation_says(release: Path, project_root: Path, changed: str) -> None:
    """With the shell, Python's standard library and openssl: no line of ours takes part."""
    text = (project_root / "docs" / "signing.md").read_text()
    script = "set -e\n" + text.partition("```sh\n")[2].partition("```")[0]
    if changed:
        whole = bytearray((release / changed).read_bytes())
        whole[len(whole) // 2] ^= 1
        (release / changed).write_bytes(whole)
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=release,
        env=os.environ | {"PUBLIC_LINE": ADA.public_key.line},
        capture_output=True,
        check=False,
    )
    assert (done.returncode == 0) is (changed == ""), done.stderr
