"""`farm.demo`: a farm for anyone to try. Quiet nights, then someone makes a network slower; what is reported?

The devices are board doubles (tests/doubles/farm.py), all else is what a team would run: `./inv nightly` in a project
of its own, night after night, its ledger and its dashboard. No report is made up. A level needs three nights before
anything is compared with it, and a time is never judged by one night alone (device_agents/farm/series): so there are
three quiet nights, and after the plant as many as it takes until its slow-down is certain. Its size is judged at once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from device_agents.farm.night.record import Night, newest
from device_agents.farm.series.lane import LEAST
from device_agents.farm.series.verdict import blamed
from edgewright.errors import BadArgument, EdgewrightError
from edgewright.files import write_atomically
from pipeline.keeping import on_stderr
from pipeline.project import Project

STEADY, PLANTED = "steady", "planted"
MOST_PLANTED = 4
"""Nights after the plant: two are needed, and a night on a busy machine may be lost."""
CAUGHT, NOT_CAUGHT = 0, 1
JUNIT, MARKDOWN = "night.xml", "night.md"
"""What the last night told a CI server, in the demonstration's state folder."""

_LAYERS, _MORE = 6, 9
_NETWORK = '''"""A small network of equal layers, for the demonstration farm."""

from torch import nn

LAYERS = {layers}


def build():
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU()]
    for _ in range(LAYERS):
        layers += [nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
'''
_RECIPE = """factory = "{name}.py:build"
data = "digits"
shrink = []

[train]
epochs = 2
threads = 1
"""
_NOT_THE_DEMOS = ("EDGEWRIGHT_LEDGER", "EDGEWRIGHT_WEBHOOK", "EDGEWRIGHT_WEBHOOK_KEY", "GITHUB_STEP_SUMMARY")
"""Where a team's own nights are told; a demonstration has no business there."""


class NoDemo(EdgewrightError):
    """The demonstration can't be run here: something of what it needs is not installed."""


class DemoFarm(Protocol):
    """Devices that are up."""

    target: str

    def declare(self, root: Path) -> None:
        """Writes root/farm.toml and the target's file."""


OpenFarm = Callable[[Path, int], AbstractContextManager[DemoFarm]]
Typed = Callable[..., int]
"""Runs a task as a person types it, word by word; its exit status."""


@contextmanager
def with_a_checkout() -> Iterator[None]:
    """For the import of the doubles, which no wheel has. Raises NoDemo."""
    try:
        yield
    except ImportError as error:
        raise NoDemo(
            f"The demonstration farm can't be made here: {error}",
            where="tests/doubles",
            remedy="clone Edgewright, and type ./inv farm.demo there",
        ) from error


def demo(open_farm: OpenFarm, devices: int = 8, open_page: bool = True) -> int:
    """The task's body; 0 where the plant was caught and nothing else, 1 where it was not, or something else was.

    Raises BadArgument, NoDemo.
    """
    if not 1 <= devices <= 64:
        raise BadArgument(f"{devices} devices can't be", where="--devices", remedy="give 1 to 64")
    here = Project.here()
    folder = here.state / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    project = Project(folder / "project", folder / "state", here.cache, here.data)
    try:
        with open_farm(folder / "devices", devices) as farm:
            farm.declare(project.root)
            print(f"{devices} devices are up, in {here.shown(folder)}", flush=True)
            nights, quiet = run_nights(project, farm.target, devices, typed_in(project))
    except (FileNotFoundError, ModuleNotFoundError) as error:
        raise NoDemo(
            str(error), where="./inv farm.demo", remedy="install it, then run the same command again"
        ) from error
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        raise NoDemo(
            f"The farm did not come up: {error}", where=str(folder), remedy="run the same command again"
        ) from error
    typed_in(project)("dashboard", *([] if open_page else ["--no-open"]))
    wrong = problems(nights, quiet)
    print()
    for line in wrong:
        print(f"  {line}")
    print("  the plant was caught, and nothing else" if not wrong else "  this is not what was planted", flush=True)
    return NOT_CAUGHT if wrong else CAUGHT


