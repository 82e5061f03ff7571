"""What a night is asked: which models for which targets, on which devices, until when."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from device_agents.farm.inventory import DeviceEntry, Inventory, stand_in
from edgewright.errors import BadArgument, EdgewrightError
from pipeline.project import Project
from pipeline.recipe import read_recipe, recipe_files
from pipeline.searching import seconds
from targets.schema import Target, read_target


class NothingToDo(EdgewrightError):
    """There is no device, or no model, for a night."""


@dataclass(frozen=True)
class Asked:
    """models, called: by name, what each model and each target is called as read_recipe and read_target take it; unfit:
    devices whose target can't be read, and why."""

    models: dict[str, str]
    targets: dict[str, Target]
    called: dict[str, str]
    entries: tuple[DeviceEntry, ...]
    unfit: dict[str, EdgewrightError] = field(default_factory=dict)

    def entry(self, device: str) -> DeviceEntry:
        """The device of that name."""
        return next(entry for entry in self.entries if entry.name == device)


def read_asked(project: Project, models: Sequence[str], targets: Sequence[str]) -> Asked:
    """Every recipe, or those named, for every target that has a device in farm.toml, or those named.

    A named target without a device is this machine's to stand in for. Raises NothingToDo, BadArgument, FarmFileError,
    and what reading a recipe or a target that was named does.
    """
    inventory = Inventory.read(project.farm_file)
    found: dict[str, Target] = {}
    called: dict[str, str] = {}
    unfit: dict[str, EdgewrightError] = {}
    if targets:
        for given in targets:
            target = read_target(given, project.root)
            found[target.name], called[target.name] = target, _called(given)
        entries = [entry for entry in inventory.entries.values() if entry.target in found]
        entries += [stand_in(name) for name in found if all(entry.target != name for entry in entries)]
    else:
        entries = list(inventory.entries.values())
        for entry in entries:
            try:
                found[entry.target] = read_target(entry.target, project.root)
                called[entry.target] = entry.target
            except EdgewrightError as error:
                unfit[entry.name] = error
    if not entries:
        raise NothingToDo(
            "There is no device to measure on.",
            where=str(project.farm_file),
            remedy="write [devices.NAME] with target and address there, or ./inv nightly --targets host",
        )
    named = _models(project, models)
    if not named:
        raise NothingToDo("There is no model.", where=str(project.root / "models"), remedy="./inv models lists them")
    return Asked(named, found, called, tuple(_told_apart(entries)), unfit)


def _models(project: Project, models: Sequence[str]) -> dict[str, str]:
    if not models:
        return {name: name for name in recipe_files(project.root)}
    found: dict[str, str] = {}
    for given in models:
        name = read_recipe(given, project.root).name
        if found.setdefault(name, _called(given)) != _called(given):
            raise BadArgument(
                f"Two of the recipes are called {name!r}.", where="--models", remedy="rename one of the files"
            )
    return found


def _called(given: str) -> str:
    """A file's path so that it can be read from any folder."""
    return str(Path(given).resolve()) if given.endswith(".toml") else given


def _told_apart(entries: Sequence[DeviceEntry]) -> list[DeviceEntry]:
    """This machine standing in for several targets has one name; a night's devices have one each. As the host that it
    is it keeps its name, by which its series go on."""
    names = [entry.name for entry in entries]
    return [
        entry.model_copy(update={"name": f"{entry.name} ({entry.target})"})
        if entry.stand_in and names.count(entry.name) > 1
        else entry
        for entry in entries
    ]


def is_here(entry: DeviceEntry) -> bool:
    """Whether a device is this machine, or a double on it: what is built here would be measured there."""
    if entry.kind == "local":
        return True
    host = entry.address.rpartition("@")[2]
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_deadline(text: str, now: datetime) -> datetime | None:
    """`06:00` (the next one by the clock here), `6h`, `90m`, or nothing. now: with its zone. Raises BadArgument."""
    if not text:
        return None
    if clock := re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text.strip()):
        local = now.astimezone()
        found = local.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
        return found if found > local else found + timedelta(days=1)
    try:
        return now + timedelta(seconds=seconds(text))
    except ValueError:
        raise BadArgument(f"{text!r} is no deadline.", where="--deadline", remedy="say 06:00, 6h or 90m") from None


def words(text: str) -> list[str]:
    """`a, b` as ["a", "b"]."""
    return [word.strip() for word in text.split(",") if word.strip()]
