"""A device that trusts keys: what is sent to it is signed, what isn't stays here, and the agent checks all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from device_agents.agent.trust import SIGNATURE
from device_agents.bundle import MANIFEST, Bundle
from device_agents.farm.ask import ask
from device_agents.farm.canary_model import with_canary
from device_agents.farm.device import Device, open_device
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.opening import open_any
from device_agents.farm.setup import _change_trust, setup, undo
from device_agents.farm.trustkeys import BundleNotTrusted, KeysDamaged, NoTrustThere, Signer
from edgewright.progress import Silent
from targets.schema import Target
from tests.device_agents.farm.jobs import quick_job
from tests.device_agents.signer import Signer as Person
from tests.device_agents.tiny import evaluation
from tests.doubles.phone import PhoneDouble

ADA, EVE = Person(b"ada"), Person(b"eve")
TARGET = Target.model_validate({"name": "raspberry-pi", "runtime": [{"name": "onnxruntime"}]})
Make = Callable[..., Bundle]


@pytest.fixture
def opened(device: Device) -> Callable[..., Device]:
    """Opens the same device once more, with somebody's signer, as the next command does."""

    def open_again(sign: Signer | None = None) -> Device:
        entry = device.entry.model_copy(update={"root": device.root})
        return open_device(entry, state=device._state, cache=device._cache, sign=sign)

    return open_again


def test_device_that_trusts_nobody_gets_no_signature(opened: Callable[..., Device], bundle: Make) -> None:
    def sign(manifest: bytes) -> bytes:
        raise AssertionError("nobody asked for a signature")

    made = bundle()
    with opened(sign) as other:
        assert other.trust.keys() is None
        remote = other.install(made.folder)
    assert sorted(path.name for path in Path(remote.path).iterdir()) == [MANIFEST, "model.onnx"]


def test_bundle_travels_with_a_signature_once(device: Device, opened: Callable[..., Device], bundle: Make) -> None:
    device.trust.add(ADA.line)
    made = bundle()
    with opened(ADA.signature) as other:
        assert [key[1] for key in (other.trust.keys() or {}).values()] == ["ada"]
        remote = other.install(made.folder)
        assert Path(remote.path, SIGNATURE).read_bytes() == ADA.signature(made.manifest.canonical())
        assert other.installed[made.digest].sent
    with opened(ADA.signature) as other:
        other.install(made.folder)
        assert other.installed[made.digest].sent == 0


def test_signature_beside_a_bundle_goes_before_ones_own(
    device: Device, opened: Callable[..., Device], bundle: Make
) -> None:
    """So a colleague's release can be measured by who has no key that the device trusts."""
    device.trust.add(ADA.line)
    made = bundle()
    (made.folder / SIGNATURE).write_bytes(ADA.signature(made.manifest.canonical()))
    with opened(EVE.signature) as other:
        remote = other.install(made.folder)
    assert Path(remote.path, SIGNATURE).read_bytes() == (made.folder / SIGNATURE).read_bytes()


@pytest.mark.parametrize(
    ("sign", "why"), [(None, "it has no signature"), (EVE.signature, f"{EVE.keyid[:16]}, is none of those")]
)
def test_bundle_that_cannot_be_signed_is_not_sent(
    device: Device, opened: Callable[..., Device], bundle: Make, sign: Signer | None, why: str
) -> None:
    device.trust.add(ADA.line)
    with opened(sign) as other, pytest.raises(BundleNotTrusted, match=why) as refused:
        other.install(bundle().folder)
    assert f"{ADA.keyid[:16]} ada" in refused.value.where
    assert "--trust-key" in refused.value.remedy
    assert not Path(device.root, "bundles").exists()


def test_damaged_keys_are_told_and_can_be_put_right(
    device: Device, opened: Callable[..., Device], bundle: Make
) -> None:
    device.trust.add(ADA.line)
    Path(device.root, "trust", "keys").write_text("nonsense\n")
    with opened(ADA.signature) as other:
        for refused in (lambda: other.install(bundle().folder), lambda: other.trust.add(ADA.line)):
            with pytest.raises(KeysDamaged, match="can't be read") as caught:
                refused()
            assert "--trust-no-key" in caught.value.remedy
        other.trust.forget()
        other.install(bundle().folder)


