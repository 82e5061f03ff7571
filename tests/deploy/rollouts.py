"""Small signed releases for a farm of board doubles, and rollouts of them as a person types them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from device_agents.bundle import Bundle, write_bundle
from device_agents.farm.device import Device
from device_agents.farm.job import Job
from device_agents.farm.rollout.record import Rollout, read
from device_agents.farm.rollout.told import ReleaseThere
from edgewright.files import pretty_json, sha256_file
from pipeline.measuring import Protocol
from pipeline.release import checksums, manifest, processing, provenance, sample
from pipeline.release.content import Content
from pipeline.release.evidence import Evidence, Figures
from pipeline.release.keys import SigningKey, public_path
from pipeline.release.provenance import Source
from pipeline.release.signing import BUNDLE_SIGNATURE, bundle_signature, sign_release
from pipeline.rollout import rolling, trials
from pipeline.rollout import rollout as rollouts
from pipeline.rollout.fleet import fleet
from pipeline.rollout.rollout import Asked, rollout
from pipeline.rollout.trials import Timed, Tryout
from tests.device_agents.tiny import CLASSES, SIDE, tiny_manifest, tiny_model
from tests.doubles.farm import TARGET, Farm
from tests.doubles.loopback import sshd_path
from tests.prerequisites import require

MODEL = "tiny"
SILENCE_S = 3.0
"""After which a board goes back by itself."""
QUICK = Protocol(processes=2, blocks=3, samples=5, block_seconds=0.03, warmup_seconds=0.02, memory_passes=1, ask=True)
"""Enough to see a model that is twice as slow."""


class Bench:
    """A project with a farm, a key and releases. Its methods are what a person types."""

    def __init__(self, root: Path, state: Path, farm: Farm) -> None:
        self.root, self.state, self.farm = root, state, farm
        self.names = [member.name for member in farm]
        self.key = SigningKey.generate(root / "release.key", b"", "ada")

    def release(
        self,
        version: str,
        *,
        width: int = 8,
        layers: int = 2,
        wrong: float = 0.0,
        figures: tuple[Figures, ...] = (),
        packaged: bool = False,
    ) -> Path:
        """A signed release of a tiny model. width: of its layers (on a board a wider one takes longer); wrong: how far
        its expected output lies beside what it really answers; packaged: a packager has added words to the model file.
        """
        import numpy as np

        folder = self.root / "releases" / f"{MODEL}-{TARGET}-{version}"
        bundle = _bundle(self.root / "bundles" / version, width, layers)
        x = np.random.default_rng(5).standard_normal((1, 1, SIDE, SIDE)).astype(np.float32)
        drawn = sample.of(bundle, x, np.array([1]), 1e-3)
        drawn = replace(drawn, expected={name: array + wrong for name, array in drawn.expected.items()})
        content = Content(bundle, version, drawn, Evidence(figures, not figures), "top-1")
        shipped = bundle.model_file.read_bytes()
        return _written(folder, content, _with_words(shipped) if packaged else shipped, self.key)

    def rollout(self, folder: Path | None = None, **asked: Any) -> int:
        """`./inv rollout --release FOLDER --devices ...`; the exit status."""
        given: dict[str, Any] = {"devices": self.names, "budget_s": 4.0, "parallel": 1, **asked}
        if given.get("resume"):
            given.pop("devices")
        return rollout(Asked(release=str(folder) if folder else None, trust=str(self.public), **given))

    def snapshot(self) -> None:
        """What devices, project and state hold now, for `restore`."""
        for place in self._places():
            shutil.copytree(place, self._kept(place), symlinks=True)

    def restore(self) -> None:
        """All as it was at the snapshot."""
        for place in self._places():
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(self._kept(place), place, symlinks=True)

    @contextmanager
    def for_one_test(self, patch: pytest.MonkeyPatch) -> Iterator[None]:
        """Whatever the test does to it, all is well again after it."""
        patch.setenv("EDGEWRIGHT_STATE", str(self.state))  # each test is given one of its own
        patch.setattr(rolling, "SILENCE_S", SILENCE_S)
        yield
        for member in self.farm:
            assert member.link is not None
            member.link.heal()
        self.restore()

    def _places(self) -> list[Path]:
        return [self.root, self.state, *(member.double.root for member in self.farm)]

    def _kept(self, place: Path) -> Path:
        return place.with_name(f"{place.name}.kept")

    @property
    def public(self) -> Path:
        return public_path(self.root / "release.key")

    def last(self) -> Rollout:
        """The newest rollout's record."""
        return read(max((self.state / "rollouts").glob("*.json"), key=lambda path: path.stat().st_mtime_ns))

    def states(self) -> dict[str, str]:
        return {name: one.state for name, one in self.last().devices.items()}

    def versions(self, link: str = "current") -> dict[str, str | None]:
        """What lies on the devices' disks, whatever anyone says."""
        found: dict[str, str | None] = {}
        for member in self.farm:
            place = member.double.root / "releases" / MODEL / link
            found[member.name] = place.readlink().name.rpartition("-")[0] if place.is_symlink() else None
        return found


