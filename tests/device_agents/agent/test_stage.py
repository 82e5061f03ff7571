"""A release is put together on the device, whole or not at all, out of files whose digests are checked there."""

from __future__ import annotations

import base64
import errno
import json
import os
import shutil
from functools import partial
from pathlib import Path

import pytest

from device_agents.agent import current, dsse, releases, trust
from device_agents.agent.digest import sha256_of
from device_agents.agent.releases import Refused
from device_agents.agent.stage import stage
from edgewright.files import sha256_bytes
from tests.device_agents.agent.released import MODEL, STAMP, killed_at, leftovers, send
from tests.device_agents.signer import Signer


def release(root: Path, asked: dict[str, str]) -> Path:
    return root / "releases" / MODEL / releases.name_of(asked["version"], asked["digest"])


def test_stage_puts_together_what_a_device_needs(tmp_path: Path) -> None:
    asked = send(tmp_path, "1.0.0")
    found = stage(str(tmp_path), MODEL, asked, STAMP)
    there = release(tmp_path, asked)
    assert found == {"name": there.name, "missing": []}
    files = sorted(str(path.relative_to(there)) for path in there.rglob("*") if path.is_file())
    assert files == [
        "SHA256SUMS", "labels.txt", "manifest.json", "model/bundle.json", "model/manifest.json", "model/model.onnx",
        "sample/input.npy", "signature.json", "state.json",
    ]  # fmt: skip
    assert sha256_bytes((there / "model" / "manifest.json").read_bytes()) == asked["bundle"]
    assert releases.damaged(str(there), asked) == []
    assert releases.state_of(str(there.parent), there.name)["state"] == "staged"
    assert not leftovers(tmp_path) and not list((tmp_path / "data").iterdir())
    # The model takes its room once, and a job finds it on the shelf.
    shelf = tmp_path / "bundles" / asked["bundle"] / "model.onnx"
    assert shelf.samefile(there / "model" / "model.onnx")


def test_stage_names_what_must_be_sent_and_makes_nothing(tmp_path: Path) -> None:
    asked = send(tmp_path, "1.0.0")
    shutil.rmtree(tmp_path / "bundles" / asked["bundle"])
    (tmp_path / "data" / f"{sha256_bytes(b'a sample')}.npy").write_bytes(b"another")
    missing = stage(str(tmp_path), MODEL, asked, STAMP)["missing"]
    # The bundle's manifest was sent as model/bundle.json too.
    assert missing == ["model/model.onnx", "sample/input.npy"]
    assert not release(tmp_path, asked).exists() and not leftovers(tmp_path)
    (tmp_path / "data" / f"{asked['digest']}").unlink()
    assert stage(str(tmp_path), MODEL, asked, STAMP)["missing"] == ["SHA256SUMS"]


def test_stage_of_what_is_there_needs_nothing_sent(tmp_path: Path) -> None:
    asked = send(tmp_path, "1.0.0")
    stage(str(tmp_path), MODEL, asked, STAMP)
    shutil.rmtree(tmp_path / "data")
    shutil.rmtree(tmp_path / "bundles")
    assert stage(str(tmp_path), MODEL, asked, STAMP)["missing"] == []


def test_stage_mends_a_damaged_release_and_leaves_its_state(tmp_path: Path) -> None:
    asked = send(tmp_path, "1.0.0")
    stage(str(tmp_path), MODEL, asked, STAMP)
    there = release(tmp_path, asked)
    (there / "state.json").write_text('{"state": "good"}')
    (there / "labels.txt").write_text("another")
    (there / "sample" / "input.npy").unlink()
    assert releases.damaged(str(there), asked) == ["labels.txt", "sample/input.npy"]
    send(tmp_path, "1.0.0")
    assert stage(str(tmp_path), MODEL, asked, STAMP)["missing"] == []
    assert releases.damaged(str(there), asked) == []
    assert releases.state_of(str(there.parent), there.name) == {**STAMP, **asked, "state": "good"}


