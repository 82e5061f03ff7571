"""What a device that trusts keys loads: what they have signed, as it was signed, and nothing else; in doubt nothing."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from device_agents.agent import trust
from device_agents.agent.trust import BundleNotTrusted, add, check, check_model, forget, keyid, keys, parsed
from device_agents.bundle import MANIFEST, Bundle, write_bundle
from device_agents.pack import agent
from tests.device_agents.agent.pythons import HOW, python
from tests.device_agents.signer import Signer
from tests.device_agents.tiny import tiny_manifest
from tests.prerequisites import require

ADA, EVE = Signer(b"ada"), Signer(b"eve")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The agent's folder on a device that trusts Ada."""
    add(str(tmp_path / "root"), ADA.line)
    return tmp_path / "root"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """One that nobody has signed."""
    (tmp_path / "model").write_bytes(b"a model")
    return write_bundle(tmp_path / "bundle", tmp_path / "model", tiny_manifest())


def _signed(bundle: Bundle, by: Signer = ADA) -> str:
    (bundle.folder / trust.SIGNATURE).write_bytes(by.signature(bundle.manifest.canonical()))
    return str(bundle.model_file)


def test_device_that_was_told_nothing_takes_every_bundle(tmp_path: Path, bundle: Bundle) -> None:
    assert keys(str(tmp_path)) is None
    check_model(str(tmp_path), str(bundle.model_file))


def test_signed_bundle_is_taken(root: Path, bundle: Bundle) -> None:
    check_model(str(root), _signed(bundle))


def test_unsigned_bundle_is_refused_with_what_to_do(root: Path, bundle: Bundle) -> None:
    with pytest.raises(BundleNotTrusted, match=r"no signature \(next: sign it .* devices.setup NAME --trust-key"):
        check_model(str(root), str(bundle.model_file))


def test_bundle_that_somebody_else_has_signed_is_refused(root: Path, bundle: Bundle) -> None:
    with pytest.raises(BundleNotTrusted, match=f"{EVE.keyid[:16]}, is none of those"):
        check_model(str(root), _signed(bundle, EVE))
    add(str(root), EVE.line)
    check_model(str(root), str(bundle.model_file))


def test_signature_under_a_trusted_name_by_another_key_is_refused(root: Path, bundle: Bundle) -> None:
    told = json.loads(EVE.signature(bundle.manifest.canonical()))
    (bundle.folder / trust.SIGNATURE).write_text(json.dumps(told | {"keyid": ADA.keyid}))
    with pytest.raises(BundleNotTrusted, match="was changed"):
        check_model(str(root), str(bundle.model_file))


@pytest.mark.parametrize("name", [MANIFEST, "model.onnx"])
def test_bundle_that_was_changed_after_it_was_signed_is_refused(root: Path, bundle: Bundle, name: str) -> None:
    model = _signed(bundle)
    file = bundle.folder / name
    file.write_bytes(file.read_bytes().replace(b"model", b"nodel"))
    with pytest.raises(BundleNotTrusted, match=r"changed|not the one that was signed"):
        check_model(str(root), model)


def test_other_file_beside_a_signed_manifest_is_refused(root: Path, bundle: Bundle) -> None:
    other = Path(_signed(bundle)).with_name("other.onnx")
    shutil.copyfile(bundle.model_file, other)
    with pytest.raises(BundleNotTrusted, match="not the one that was signed"):
        check_model(str(root), str(other))


def test_signature_of_the_bare_manifest_is_none_of_the_bundle(root: Path, bundle: Bundle) -> None:
    """A key that signs files for something else must not have signed bundles thereby."""
    told = json.loads(ADA.signature(bundle.manifest.canonical()))
    bare = base64.b64encode(ADA.secret.sign(bundle.manifest.canonical())).decode()
    (bundle.folder / trust.SIGNATURE).write_text(json.dumps(told | {"signature": bare}))
    with pytest.raises(BundleNotTrusted, match="was changed"):
        check_model(str(root), str(bundle.model_file))


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff", b"[]", b"null", b"{}", b"[" * 60000, b'{"schema": "edgewright-signature/2"}',
        b'{"schema": "edgewright-signature/1", "keyid": [], "signature": 3}',
        b'{"schema": "edgewright-signature/1", "keyid": "x", "signature": "!"}',
    ],
)  # fmt: skip
def test_signature_that_is_none_is_refused(root: Path, bundle: Bundle, content: bytes) -> None:
    (bundle.folder / trust.SIGNATURE).write_bytes(content)
    with pytest.raises(BundleNotTrusted):
        check_model(str(root), str(bundle.model_file))


def test_signature_that_is_a_folder_is_refused(root: Path, bundle: Bundle) -> None:
    (bundle.folder / trust.SIGNATURE).mkdir()
    with pytest.raises(BundleNotTrusted, match="can't be read"):
        check(str(root), bundle.manifest.canonical(), str(bundle.folder / trust.SIGNATURE))


