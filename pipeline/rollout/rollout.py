"""`rollout`: a release onto devices over the air, the canary first, then waves; halted by the first that fails."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_agents.agent.releases import Refused, name_of
from device_agents.bundle import Manifest
from device_agents.errors import WrongTarget
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.report import new_id, now
from device_agents.farm.rollout import record as records
from device_agents.farm.rollout.endings import no_rollout_by_adb
from device_agents.farm.rollout.record import DeviceRollout, Record, Rollout, Status
from device_agents.farm.rollout.shipment import Shipment
from device_agents.farm.rollout.waves import DEFAULT, waves
from edgewright.errors import BadArgument, EdgewrightError
from edgewright.files import sha256_file
from pipeline.keeping import take_up
from pipeline.project import Project
from pipeline.reach import entry_named
from pipeline.release import manifest as manifests
from pipeline.release.keys import trusted_keys
from pipeline.release.manifest import ReleaseManifest
from pipeline.release.signing import SUMS
from pipeline.release.verify import BUNDLE, verify
from pipeline.rollout.rolling import UnderWay
from pipeline.rollout.trials import Tryout
from targets.schema import read_target

STATUSES: dict[Status, int] = {"done": 0, "halted": 1, "incomplete": 2, "stopped": 130}
"""Exit statuses: incomplete means that devices could not be asked, and nothing was found against the release."""
_SHOWN = 5
_MOST_S = 3600.0


class NotVerified(EdgewrightError):
    """The release folder is not what its owner signed: it goes to no device."""


@dataclass(frozen=True)
class Asked:
    """What was typed. release, canary: None where left out; devices: names; slower: a share; budget_s: for each
    device's timing, both None for what the rollout began with; parallel: devices at once within a wave; trust: a file
    of public keys, None for the user's own."""

    release: str | None = None
    devices: Sequence[str] = ()
    canary: str | None = None
    waves: str = DEFAULT
    resume: bool = False
    slower: float | None = None
    budget_s: float | None = None
    parallel: int = 4
    trust: str | None = None


def typed(
    release: str,
    devices: str,
    canary: str,
    waves_: str,
    resume: bool,
    slower: str,
    budget: str,
    parallel: int,
    trust: str,
) -> Asked:
    """What the task's words mean, "" for what was left out. devices: names with commas between; slower: a share as 5%;
    budget: seconds.

    Raises BadArgument.
    """
    share = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,3})?) ?%", slower.strip())
    if slower and share is None:
        raise BadArgument(f"{slower!r} is no share", where="--slower", remedy="write it so: --slower 5%")
    seconds = re.fullmatch(r"[0-9]{1,4}(?:\.[0-9]{1,3})?", budget.strip())
    if budget and (seconds is None or not 0 < float(budget) <= _MOST_S):
        raise BadArgument(f"{budget!r} seconds is no budget", where="--budget", remedy="give seconds: --budget 30")
    if parallel < 1:
        raise BadArgument(f"{parallel} devices at once are none", where="--parallel", remedy="give one or more")
    return Asked(
        release=release or None,
        devices=[name.strip() for name in devices.split(",") if name.strip()],
        canary=canary or None,
        waves=waves_ or DEFAULT,
        resume=resume,
        slower=float(share.group(1)) / 100 if share else None,
        budget_s=float(budget) if budget else None,
        parallel=parallel,
        trust=trust or None,
    )