def fleet_json(capsys: pytest.CaptureFixture[str], *devices: str, check: bool = False) -> tuple[int, dict[str, Any]]:
    """`./inv fleet --json`: (exit status, what each device says, by name)."""
    capsys.readouterr()
    status = fleet(devices, check, as_json=True)
    told = json.loads(capsys.readouterr().out)
    return status, {one["device"]: one for one in told["devices"]}


@contextmanager
def bench(folder: Path, monkeypatch: pytest.MonkeyPatch, count: int, **given: Any) -> Iterator[Bench]:
    """A project whose farm has `count` boards; given: to Farm."""
    root, state = folder / "project", folder / "state"
    root.mkdir(parents=True)
    monkeypatch.setenv("EDGEWRIGHT_ROOT", str(root))
    monkeypatch.setenv("EDGEWRIGHT_STATE", str(state))
    monkeypatch.setenv("EDGEWRIGHT_KEY", str(root / "release.key"))
    monkeypatch.setattr(trials, "Job", partial(Job, settle_s=0.5))  # a machine of tests doesn't settle
    monkeypatch.setattr(trials, "Protocol", lambda **asked: replace(QUICK, ask=asked["ask"]))
    monkeypatch.setattr(rollouts, "Tryout", partial(Tryout, wait_s=1.0))
    with Farm(folder / "farm", count, **given) as farm:
        farm.declare(root)
        yield Bench(root, state, farm)


@contextmanager
def two_boards(folder: Path) -> Iterator[Bench]:
    """A bench for a module's tests: two boards behind links, which both run 1.0.0."""
    require(sshd_path(), "sshd is not installed: apt-get install openssh-server")
    with pytest.MonkeyPatch.context() as patch, bench(folder, patch, 2, faults=True) as made:
        with untimed():
            assert made.rollout(made.release("1.0.0")) == 0
        made.snapshot()
        yield made


@contextmanager
def untimed(fault: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Trials whose release is not timed; `fault` comes in the middle of each."""

    def latency(self: Tryout, device: Device, before: ReleaseThere | None) -> Timed:
        fault()
        return Timed("not timed in this test")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tryout, "latency", latency)
        yield


def assert_rolled_back(made: Bench, name: str, why: str) -> None:
    """One board has the old release again, and the record says so; boards after it were not touched."""
    told = made.last().devices[name]
    assert (told.state, told.runs) == ("rolled back", "1.0.0") and why in told.why, told
    assert made.versions() == dict.fromkeys(made.names, "1.0.0")
    assert made.last().status == "halted"


def _bundle(folder: Path, width: int, layers: int) -> Bundle:
    model = tiny_model(folder.parent / f"{folder.name}.onnx", width=width, layers=layers, batch=1)
    return write_bundle(folder, model, tiny_manifest(model=MODEL, target=TARGET, labels=[*"abcd"][:CLASSES]))


def _with_words(model: bytes) -> bytes:
    """Another file of the same network."""
    import onnx

    found = onnx.load_from_string(model)
    found.doc_string = "what a packager says of it"
    return bytes(found.SerializeToString())


def _written(folder: Path, content: Content, shipped: bytes, key: SigningKey) -> Path:
    """The folder as pipeline.release.release writes it, but for cards, SBOM and packages."""
    listed = content.bundle.manifest
    files = {
        manifest.FILE: manifest.manifest_of(content, shipped, [], 0.5).written(),
        "model/bundle.json": listed.canonical(),
        f"model/{listed.file}": shipped,
        processing.FILE: pretty_json(processing.spec(content)),
        processing.LABELS: processing.labels_file(listed.labels or []),
        "model_card.md": b"# Tiny\n",
        BUNDLE_SIGNATURE: bundle_signature(listed.canonical(), key),
        **{f"sample/{name}": data for name, data in sample.files(content).items()},
    }
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    subjects = {f"model/{listed.file}": sha256_file(folder / "model" / listed.file)}
    source = Source("models/tiny.toml", b"", "tiny", None)
    (folder / provenance.FILE).write_bytes(provenance.provenance(content, subjects, source, []))
    (folder / checksums.FILE).write_bytes(checksums.sums(folder))
    sign_release(folder, key)
    return folder
