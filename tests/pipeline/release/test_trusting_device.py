"""What is measured by hand, by a deploy or at night goes to a device that trusts keys with the user's signature."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from device_agents.agent.trust import SIGNATURE
from device_agents.bundle import Bundle
from device_agents.farm.inventory import stand_in
from device_agents.farm.opening import AnyDevice, open_any
from device_agents.farm.trustkeys import BundleNotTrusted
from edgewright.progress import Silent
from pipeline.bundles import keep_bundle
from pipeline.deploy import Deploy
from pipeline.measuring import Bench
from pipeline.nightly.measuring import Measuring
from pipeline.project import Project
from pipeline.reach import open_named
from pipeline.release import keys
from pipeline.release.keys import SigningKey
from pipeline.release.signing import bundle_signature
from targets.schema import read_target
from tests.device_agents.tiny import tiny_bundle

Opens = Callable[[], AnyDevice]


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Project:
    """A user with a key, and this machine, which trusts it."""
    key = SigningKey.generate(tmp_path / "user.key", b"")
    monkeypatch.setenv(keys.KEY, str(tmp_path / "user.key"))
    found = Project.here()
    with open_any(stand_in("raspberry-pi"), state=found.state, cache=tmp_path / "cache") as device:
        device.trust.add(key.public_key.line)  # type: ignore[union-attr]
    return found


@pytest.fixture(params=["bench", "deploy", "nightly", "by name"])
def opens(request: pytest.FixtureRequest, project: Project) -> Opens:
    """Each way in which the pipeline opens a device that it sends bundles to."""
    entry = stand_in("raspberry-pi")
    ways: dict[str, Opens] = {
        "bench": lambda: Bench(project, entry, read_target("raspberry-pi", project.root)).open(),
        "deploy": lambda: Deploy(project, "resnet8", "raspberry-pi", None, Silent(), print, print, print)._open(),
        "nightly": lambda: Measuring(project, print).open(entry),
        "by name": lambda: open_named("host")[1],
    }
    return ways[request.param]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "bundle")


def test_bundle_goes_with_the_users_signature(opens: Opens, bundle: Bundle, tmp_path: Path) -> None:
    with opens() as device:
        remote = device.install(bundle.folder)
    key = SigningKey.load(tmp_path / "user.key")
    assert Path(remote.path, SIGNATURE).read_bytes() == bundle_signature(bundle.manifest.canonical(), key)


def test_bundle_of_a_user_whose_key_is_not_trusted_stays_here(
    opens: Opens, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SigningKey.generate(tmp_path / "other.key", b"")
    monkeypatch.setenv(keys.KEY, str(tmp_path / "other.key"))
    with opens() as device, pytest.raises(BundleNotTrusted, match="none of those that are trusted"):
        device.install(bundle.folder)


def test_signature_is_kept_with_its_bundle(project: Project, bundle: Bundle, tmp_path: Path) -> None:
    """A colleague's bundle is measured out of this project's own folder."""
    (bundle.folder / SIGNATURE).write_bytes(b"a colleague's")
    assert (keep_bundle(project, bundle).folder / SIGNATURE).read_bytes() == b"a colleague's"
    shutil.rmtree(project.state / "bundles" / bundle.digest)
    (bundle.folder / SIGNATURE).unlink()
    assert not (keep_bundle(project, bundle).folder / SIGNATURE).exists()