def rollout(asked: Asked, as_json: bool = False) -> int:
    """The task's body; the exit status. Raises EdgewrightError where nothing was begun."""
    project = Project.here()
    take_up(project)
    if asked.resume and (asked.devices or asked.canary or asked.waves != DEFAULT):
        raise BadArgument(
            "A rollout that is gone on with has its devices and waves already",
            where="--resume",
            remedy="leave --devices, --canary and --waves out; or leave --resume out, to begin another rollout",
        )
    before = _unfinished(project, asked) if asked.resume else None
    if asked.release is None and before is None:
        raise BadArgument("No release was named", where="--release", remedy="./inv rollout --release releases/NAME ...")
    folder = Path(asked.release).expanduser() if asked.release else _where_it_was(before)
    shipment, told = verified(folder, asked.trust)
    if before is not None and before.release.digest != shipment.digest:
        raise BadArgument(
            "The release is another one than when the rollout began.",
            where=str(folder),
            remedy=f"begin anew: ./inv rollout --release {folder} --devices {','.join(before.devices)}",
        )
    order = before.waves if before is not None else waves(asked.devices, asked.waves, asked.canary)
    entries = {name: _entry(name, told.target) for wave in order for name in wave}
    begun = before or _new(shipment, told, order)
    slower = begun.slower if asked.slower is None else asked.slower
    budget_s = begun.budget_s if asked.budget_s is None else asked.budget_s
    # Also of one that is gone on with: where its devices stand, they say themselves.
    fresh: dict[str, Any] = {
        "status": "running",
        "finished": None,
        "release": begun.release.model_copy(update={"path": str(shipment.folder.resolve())}),
        "slower": slower,
        "budget_s": budget_s,
        "devices": {name: DeviceRollout() for name in entries},
    }
    tryout = Tryout(project, read_target(told.target, project.root), shipment, told.devices, slower, budget_s)
    with records.alone(project.state, begun.id):
        record = Record(project.state, begun.model_copy(update=fresh))
        ended = UnderWay(record, entries, tryout, asked.parallel, to_stderr=as_json).run()
    if as_json:
        print(json.dumps(ended.written(), indent=2, sort_keys=True))
    return STATUSES[ended.status]


def verified(folder: Path, trust: str | None) -> tuple[Shipment, ReleaseManifest]:
    """A release that is what its owner signed, and its manifest. Raises NotVerified, NoRelease, and what trusted_keys
    raises."""
    findings = verify(folder, trusted_keys(trust))
    if findings:
        more = f", and {len(findings) - _SHOWN} more" if len(findings) > _SHOWN else ""
        raise NotVerified(
            f"This release is not what was signed: {'; '.join(map(str, findings[:_SHOWN]))}{more}.",
            where=str(folder),
            remedy=f"./inv release.verify {folder}   (make it again: ./inv release)",
        )
    told = manifests.read(folder)
    bundle = Manifest.model_validate_json((folder / BUNDLE).read_bytes())
    # Where a packager has added to the model file, that is the file which a device loads.
    shipped = bundle.model_copy(update={"sha256": told.model_file.sha256, "bytes": told.model_file.bytes})
    shipment = Shipment(folder.absolute(), told.version, sha256_file(folder / SUMS), shipped)
    try:
        name_of(shipment.version, shipment.digest)
    except Refused as refused:
        raise NotVerified(
            f"No device can take it: {refused}.", where=str(folder), remedy=f"./inv release.verify {folder}"
        ) from refused
    return shipment, told


def _unfinished(project: Project, asked: Asked) -> Rollout:
    digest = None
    if asked.release is not None:
        with suppress(OSError):
            digest = sha256_file(Path(asked.release).expanduser() / SUMS)
    return records.unfinished(project.state, digest)


def _where_it_was(before: Rollout | None) -> Path:
    """The release's folder when the rollout began. Raises BadArgument where there is no such rollout, or no folder."""
    assert before is not None
    folder = Path(before.release.path)
    if not folder.is_dir():
        raise BadArgument(
            "The release is no longer where it was when the rollout began",
            where=str(folder),
            remedy="say where it is now: ./inv rollout --resume --release DIR",
        )
    return folder


def _new(shipment: Shipment, told: ReleaseManifest, order: list[list[str]]) -> Rollout:
    started = now()
    return Rollout(
        schema="edgewright-rollout/1",
        id=new_id(started, told.model, told.target),
        started=started,
        release=records.Release(
            path=str(shipment.folder.resolve()),
            digest=shipment.digest,
            model=told.model,
            target=told.target,
            version=told.version,
        ),
        waves=order,
        devices={name: DeviceRollout() for wave in order for name in wave},
    )


def _entry(name: str, target: str) -> DeviceEntry:
    """Raises UnknownDevice, WrongTarget, NoRolloutThere."""
    entry = entry_named(name)
    if entry.kind == "adb":
        raise no_rollout_by_adb(entry)
    if entry.target != target:
        raise WrongTarget(
            f"{name} is a {entry.target}, and the release is for a {target}.",
            where=f"devices.{name}.target",
            remedy="name devices of that kind; ./inv devices lists them",
        )
    return entry