def run_nights(project: Project, target: str, devices: int, typed: Typed) -> tuple[list[Night], int]:
    """All the nights, and how many of them were before the plant.

    A quiet night that could not measure everything (this machine was too busy) doesn't count, up to as many again.
    """
    write_model(project, STEADY)
    write_model(project, PLANTED)
    words = ["nightly", "--models", f"{STEADY},{PLANTED}", "--targets", target]
    words += ["--junit", str(project.state / JUNIT), "--markdown", str(project.state / MARKDOWN)]
    # They wait for their accelerators most of the time; their processes' starts need real cores.
    words += ["--parallel", str(min(devices, 2 * (os.cpu_count() or 1)))]
    nights: list[Night] = []

    def night(title: str) -> Night:
        print(f"\n{title}\n$ ./inv {' '.join(words)}", flush=True)
        typed(*words)
        found = newest(project.state, on_stderr)
        if found is None or found.finished is None or (nights and found.id == nights[-1].id):
            raise NoDemo(
                "The night did not come to its end.", where=str(project.state), remedy="read what it said above"
            )
        nights.append(found)
        return found

    whole = 0
    while whole < LEAST and len(nights) < 2 * LEAST:
        whole += night(f"A quiet night, {len(nights) + 1}").status == 0
    quiet = len(nights)
    write_model(project, PLANTED, _MORE)
    for number in range(MOST_PLANTED):
        night(f"Night {number + 1} after {PLANTED}.py was given {_MORE} layers for {_LAYERS}")
        if not uncaught(nights[-1]):
            break
    return nights, quiet


def problems(nights: Sequence[Night], quiet: int) -> list[str]:
    """What was reported and was not planted, and what was planted and not reported; empty where all is as it should be.

    quiet: how many of the nights were before the plant.
    """
    found = []
    for number, night in enumerate(nights):
        for verdict in regressions(night):
            key = verdict["key"]
            if number < quiet or key["model"] != PLANTED:
                found.append(f"reported in night {number + 1}, and nothing was planted there: {_named(verdict)}")
            elif blamed(verdict) != "model":
                found.append(f"blamed on {blamed(verdict) or 'nothing'}: {_named(verdict)}")
    found += [f"not reported: {PLANTED} is slower on {device}" for device in uncaught(nights[-1])]
    if nights[-1].status != 1:
        found.append(f"the last night's exit status is {nights[-1].status}, not 1")
    return found


def uncaught(night: Night) -> list[str]:
    """Devices on which this night does not say that the planted model is slower."""
    caught = {
        one["key"]["device"]
        for one in regressions(night)
        if one["metric"] == "latency" and one["key"]["model"] == PLANTED
    }
    return [device.name for device in night.devices if device.name not in caught]


def regressions(night: Night) -> list[dict[str, Any]]:
    """The verdicts that make a night's status 1."""
    return [night.verdicts[place] for place in night.regressions]


def _named(verdict: Mapping[str, Any]) -> str:
    key = verdict["key"]
    return f"{key['model']} {key['variant']} on {key['device']}, {verdict['metric']}: {verdict['reason']}"


def write_model(project: Project, name: str, layers: int = _LAYERS) -> None:
    """A recipe of the demo's project, and the network beside it."""
    write_atomically(project.root / "models" / f"{name}.py", _NETWORK.format(layers=layers).encode())
    write_atomically(project.root / "models" / f"{name}.toml", _RECIPE.format(name=name).encode())


def typed_in(project: Project) -> Typed:
    """Tasks typed in another project, each in a process of its own."""
    checkout = Path(__file__).parents[1]
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_THE_DEMOS}
    environment |= {"EDGEWRIGHT_ROOT": str(project.root), "EDGEWRIGHT_STATE": str(project.state)}
    environment |= {"EDGEWRIGHT_CACHE": str(project.cache), "OMP_NUM_THREADS": "1"}
    if project.data is not None:
        environment["EDGEWRIGHT_DATA"] = str(project.data.resolve())

    def typed(*words: str) -> int:
        command = [sys.executable, "-m", "edgewright.program", "--search-root", str(checkout), *words]
        # Where -m looks first: no folder of a person's comes before our packages.
        return subprocess.run(command, env=environment, cwd=checkout, check=False).returncode

    return typed