def test_canary_model_needs_no_signature(root: Path, project_root: Path) -> None:
    """It is a part of the project, as the agent is; its digests stand in the agent."""
    folder = project_root / "device_agents" / "farm" / "canary"
    for name in ("canary.onnx", "canary.tflite"):
        check_model(str(root), str(folder / name))
    with pytest.raises(BundleNotTrusted):
        check(str(root), b"{}", str(folder / trust.SIGNATURE))


def test_add_keeps_the_others_and_forget_takes_all(root: Path, bundle: Bundle) -> None:
    add(str(root), EVE.line)
    add(str(root), EVE.line)
    assert keys(str(root)) == {one.keyid: (one.public, one.name) for one in (ADA, EVE)}
    assert (root / "trust" / "keys").read_text() == f"{ADA.line}\n{EVE.line}\n"
    forget(str(root))
    forget(str(root))
    assert keys(str(root)) is None
    check_model(str(root), str(bundle.model_file))


@pytest.mark.parametrize("content", ["", "\n", "x", f"{ADA.line}\nnonsense\n", "ed25519\n", "ed25519 AAAA ada\n"])
def test_damaged_keys_shut_the_device(root: Path, bundle: Bundle, content: str) -> None:
    (root / "trust" / "keys").write_text(content)
    model = _signed(bundle)
    with pytest.raises(BundleNotTrusted):
        check_model(str(root), model)


def test_keys_that_others_can_write_shut_the_device(root: Path, bundle: Bundle) -> None:
    (root / "trust" / "keys").chmod(0o664)
    with pytest.raises(BundleNotTrusted, match="others than its owner"):
        check_model(str(root), _signed(bundle))


def test_keys_that_point_nowhere_shut_the_device(root: Path, bundle: Bundle) -> None:
    (root / "trust" / "keys").unlink()
    (root / "trust" / "keys").symlink_to("nowhere")
    with pytest.raises(BundleNotTrusted, match="can't be read"):
        check_model(str(root), _signed(bundle))


def test_add_that_is_refused_changes_nothing(root: Path) -> None:
    before = (root / "trust" / "keys").read_bytes()
    with pytest.raises(ValueError, match="key is a line of the form"):
        add(str(root), "ssh-ed25519 AAAA ada")
    assert (root / "trust" / "keys").read_bytes() == before
    assert [path.name for path in (root / "trust").iterdir()] == ["keys"]


def test_keys_that_cannot_be_looked_for_shut_the_device(tmp_path: Path, bundle: Bundle) -> None:
    """Whether it was told keys can't be told, so it takes nothing."""
    (tmp_path / "trust").write_text("a file in the folder's place")
    with pytest.raises(BundleNotTrusted, match="can't be read"):
        check_model(str(tmp_path), str(bundle.model_file))


def test_line_says_key_and_comment() -> None:
    assert parsed(f"{ADA.line}  and\u2028more ") == (ADA.public, "ada and more")  # on one line in the file
    assert keyid(ADA.public) == ADA.keyid


@pytest.fixture(params=[8, 13])
def interpreter(request: pytest.FixtureRequest) -> str:
    """The oldest Python that a device has, and a new one."""
    found = python(request.param)
    require(found, HOW.format(request.param))
    assert found is not None
    return found


def _run(interpreter: str, tmp_path: Path, *arguments: str, say: Any = None) -> list[dict[str, Any]]:
    path = tmp_path / "agent.pyz"
    path.write_bytes(agent().data)
    done = subprocess.run(
        [interpreter, "-I", str(path), *arguments, "--root", str(tmp_path / "root")],
        input=json.dumps(say).encode() + b"\n",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert b"Traceback" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_worker_loads_no_bundle_that_is_not_trusted(interpreter: str, tmp_path: Path, bundle: Bundle) -> None:
    """Before anything of the runtime, there is none here, is looked at."""
    load = {"do": "load", "model": str(bundle.model_file)}
    assert _run(interpreter, tmp_path, "trust")[0] == {"kind": "trust", "keys": None}
    assert _run(interpreter, tmp_path, "trust", "--add", ADA.line)[0]["keys"] == [ADA.line]
    (told,) = _run(interpreter, tmp_path, "worker", say=load)
    assert told["kind"] == "failed"
    assert told["message"].startswith("BundleNotTrusted: this device takes no bundle that none of its trusted keys")
    assert _run(interpreter, tmp_path, "trust", "--none")[0]["keys"] is None


def test_command_with_a_bad_key_says_so(interpreter: str, tmp_path: Path) -> None:
    (end,) = _run(interpreter, tmp_path, "trust", "--add", "nonsense")
    assert (end["ok"], end["error"]) == (False, "trust")
    assert not (tmp_path / "root" / "trust").exists()