def test_kill_before_any_step_of_staging_leaves_it_whole_or_absent(tmp_path: Path) -> None:
    steps = 0
    while True:
        root = tmp_path / str(steps)
        asked = send(root, "1.0.0")
        killed = killed_at(steps, partial(stage, str(root), MODEL, asked, STAMP))
        there = release(root, asked)
        assert not there.exists() or releases.damaged(str(there), asked) == []
        if not killed:
            break
        send(root, "1.0.0")
        assert stage(str(root), MODEL, asked, STAMP)["missing"] == [] and not leftovers(root)
        shutil.rmtree(root)
        steps += 1
    assert steps > 30


def test_full_disk_leaves_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = send(tmp_path, "1.0.0")

    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", full)
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(OSError, match="No space left"):
            stage(str(tmp_path), MODEL, asked, STAMP)
    assert not release(tmp_path, asked).exists() and not leftovers(tmp_path)


def test_stage_copies_where_the_disk_knows_no_second_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = send(tmp_path, "1.0.0")

    def none(*given: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", none)
    assert stage(str(tmp_path), MODEL, asked, STAMP)["missing"] == []
    assert releases.damaged(str(release(tmp_path, asked)), asked) == []


@pytest.mark.parametrize("path", ["../keys", "/etc/passwd", "a//b", "a/./b", "a\x1b[2Jb", ""])
def test_paths_that_no_release_has_are_refused(path: str) -> None:
    with pytest.raises(Refused):
        releases.listed(f"{'0' * 64}  {path}\n")


@pytest.mark.parametrize("model", ["..", "lock", "a/b", "", ".hidden", "a b"])
def test_models_whose_name_is_no_folder_are_refused(tmp_path: Path, model: str) -> None:
    with pytest.raises(Refused, match="no name"):
        stage(str(tmp_path), model, send(tmp_path, "1.0.0"), STAMP)


def _trusting(root: Path) -> Signer:
    """A device that trusts one key; the key."""
    key = Signer(str(root).encode())
    trust.add(str(root), key.line)
    return key


def _envelope(sums: bytes, key: Signer, kind: str = dsse.PAYLOAD_TYPE) -> bytes:
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(sums), sums)
    signature = base64.b64encode(key.secret.sign(signed)).decode()
    return json.dumps(
        {
            "payload": base64.b64encode(sums).decode(),
            "payloadType": kind,
            "signatures": [{"keyid": key.keyid, "sig": signature}],
        }
    ).encode()


def test_device_that_trusts_keys_takes_only_a_release_that_they_signed(tmp_path: Path) -> None:
    asked = send(tmp_path, "1.0.0")
    key = _trusting(tmp_path)
    # What loads the model will ask for the bundle's own signature.
    assert stage(str(tmp_path), MODEL, asked, STAMP)["missing"] == ["model/bundle.sig"]
    _sign_bundle(tmp_path, asked, key)
    with pytest.raises(Refused, match="signature"):
        stage(str(tmp_path), MODEL, asked, STAMP)
    assert not release(tmp_path, asked).exists() and not leftovers(tmp_path)
    sums = (tmp_path / "data" / asked["digest"]).read_bytes()
    envelope = _envelope(sums, key)
    (tmp_path / "data" / f"{sha256_bytes(envelope)}.json").write_bytes(envelope)
    asked["signature"] = sha256_bytes(envelope)
    assert stage(str(tmp_path), MODEL, asked, STAMP)["missing"] == []


def _sign_bundle(root: Path, asked: dict[str, str], key: Signer) -> None:
    """As a host sends it."""
    shelf = root / "bundles" / asked["bundle"]
    (shelf / "bundle.sig").write_bytes(key.signature((shelf / "manifest.json").read_bytes()))


