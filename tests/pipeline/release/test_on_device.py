"""A release's sample on a device: the same answer passes, in the file's own layout and numbers; any other is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from device_agents.bundle import Bundle, read_bundle
from device_agents.farm.ask import NoAnswer
from device_agents.farm.inventory import DeviceEntry, stand_in
from device_agents.farm.opening import AnyDevice, open_any
from device_agents.farm.trustkeys import BundleNotTrusted
from pipeline.release import sample
from pipeline.release.errors import NoRelease
from pipeline.release.on_device import Sample, lay_out
from pipeline.release.signing import BUNDLE_SIGNATURE, bundle_signature
from pipeline.release.verify import verify
from tests.device_agents.tiny import tiny_bundle
from tests.pipeline.release.made import made_release, resigned, signing_key

pytestmark = pytest.mark.slow

ADA, EVE = signing_key(b"ada"), signing_key(b"eve")
TRUSTED = [ADA.public_key]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """One whose sample has the answer that onnxruntime gives here."""
    made = tiny_bundle(tmp_path / "bundle")
    return made_release(tmp_path / "release", made, ADA, _answer(made))


def _answer(bundle: Bundle) -> Callable[[Any], Any]:
    import onnxruntime

    return lambda x: onnxruntime.InferenceSession(str(bundle.model_file)).run(None, {"x": x})[0]


@pytest.fixture
def device(tmp_path: Path) -> Iterator[AnyDevice]:
    entry = stand_in("raspberry-pi").model_copy(update={"root": str(tmp_path / "root")})
    with open_any(entry, state=tmp_path / "state", cache=Path("~/.cache/edgewright").expanduser()) as found:
        yield found


def test_device_that_answers_as_expected_passes(release: Path, device: AnyDevice) -> None:
    said: list[str] = []
    assert verify(release, TRUSTED, device, said.append) == []
    assert "answers the sample as expected" in said[-1]


def test_device_that_answers_otherwise_is_a_finding(release: Path, device: AnyDevice) -> None:
    made = read_bundle(lay_out(release, release.parent / "laid"))
    answer = _answer(made)
    made_release(release, made, ADA, lambda x: answer(x) + 0.01)
    (found,) = verify(release, TRUSTED, device)
    assert found.file == "sample/expected.npy"
    assert "off by 0.01" in found.problem
    made_release(release, made, ADA, lambda x: answer(x)[:, :3])
    (found,) = verify(release, TRUSTED, device)
    assert "shape" in found.problem


def test_nan_is_no_answer(release: Path, device: AnyDevice) -> None:
    import numpy as np

    made = read_bundle(lay_out(release, release.parent / "laid"))
    made_release(release, made, ADA, lambda x: np.full((1, 4), np.nan, np.float32))
    (found,) = verify(release, TRUSTED, device)
    assert "off by nan" in found.problem


def test_release_that_was_tampered_with_never_reaches_a_device(
    release: Path, device: AnyDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def install(folder: Path) -> None:
        raise AssertionError("it went to the device")

    monkeypatch.setattr(device, "install", install)
    (release / "model_card.md").write_text("better figures")
    assert [finding.file for finding in verify(release, TRUSTED, device)] == ["model_card.md"]


def test_device_that_trusts_the_releases_key_takes_it_without_another(release: Path, device: AnyDevice) -> None:
    device.trust.add(ADA.public_key.line)  # type: ignore[union-attr]
    assert verify(release, TRUSTED, device) == []


def test_device_that_trusts_another_key_refuses(release: Path, device: AnyDevice) -> None:
    device.trust.add(EVE.public_key.line)  # type: ignore[union-attr]
    with pytest.raises(BundleNotTrusted, match=ADA.keyid[:16]):
        verify(release, TRUSTED, device)


def test_model_file_with_metadata_is_asked_as_it_ships(release: Path) -> None:
    """Its digest is not the bundle's, so the bundle's signature doesn't go along."""
    plain = read_bundle(lay_out(release, release.parent / "plain"))
    assert (plain.folder / BUNDLE_SIGNATURE).read_bytes() == bundle_signature(plain.manifest.canonical(), ADA)
    (release / "model" / "model.onnx").write_bytes(plain.model_file.read_bytes() + b"metadata")
    ships = read_bundle(lay_out(release, release.parent / "ships"))
    assert ships.digest != plain.digest
    assert not (ships.folder / BUNDLE_SIGNATURE).exists()


def test_phone_by_adb_says_that_it_cannot_answer(release: Path, tmp_path: Path) -> None:
    from device_agents.farm.phone import Phone

    class Silent(Phone):
        def __init__(self) -> None:
            self.entry = DeviceEntry(name="pixel", target="android", kind="adb")

        def install(self, folder: Path) -> Any:
            return None

    with pytest.raises(NoAnswer, match="benchmark_model there returns no outputs"):
        verify(release, TRUSTED, Silent())


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_sample_in_the_files_own_numbers_comes_through(tmp_path: Path, device: AnyDevice, kind: str) -> None:
    """Channels last and, for int8, quantised: what lies in sample/ is what the file takes and gives, to the bit."""
    pytest.importorskip("ai_edge_litert", reason="./inv setup tflite")
    import numpy as np

    from tests.device_agents.tiny_tflite import images, tflite_bundle

    made = tflite_bundle(tmp_path / kind, kind, kind)
    drawn = sample.of(made, images(1), np.array([0]), 1e-6)
    (given,), (gives,) = drawn.inputs.values(), drawn.expected.values()
    assert given.shape == (1, 8, 6, 3)
    assert str(given.dtype) == str(gives.dtype) == kind
    release = made_release(tmp_path / "release", made, ADA)
    for name, array in (("input", given), ("expected", gives)):
        (release / "sample" / f"{name}.npy").write_bytes(sample.npy(array))
    resigned(release, ADA)
    assert verify(release, TRUSTED, device) == []
    (release / "sample" / "expected.npy").write_bytes(sample.npy(gives + 1))
    resigned(release, ADA)
    assert [finding.file for finding in verify(release, TRUSTED, device)] == ["sample/expected.npy"]


def test_sample_is_read_back_as_it_was_written(release: Path) -> None:
    found = Sample.read(release)
    assert (list(found.inputs), list(found.expected), found.tolerance) == (["x"], ["y"], 1e-5)
    assert found.inputs["x"].shape == (1, 1, 8, 8)


@pytest.mark.parametrize("told", ["{", "[]", "{}", '{"inputs": [], "outputs": [], "tolerance": 1}'])
def test_sample_that_its_maker_wrote_wrongly_says_so(release: Path, told: str) -> None:
    (release / "sample" / "sample.json").write_text(told)
    with pytest.raises(NoRelease, match="sample can't be read"):
        Sample.read(release)
