"""Devices for the tests: this machine, and an sshd on the loopback; tiny models and bundles of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from device_agents.bundle import Bundle
from device_agents.connect.base import Connection
from device_agents.farm.device import Device, open_device
from device_agents.farm.inventory import DeviceEntry, stand_in
from tests.device_agents.tiny import tiny_bundle
from tests.doubles import disk
from tests.doubles.loopback import Loopback, sshd_path
from tests.doubles.phone import PhoneDouble
from tests.prerequisites import require


@pytest.fixture(scope="session")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    """A real OpenSSH server on the loopback, for the whole session."""
    require(sshd_path(), "sshd is not installed: apt-get install openssh-server")
    require(shutil.which("ssh-keygen"), "ssh-keygen is not installed: apt-get install openssh-client")
    with Loopback(tmp_path_factory.mktemp("double")) as found:
        yield found


@pytest.fixture(scope="session")
def bare_double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    """The same without an SFTP server, as a small board's dropbear is."""
    require(sshd_path(), "sshd is not installed: apt-get install openssh-server")
    with Loopback(tmp_path_factory.mktemp("bare-double"), sftp=False) as found:
        yield found


@pytest.fixture(scope="session")
def phone_double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PhoneDouble]:
    """An Android behind a fake adb server, for the whole session; the real adb program talks to it."""
    require(shutil.which("adb"), "adb is not installed: apt-get install adb")
    with PhoneDouble(tmp_path_factory.mktemp("phone-double")) as found:
        yield found


@pytest.fixture(scope="session")
def cache() -> Path:
    """Where wheels are kept: the person's own, so that a second run of the tests needs no network."""
    return Path(os.environ.get("EDGEWRIGHT_CACHE", "~/.cache/edgewright")).expanduser()


@pytest.fixture(params=["local", pytest.param("ssh", marks=pytest.mark.device)])
def entry(request: pytest.FixtureRequest) -> DeviceEntry:
    """A device of each kind."""
    if request.param == "local":
        return stand_in("raspberry-pi")
    found: Loopback = request.getfixturevalue("double")
    return found.entry()


_WITH_PYTHON = ["local", *(pytest.param(kind, marks=pytest.mark.device) for kind in ("ssh", "ssh-bare"))]


def _connect(kind: str, request: pytest.FixtureRequest) -> Connection:
    if kind == "local":
        from device_agents.connect.local import LocalConnection, base_python

        return LocalConnection("this machine", base_python())
    if kind == "adb":
        from device_agents.connect.adb import AdbConnection

        phone: PhoneDouble = request.getfixturevalue("phone_double")
        return AdbConnection.open(phone.entry())
    from device_agents.connect.ssh import SshConnection

    found: Loopback = request.getfixturevalue("double" if kind == "ssh" else "bare_double")
    return SshConnection.open(found.entry())


@pytest.fixture(params=[*_WITH_PYTHON, pytest.param("adb", marks=pytest.mark.device)])
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A connection of each kind: what one promises, all keep."""
    with _connect(request.param, request) as found:
        yield found


@pytest.fixture(params=_WITH_PYTHON)
def python_connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A connection of each kind whose requests a Python on the device answers: all but adb."""
    with _connect(request.param, request) as found:
        assert found.needs_python
        yield found


@pytest.fixture
def device(entry: DeviceEntry, tmp_path: Path, cache: Path) -> Iterator[Device]:
    """An open device of each kind with an agent's folder of its own."""
    fresh = entry.model_copy(update={"root": str(tmp_path / 'it\'s $(a) "root"')})
    with open_device(fresh, state=tmp_path / "state", cache=cache) as found:
        yield found


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    with disk.small_disk(tmp_path / "disk", 24) as folder:
        yield folder


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[..., Bundle]:
    """Makes a bundle of a tiny model; keywords as tiny_bundle's."""

    def make(name: str = "tiny", **options: int) -> Bundle:
        return tiny_bundle(tmp_path / "bundles" / name, name, **options)

    return make
