"""A farm that never was, in a ledger of its own: reports of the real shape, small, night after night, with changes at
known nights. `python -m tests.device_agents.farm.dashboard.year` says what the pages of a year cost.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import islice
from pathlib import Path
from typing import Any

from device_agents.farm.dashboard import Built, Source, build
from device_agents.farm.figures import show_bytes
from device_agents.farm.ledger.ledger import Ledger
from device_agents.farm.ledger.points import Key
from device_agents.farm.night.record import DeviceNight, JobNight, Night
from device_agents.farm.report import Report
from device_agents.farm.series import judge
from edgewright.files import sha256_bytes

PURPOSES = ("nightly",)
MODELS = {"resnet8": 0.21, "keywords": 1.4}
"""ms of the first variant on the first device."""
VARIANTS = {"trained": 1.0, "int8": 0.6, "narrow": 0.4, "narrow+int8": 0.25}
_BATCH = 200
_EVENING = datetime(2026, 1, 1, 2, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Farm:
    """What is simulated: variants of each of MODELS on every device. slower: from the night this many before the last,
    resnet8's int8 has another bundle that takes 8 % longer everywhere; warm: from that night on the second device's
    kernel is another and all of it is 5 % slower, the canary too; None for neither."""

    nights: int = 30
    devices: int = 3
    variants: int = 2
    slower: int | None = 5
    warm: int | None = None
    processes: int = 2
    rounds: int = 3
    samples: int = 12
    seed: int = 0

    @property
    def names(self) -> list[str]:
        """The devices' names."""
        return [f"pi-{number}" for number in range(1, self.devices + 1)]


def fill(ledger: Ledger, farm: Farm) -> int:
    """Files all reports of the farm, many at a time. Returns how many."""
    made = reports(farm)
    count = 0
    while batch := list(islice(made, _BATCH)):
        count += ledger.append_all(batch)
    return count


def reports(farm: Farm) -> Iterator[Report]:
    """Every report in the order in which it was taken."""
    rng = random.Random(farm.seed)
    for night in range(farm.nights):
        for device in range(farm.devices):
            for model in MODELS:
                yield report(farm, night, device, model, rng)


def report(farm: Farm, night: int, device: int, model: str, rng: random.Random) -> Report:
    """One night's report of one model on one device."""
    started = _EVENING + timedelta(days=night, minutes=device)
    warm = farm.warm is not None and device == 1 and night >= farm.nights - farm.warm
    pace = (1 + 0.15 * device) * (1.05 if warm else 1.0)
    names = list(VARIANTS)[: farm.variants]
    bundles = {name: _bundle(farm, night, model, name) for name in names}
    return Report(
        id=f"{started:%Y%m%dT%H%M%SZ}-{model}-{farm.names[device]}",
        started=f"{started:%Y-%m-%dT%H:%M:%SZ}",
        finished=f"{started + timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}",
        model=model,
        target="raspberry-pi",
        device={"name": farm.names[device], "identity": f"board-{device}", "stand_in": False, "emulated": False},
        valid=True,
        problems=[],
        warnings=[],
        agent={"version": "0.1.0", "sha256": "ab" * 32},
        runtime={"name": "onnxruntime", "version": "1.31.1", "numpy": "2.4.6"},
        facts={"machine": "aarch64", "kernel": "6.2" if warm else "6.1", "os": "Debian 12", "boot_id": f"boot-{night}"},
        state_before={"governor": "performance", "temperature_c": round(45 + rng.gauss(0, 2), 1)},
        state_after={"governor": "performance", "temperature_c": round(52 + rng.gauss(0, 2), 1)},
        job={
            "processes": farm.processes,
            "blocks": farm.rounds,
            "variants": [
                {
                    "name": name,
                    "bundle": {"digest": bundles[name], "path": "/b", "bytes": int(80_000 * VARIANTS[name])},
                    "format": "onnx",
                    "runtime": "onnxruntime",
                    "precision": "int8" if "int8" in name else "float32",
                }
                for name in names
            ],
        },
        results=[_result(farm, name, bundles[name], _ms(farm, night, model, name) * pace, rng) for name in names],
        canary=[{"process": 0, "round": turn, "when": "after", "ns": int(5e6 * pace)} for turn in range(farm.rounds)],
        purpose="nightly",
        commit=f"{night:040x}",
        canary_model=_result(farm, "(canary)", "cc" * 32, 0.5 * pace, rng) | {"accuracy": None},
    )


def _is_slower(farm: Farm, night: int, model: str, name: str) -> bool:
    return farm.slower is not None and night >= farm.nights - farm.slower and (model, name) == ("resnet8", "int8")


def _ms(farm: Farm, night: int, model: str, name: str) -> float:
    return MODELS[model] * VARIANTS[name] * (1.08 if _is_slower(farm, night, model, name) else 1.0)