def test_release_that_was_there_before_keys_were_trusted_is_held_against_them(tmp_path: Path) -> None:
    """Its files are whole; its two signatures are sent, and nothing else."""
    asked = send(tmp_path, "1.0.0")
    stage(str(tmp_path), MODEL, asked, STAMP)
    there = release(tmp_path, asked)
    key = _trusting(tmp_path)
    send(tmp_path, "1.0.0")
    _sign_bundle(tmp_path, asked, key)
    with pytest.raises(Refused, match="its signature can't be read"):
        stage(str(tmp_path), MODEL, asked, STAMP)
    envelope = _envelope((there / "SHA256SUMS").read_bytes(), key)
    (tmp_path / "data" / f"{sha256_bytes(envelope)}.json").write_bytes(envelope)
    asked["signature"] = sha256_bytes(envelope)
    assert stage(str(tmp_path), MODEL, asked, STAMP)["missing"] == []
    assert (there / "signature.json").read_bytes() == envelope and (there / "model" / "bundle.sig").is_file()
    assert releases.damaged(str(there), releases.state_of(str(there.parent), there.name)) == []
    assert stage(str(tmp_path), MODEL, asked, STAMP)["missing"] == []


def test_keys_that_cannot_be_read_take_no_release(tmp_path: Path) -> None:
    asked = send(tmp_path, "1.0.0")
    _sign_bundle(tmp_path, asked, _trusting(tmp_path))
    (tmp_path / "trust" / "keys").write_text("damaged")
    assert stage(str(tmp_path), MODEL, asked, STAMP)["missing"] == ["model/bundle.sig"]
    with pytest.raises(Refused, match="can't be read"):
        dsse.check(str(tmp_path), b"sums", b"{}")


@pytest.mark.parametrize("path", ["model/manifest.json", "signature.json"])
def test_file_that_the_list_does_not_name_is_mended_too(tmp_path: Path, path: str) -> None:
    """A device loads the model by the one, and the release is shown to be the owner's by the other."""
    asked = send(tmp_path, "1.0.0")
    stage(str(tmp_path), MODEL, asked, STAMP)
    there = release(tmp_path, asked)
    file = there / path
    data = file.read_bytes()
    file.unlink()
    file.write_bytes(b"damaged")
    send(tmp_path, "1.0.0")
    assert releases.survey(str(tmp_path), check=True)[0]["releases"][0]["damaged"] == [path]
    assert stage(str(tmp_path), MODEL, asked, STAMP)["missing"] == []
    assert file.read_bytes() == data


def test_current_release_whose_state_was_lost_is_good_again_once_it_is_put_together(tmp_path: Path) -> None:
    asked = send(tmp_path, "1.0.0")
    name = str(stage(str(tmp_path), MODEL, asked, STAMP)["name"])
    there = release(tmp_path, asked)
    current.switch(str(there.parent), name, STAMP)
    current.keep(str(there.parent))
    (there / "state.json").write_text("")
    send(tmp_path, "1.0.0")
    assert stage(str(tmp_path), MODEL, asked, STAMP)["missing"] == []
    assert releases.state_of(str(there.parent), name) == {**STAMP, **asked, "state": "good"}


def test_file_that_cannot_be_read_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worn card: the other files are looked at all the same, and other releases."""
    asked = send(tmp_path, "1.0.0")
    stage(str(tmp_path), MODEL, asked, STAMP)

    def worn(path: str) -> str:
        if path.endswith("labels.txt"):
            raise OSError(errno.EIO, "Input/output error")
        return sha256_of(path)

    monkeypatch.setattr("device_agents.agent.releases.sha256_of", worn)
    assert releases.damaged(str(release(tmp_path, asked)), asked) == ["labels.txt"]


def test_signatures_of_something_else_are_refused(tmp_path: Path) -> None:
    key = _trusting(tmp_path)
    stranger = _trusting(tmp_path / "elsewhere")
    dsse.check(str(tmp_path), b"sums", _envelope(b"sums", key))
    for envelope, why in (
        (_envelope(b"other", key), "something else"),
        (_envelope(b"sums", key, "text/plain"), "something else"),
        (_envelope(b"sums", stranger), "none of the keys"),
        (_envelope(b"sums", key).replace(b'"sig": "', b'"sig": "AAAA'), "none of the keys"),
        (b"{", "can't be read"),
        (b"[]", "can't be read"),
    ):
        with pytest.raises(Refused, match=why):
            dsse.check(str(tmp_path), b"sums", envelope)
