"""The adb program and its server on this machine, and which phone is meant: what each failure is called.

The server's host protocol (AOSP, packages/modules/adb/SERVICES.TXT): four hexadecimal digits of length, then the
request; the answer is OKAY or FAIL, then a length and a text.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from device_agents.errors import AuthenticationFailed, DeviceError, DeviceUnreachable

if TYPE_CHECKING:
    from device_agents.farm.inventory import DeviceEntry

TIMEOUT_S = 20.0
_DEFAULT_PORT = 5037
_WIRELESS_PORT = 5555


class AdbMissing(DeviceError):
    """The adb program isn't on this machine."""


class AdbServerError(DeviceError):
    """The adb server on this machine can't be reached or used, or is of another version than the program."""


class PhoneNotFound(DeviceUnreachable):
    """No phone with that serial number is connected, or several are and none was named."""


class PhoneOffline(DeviceUnreachable):
    """adb knows the phone, but can't talk to it now."""


class PhoneUnauthorized(AuthenticationFailed):
    """The phone has not been told to trust this machine."""


class PhoneTooOld(DeviceError):
    """An Android before 7: its adb tells neither exit status nor errors."""


@dataclass(frozen=True)
class Adb:
    """The adb program and the server that it shall talk to; `server` is a socket in adb's spelling, or None."""

    program: str
    server: str | None
    name: str

    def environment(self) -> dict[str, str]:
        """What the program is started with."""
        return {**os.environ, **({"ADB_SERVER_SOCKET": self.server} if self.server else {})}

    def run(self, *arguments: str, timeout: float = TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        """A short command. Raises AdbServerError where it takes too long."""
        try:
            return subprocess.run(
                [self.program, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=timeout,
                env=self.environment(),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise AdbServerError(
                f"adb gave no answer within {timeout:.0f} s.",
                where=" ".join([self.program, *arguments])[:200],
                remedy=f"{self.program} kill-server, then run the same command again",
            ) from error


def find(entry: DeviceEntry) -> Adb:
    """The program and a server that goes with it, started if need be. Raises AdbMissing, AdbServerError."""
    program = shutil.which(str(Path(entry.adb).expanduser()))
    if program is None:
        raise AdbMissing(
            f"The adb program is not on this machine, and {entry.name} is reached by it.",
            where=f"{entry.farm_file or 'farm.toml'}: devices.{entry.name}.adb = {entry.adb!r}",
            remedy='apt-get install adb   (or set adb = "/path/to/adb" for it in farm.toml)',
        )
    adb = Adb(program, entry.adb_server, entry.name)
    running = _server_version(adb)
    own = _program_version(adb)
    if running is None:
        if entry.adb_server is not None:
            # The program would start a server of its own there; whoever names an address has one in mind.
            raise AdbServerError(
                f"No adb server listens at {entry.adb_server}.",
                where=f"{entry.farm_file or 'farm.toml'}: devices.{entry.name}.adb_server",
                remedy="start it there, or leave adb_server out of farm.toml",
            )
        if adb.run("start-server").returncode != 0:
            raise AdbServerError("The adb server does not start.", where=program, remedy=f"{program} start-server")
    elif own is not None and running != own:
        # The program would kill the other one, and with it what another tool has under way.
        raise AdbServerError(
            f"The adb server that runs here is version {running}, the adb program is {own}.",
            where=program,
            remedy=f'set adb = "/path" of the program that started the server in farm.toml, or {program} kill-server',
        )
    return adb


def phone(adb: Adb, entry: DeviceEntry) -> str:
    """The serial number to use, of a phone that answers.

    Raises PhoneNotFound, PhoneUnauthorized, PhoneOffline, PhoneTooOld, AdbServerError.
    """
    serial = entry.serial or _connect(adb, entry)
    there = devices(adb)
    listed = ", ".join(f"{name} ({state})" for name, state in there.items()) or "none"
    if serial is None:
        if len(there) != 1:
            raise PhoneNotFound(
                f"Several phones are connected, and {entry.name} doesn't say which it is."
                if there
                else f"No phone is connected, so {entry.name} can't be reached.",
                where=f"adb sees: {listed}",
                remedy=f'set serial = "..." under [devices.{entry.name}] in farm.toml'
                if there
                else "plug it in and switch on USB debugging (docs/android.md)",
            )
        serial = next(iter(there))
    if serial not in there:
        raise PhoneNotFound(
            f"No phone with the serial number {serial} is connected.",
            where=f"adb sees: {listed}",
            remedy="plug it in and switch on USB debugging (docs/android.md), or correct serial in farm.toml",
        )
    _check_state(adb, entry, serial, there[serial])
    features = adb.run("-s", serial, "features")
    if features.returncode == 0 and "shell_v2" not in features.stdout.split():
        raise PhoneTooOld(
            f"{entry.name} runs an Android before 7: its adb doesn't tell how a command ended.",
            where=f"adb -s {serial} features: {' '.join(features.stdout.split())}",
            remedy="take a phone with Android 7 or later",
        )
    return serial


def devices(adb: Adb) -> dict[str, str]:
    """{serial number: state} as the server lists them ("device" is the state of one that works)."""
    done = adb.run("devices")
    if done.returncode != 0:
        raise AdbServerError(
            f"adb can't list the phones: {_last(done.stderr)}", where=adb.program, remedy=f"{adb.program} kill-server"
        )
    return {serial: state.strip() for serial, state in re.findall(r"^(\S+)\t(.+)$", done.stdout, re.MULTILINE)}


def _connect(adb: Adb, entry: DeviceEntry) -> str | None:
    """`adb connect` to an address; its serial number, None where the entry has no address. Raises DeviceUnreachable."""
    if not entry.address:
        return None
    address = entry.address
    if entry.port is not None or not re.search(r"[^:]:\d+$", address):
        address = f"{address}:{entry.port or _WIRELESS_PORT}"
    done = adb.run("connect", address, timeout=40.0)
    # Its exit status is 0 either way in this version.
    # One that only has to be told to trust us is listed from now on, with that state.
    if not re.search(r"^(already )?connected to |authenticate", done.stdout, re.MULTILINE):
        raise DeviceUnreachable(
            f"{entry.name} does not let adb connect: {_last(done.stdout + done.stderr)}",
            where=address,
            remedy="check that phone and machine share a network and that wireless debugging is on (docs/android.md)",
        )
    return address


def _check_state(adb: Adb, entry: DeviceEntry, serial: str, state: str) -> None:
    if state == "device":
        return
    if state in ("unauthorized", "authorizing"):
        raise PhoneUnauthorized(
            f"{entry.name} does not trust this machine yet.",
            where=f"adb: {serial} is {state}",
            remedy="unlock the phone, accept the question about the RSA key, then run the same command again",
        )
    if state.startswith("no permissions"):
        raise PhoneUnauthorized(
            f"This machine's user may not open the USB port of {entry.name}.",
            where=f"adb: {serial}: {state}",
            remedy="apt-get install android-sdk-platform-tools-common (its udev rules), then plug it in again",
        )
    raise PhoneOffline(
        f"{entry.name} is connected, but adb can't talk to it: it is {state}.",
        where=f"adb: {serial}",
        remedy=f"unplug it and plug it in again, or {adb.program} -s {serial} reconnect",
    )


def _program_version(adb: Adb) -> int | None:
    found = re.search(r"version \d+\.\d+\.(\d+)", adb.run("version").stdout)
    return int(found.group(1)) if found else None


def _server_version(adb: Adb) -> int | None:
    """The version of the server that runs; None where none does, or where it can't be asked so."""
    place = adb.server or os.environ.get("ADB_SERVER_SOCKET") or ""
    port = os.environ.get("ANDROID_ADB_SERVER_PORT", "")
    if not place:
        place = f"tcp:127.0.0.1:{port if port.isdigit() else _DEFAULT_PORT}"
    found = re.fullmatch(r"tcp:(?:(.+):)?(\d+)", place)
    if found is None:
        return None
    try:
        with socket.create_connection((found.group(1) or "127.0.0.1", int(found.group(2))), timeout=5) as link:
            link.sendall(b"000chost:version")
            answer = b""
            while len(answer) < 12 and (data := link.recv(12 - len(answer))):
                answer += data
    except (OSError, OverflowError):
        return None
    text = answer.decode("ascii", errors="replace")
    if not re.fullmatch(r"OKAY0004[0-9a-fA-F]{4}", text):
        raise AdbServerError(
            "What listens there is no adb server.", where=place, remedy="correct adb_server in farm.toml"
        )
    return int(text[8:], 16)


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"