def test_keys_are_changed_for_another_in_one_question(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that is cut in between leaves no device that takes every bundle."""
    device.trust.add(EVE.line)
    asked: list[tuple[str, ...]] = []
    told = device.trust._told

    def listened(*words: str) -> None:
        asked.append(words)
        told(*words)

    monkeypatch.setattr(device.trust, "_told", listened)
    _change_trust(device, [ADA.line], none=True)
    assert asked == [("--none", "--add", ADA.line)]
    assert list(device.trust.keys() or {}) == [ADA.keyid]


@pytest.mark.slow
def test_agent_refuses_what_a_host_sends_all_the_same(
    device: Device, opened: Callable[..., Device], bundle: Make
) -> None:
    """The bundle lay there before the device was told whose it takes; nothing on the host checks that here."""
    signed, unsigned = bundle("signed"), bundle("unsigned", width=4)
    job = with_canary(quick_job(device, signed, unsigned), device.install)
    device.trust.add(ADA.line)
    with opened(ADA.signature) as other:
        other.install(signed.folder)
        report = other.measure(job)
    one, two = report.results
    assert (one["error"], bool(one["blocks"])) == (None, True)
    assert two["error"].startswith("BundleNotTrusted: this device takes no bundle that none of its trusted keys")
    assert not two["blocks"]
    # The canary model is a part of the project and needs no signature.
    assert report.canary_model is not None
    assert report.canary_model["error"] is None


@pytest.mark.slow
def test_answers_are_those_of_the_runtime_here_and_leave_nothing(device: Device, bundle: Make, tmp_path: Path) -> None:
    import numpy as np
    import onnxruntime

    made = bundle()
    samples, x, _ = evaluation(tmp_path / "samples.npz", 3)
    ask(device, device.install(made.folder), made.manifest, samples, tmp_path / "answer.npy")
    here = onnxruntime.InferenceSession(str(made.model_file)).run(None, {"x": x})[0]
    np.testing.assert_allclose(np.load(tmp_path / "answer.npy"), here, atol=1e-5)
    assert not list(Path(device.root, "outputs").iterdir())
    assert not list(Path(device._state, "journal").iterdir())


@pytest.mark.slow
def test_question_about_a_bundle_that_is_not_trusted_is_refused_by_name(
    device: Device, bundle: Make, tmp_path: Path
) -> None:
    made = bundle()
    samples, _, _ = evaluation(tmp_path / "samples.npz", 3)
    remote = device.install(made.folder)
    device.trust.add(ADA.line)
    with pytest.raises(BundleNotTrusted, match="has no signature") as refused:
        ask(device, remote, made.manifest, samples, tmp_path / "answer.npy")
    assert refused.value.remedy.startswith("sign it")
    assert not (tmp_path / "answer.npy").exists()


@pytest.mark.slow
def test_setup_says_whose_bundles_a_device_takes(entry: DeviceEntry, cache: Path, tmp_path: Path) -> None:
    fresh = entry.model_copy(update={"root": str(tmp_path / "root")})

    def told(*lines: str, none: bool = False) -> list[str]:
        found = setup(fresh, TARGET, tmp_path / "state", cache, Silent(), lines, none)
        return [line for line in found if "take" in line]

    assert told() == ["trusts no key: it takes every bundle"]
    assert told(ADA.line, EVE.line) == [
        f"takes only what is signed by {one.keyid[:16]} {one.name}" for one in (ADA, EVE)
    ]
    assert len(told()) == 2
    assert told(EVE.line, none=True) == [f"takes only what is signed by {EVE.keyid[:16]} eve"]
    assert undo(fresh, tmp_path / "state", cache, Silent())[1].startswith("the keys that it trusted went too")
    assert told(none=True) == ["trusts no key: it takes every bundle"]


@pytest.mark.device
def test_phone_by_adb_cannot_be_told_to_trust(phone_double: PhoneDouble, tmp_path: Path, cache: Path) -> None:
    entry = phone_double.entry().model_copy(update={"root": str(tmp_path / "phone")})
    with pytest.raises(NoTrustThere, match="no Python that could check") as refused:
        setup(entry, TARGET, tmp_path / "state", cache, Silent(), [ADA.line])
    assert "Termux" in refused.value.remedy
    with open_any(entry, state=tmp_path / "state") as phone:
        assert not phone.connection.exists(f"{phone.root}/trust")