def _bundle(farm: Farm, night: int, model: str, name: str) -> str:
    return sha256_bytes(f"{model} {name} {_is_slower(farm, night, model, name)}".encode())


def _result(farm: Farm, name: str, bundle: str, ms: float, rng: random.Random) -> dict[str, Any]:
    level = ms * 1e6 * (1 + rng.gauss(0, 0.003))
    blocks = [
        {
            "process": process,
            "round": turn,
            "position": turn % 2,
            "samples_ns": [int(level * (1 + abs(rng.gauss(0, 0.02)))) for _ in range(farm.samples)],
            "batch": 1,
            "attempt": 0,
            "canary_ratio": round(1 + abs(rng.gauss(0, 0.01)), 3),
            "others_cpu_share": round(rng.random() * 0.05, 3),
        }
        for process in range(farm.processes)
        for turn in range(farm.rounds)
    ]
    return {
        "name": name,
        "bundle": bundle,
        "runtime": {"name": "onnxruntime", "version": "1.31.1", "numpy": "2.4.6"},
        "loads": [{"process": 0, "load_ns": int(1e7 * (1 + rng.gauss(0, 0.02))), "first_ns": int(2 * level)}],
        "blocks": blocks,
        "redone": [],
        "peaks": [40 << 20],
        "peak_bytes": (40 << 20) + 4096 * rng.randint(0, 20),
        "accuracy": {"name": "top-1", "value": 0.93, "n": 1000, "outputs_sha256": sha256_bytes(bundle.encode())},
        "energy": [],
        "energy_mj": None,
        "error": None,
    }


def night(ledger: Ledger, farm: Farm, **fields: Any) -> Night:
    """The record of the farm's last night, with the verdicts that the ledger gives; `fields` replace its own."""
    found = judge(ledger.series(purposes=PURPOSES))
    started = _EVENING + timedelta(days=farm.nights - 1)
    jobs = tuple(
        JobNight(id=f"{model}-{name}", device=name, target="raspberry-pi", model=model, state="measured", attempts=1)
        for name in farm.names
        for model in MODELS
    )
    content: dict[str, Any] = {
        "id": f"{started:%Y%m%dT%H%M%SZ}",
        "started": f"{started:%Y-%m-%dT%H:%M:%SZ}",
        "finished": f"{started + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
        "commit": "f" * 40,
        "host": "build-1",
        "devices": tuple(
            DeviceNight(name=name, target="raspberry-pi", jobs=2, measured=2, seconds_busy=120.0) for name in farm.names
        ),
        "jobs": jobs,
        "verdicts": tuple(one.to_json() for one in found),
        "regressions": tuple(place for place, one in enumerate(found) if one.worse and one.blamed != "device"),
    }
    content["status"] = 1 if content["regressions"] else 0
    return Night(**content | fields)


def pages(ledger: Ledger, out: Path, *nights: Night) -> Built:
    """The dashboard of a ledger; no bench has left anything."""
    return build(Source(ledger, nights, PURPOSES, out / "no-bench"), out)


def series_key(model: str = "resnet8", variant: str = "int8", device: str = "pi-1") -> Key:
    """The key of a series of the farm."""
    precision = "int8" if "int8" in variant else "float32"
    return Key(model, variant, "raspberry-pi", device, "onnxruntime", precision)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(arguments: list[str]) -> int:
    """Fills a ledger, writes its pages from nothing and after one more night, and prints what each took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=365)
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--samples", type=int, default=12, help="of each of 6 blocks")
    parser.add_argument("--keep", type=Path, help="leave the ledger and the pages in this new folder")
    given = parser.parse_args(arguments)
    farm = Farm(nights=given.nights, devices=given.devices, variants=4, warm=given.nights // 2, samples=given.samples)
    with tempfile.TemporaryDirectory() as temporary:
        state = given.keep or Path(temporary)
        state.mkdir(exist_ok=True)
        out = state / "dashboard"
        with Ledger.open(None, state) as ledger:
            began = time.perf_counter()
            count = fill(ledger, farm)
            print(f"{count:,} reports of {farm.variants} variants filed in {time.perf_counter() - began:.1f} s")
            last = night(ledger, farm)
            for label in ("from nothing", "again, nothing new"):
                began = time.perf_counter()
                built = pages(ledger, out, last)
                print(
                    f"{label}: {time.perf_counter() - began:.1f} s, {built.reports} report pages, {built.pages} others"
                )
        print(f"ledger {show_bytes((state / 'ledger.sqlite').stat().st_size)}, dashboard {show_bytes(_size(out))}")
        for part in ("reports", "samples", "series", "months"):
            files = sorted((path.stat().st_size for path in (out / part).iterdir()), reverse=True)
            print(f"  {part:<8} {len(files):>6} files, {show_bytes(sum(files))}, the largest {show_bytes(files[0])}")
        print(f"  index    {show_bytes((out / 'index.html').stat().st_size)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
