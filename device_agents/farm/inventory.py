"""farm.toml: the devices by name. Without it, this machine stands in."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from device_agents.errors import FarmFileError, UnknownDevice, WrongTarget

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

STAND_IN = "this machine"
HOST = "host"
_ONLY_SSH = ("user", "key", "jump", "known_hosts", "ssh_config", "python")
_ONLY_ADB = ("serial", "adb", "adb_server", "benchmark_model")


class DeviceEntry(BaseModel):
    """One device of farm.toml, or the stand-in. Paths are as written; `~` is for whoever uses them to expand.

    Of kind adb only: serial (left out where one phone is connected), or address for wireless debugging; adb: the
    program; adb_server: where its server listens, as ADB_SERVER_SOCKET spells it; benchmark_model: Google's program,
    to be put on the phone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    target: str = Field(min_length=1)
    kind: Literal["ssh", "local", "adb"] = "ssh"
    address: str = ""
    port: int | None = Field(default=None, ge=1, le=65535)
    user: str | None = None
    key: Path | None = None
    jump: str | None = None
    known_hosts: Path | None = None
    ssh_config: Path | None = None
    python: str = Field(default="python3", min_length=1)
    root: str = Field(default="~/.edgewright", min_length=1)
    emulated: bool = False
    stand_in: bool = False
    serial: str | None = Field(default=None, min_length=1)
    adb: str = Field(default="adb", min_length=1)
    adb_server: str | None = Field(default=None, min_length=1)
    benchmark_model: Path | None = None
    farm_file: Path | None = None

    @field_validator("name", "address", "user", "jump", "python", "root", "serial", "adb", "adb_server")
    @classmethod
    def _one_line(cls, value: str | None) -> str | None:
        if value is not None and re.search(r"[\x00-\x1f\x7f]", value):
            raise ValueError("must be one line without control characters")
        return value

    @field_validator("address", "user", "jump", "serial", "adb")
    @classmethod
    def _no_option(cls, value: str | None) -> str | None:
        if value is not None and value.startswith("-"):
            raise ValueError("must not begin with a dash")
        return value

    @model_validator(mode="after")
    def _reachable(self) -> DeviceEntry:
        if self.kind == "ssh" and not self.address:
            raise ValueError("address is missing (the device's name or IP address)")
        foreign = _ONLY_SSH if self.kind == "adb" else _ONLY_ADB
        if others := [key for key in foreign if getattr(self, key) != type(self).model_fields[key].default]:
            raise ValueError(f"{others[0]} is not for kind = {self.kind!r}")
        if self.kind == "adb" and self.emulated:
            raise ValueError(
                "an emulated phone gives no answers by adb, and its times mean nothing: reach it through Termux (ssh), "
                "or say stand_in = true"
            )
        if self.serial and self.address:
            raise ValueError("give serial (by USB) or address (wireless), not both")
        return self

    @property
    def where(self) -> str:
        """How it is reached, in a word or two."""
        if self.kind == "adb":
            return f"adb {self.serial or self.address}".strip()
        return self.address

    @property
    def default_known_hosts(self) -> Path:
        """The file that `devices.trust` pins host keys in: the entry's own, else the one beside farm.toml."""
        if self.known_hosts is not None:
            return self.known_hosts.expanduser()
        return (self.farm_file.parent if self.farm_file else Path()) / "farm.known_hosts"


class Inventory:
    """The devices of a farm."""

    def __init__(self, path: Path, entries: dict[str, DeviceEntry]) -> None:
        self.path = path
        self.entries = entries

    @classmethod
    def read(cls, path: Path) -> Inventory:
        """Reads farm.toml; a file that isn't there is an empty farm. Raises FarmFileError (file, key, remedy)."""
        try:
            text = path.read_bytes().decode()
        except FileNotFoundError:
            return cls(path, {})
        except (OSError, UnicodeDecodeError) as error:
            raise FarmFileError(
                f"The farm file can't be read: {error}", where=str(path), remedy="correct the file"
            ) from error
        try:
            tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise FarmFileError(
                f"The farm file is no valid TOML: {error}", where=str(path), remedy="correct that line"
            ) from error
        unknown = sorted(set(tables) - {"devices", "ledger"})
        if unknown or not isinstance(tables.get("devices", {}), dict):
            raise FarmFileError(
                f"Unknown key {unknown[0]!r}." if unknown else "`devices` must be a table.",
                where=str(path),
                remedy='write one table a device: [devices.NAME] with target = "raspberry-pi" and address = "..."',
            )
        return cls(path, {name: _entry(path, name, given) for name, given in tables.get("devices", {}).items()})

    def choose(self, target: str, device: str | None = None) -> DeviceEntry:
        """The device to use: the one named, else the first of that target, else this machine standing in.

        Raises UnknownDevice, WrongTarget.
        """
        if device is not None and device != STAND_IN:
            entry = self.named(device)
            if entry.target != target:
                raise WrongTarget(
                    f"The device {device!r} is a {entry.target}, not a {target}.",
                    where=f"{self.path}: devices.{device}.target",
                    remedy=f"./inv deploy --target {entry.target} --device {device}",
                )
            return entry
        if device is None:
            for entry in self.entries.values():
                if entry.target == target:
                    return entry
        return stand_in(target)

    def named(self, name: str) -> DeviceEntry:
        """The device of that name. Raises UnknownDevice, which lists the names."""
        try:
            return self.entries[name]
        except KeyError:
            there = ", ".join(repr(other) for other in self.entries) or "none"
            raise UnknownDevice(
                f"There is no device {name!r}.", where=f"{self.path} has: {there}", remedy="./inv devices lists them"
            ) from None


def stand_in(target: str) -> DeviceEntry:
    """This machine in the place of a device that isn't there; for the target `host` it is the device itself."""
    return DeviceEntry(name=STAND_IN, target=target, kind="local", address="", stand_in=target != HOST)


def _entry(path: Path, name: str, given: Any) -> DeviceEntry:
    if not isinstance(given, dict):
        raise FarmFileError(
            f"devices.{name} must be a table.", where=str(path), remedy=f"write [devices.{name}] and its keys below"
        )
    own = {"name", "farm_file"} & set(given)
    if own:
        raise FarmFileError(f"Unknown key {sorted(own)[0]!r}.", where=f"{path}: devices.{name}", remedy="leave it out")
    try:
        entry = DeviceEntry(**given, name=name, farm_file=path)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        keys = ", ".join(field for field in DeviceEntry.model_fields if field not in ("name", "farm_file"))
        what = f"unknown key {key!r}" if first["type"] == "extra_forbidden" else f"{key}: {first['msg']}".lstrip(": ")
        raise FarmFileError(
            f"The device {name!r} can't be read: {what}.",
            where=f"{path}: devices.{name}.{key}".rstrip("."),
            remedy=f"keys are: {keys}",
        ) from error
    # A path in farm.toml is meant from where farm.toml is, whatever folder the command was typed in.
    folder = path.absolute().parent
    paths = {key: getattr(entry, key) for key in ("key", "known_hosts", "ssh_config", "benchmark_model")}
    update: dict[str, Any] = {key: folder / value.expanduser() for key, value in paths.items() if value is not None}
    if "/" in entry.adb:  # else a program on PATH
        update["adb"] = str(folder / Path(entry.adb).expanduser())
    return entry.model_copy(update=update)
