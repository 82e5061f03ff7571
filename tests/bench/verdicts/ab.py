"""The A/B verdict's error rates on real processes: equal models, and models with a known share more work."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from device_agents.bundle import Bundle
from device_agents.farm.canary_model import with_canary
from device_agents.farm.device import Device, open_device
from device_agents.farm.inventory import stand_in
from device_agents.farm.job import Job, JobVariant
from device_agents.farm.paired import percentile
from device_agents.farm.sequential import Looker, Rule
from edgewright.places import cache_folder
from pipeline.measuring import Protocol
from tests.bench.verdicts.load import Load
from tests.bench.verdicts.nets import LAYERS, stack
from tests.bench.verdicts.real import night


@dataclass(frozen=True)
class Kind:
    """One kind of trial. layers: of B beside A's 33; loaded: whether other work runs beside."""

    layers: int
    loaded: bool

    @property
    def more(self) -> float:
        """Share of work that B has more than A."""
        return self.layers / LAYERS - 1

    @property
    def name(self) -> str:
        what = "equal" if not self.more else f"{self.more * 100:+.1f} % work"
        return f"{what}, {'load beside' if self.loaded else 'no load of ours beside'}"


QUIET_EVERY = 4
KINDS = (Kind(LAYERS, False), Kind(LAYERS, True), Kind(LAYERS + 1, False), Kind(LAYERS + 1, True))


def run(
    quick: bool,
    trials: int,
    keep: Callable[[dict[str, Any]], None] = lambda found: None,
    kinds: Sequence[Kind] = KINDS,
    before: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Runs trials of each kind in turn, so that the machine's weather is shared; {"rule", "kinds": [...]}.

    Kinds without load get a quarter of the trials. keep: gets all that is known after each turn. before: what an
    earlier run has kept, to go on from.

    quick: one trial of each kind with load, on a shorter budget, to show that everything runs.
    """
    rule = Rule(budget_s=15.0) if quick else Rule()
    count = 1 if quick else trials
    kinds = [kind for kind in kinds if kind.loaded or not quick]
    kept = {kind["name"]: kind["trials"] for kind in (before or {}).get("kinds", ())}
    found: dict[Kind, list[dict[str, Any]]] = {kind: list(kept.get(kind.name, ())) for kind in kinds}
    done = min((len(trials) for kind, trials in found.items() if kind.loaded), default=0)
    with tempfile.TemporaryDirectory(prefix="edgewright-verdicts-") as folder:
        bundles = {layers: stack(Path(folder, f"b{layers}"), layers) for layers in {LAYERS, *(k.layers for k in kinds)}}
        with open_device(stand_in("host"), state=Path(folder, "state"), cache=cache_folder()) as device:
            for number in range(done, count):
                for kind in kinds if number % QUIET_EVERY == 0 else [kind for kind in kinds if kind.loaded]:
                    with Load(kind.loaded):
                        trial = _trial(device, bundles[LAYERS], bundles[kind.layers], rule)
                    found[kind].append(trial | {"number": sum(map(len, found.values()))})
                    print(f"trial {number + 1} of {count}, {kind.name}: {_line(found[kind][-1])}", flush=True)
                keep(_told(rule, found))
    return _told(rule, found)


def _told(rule: Rule, found: dict[Kind, list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        "rule": vars(rule) | {"confidence": rule.confidence},
        "kinds": [
            {"name": kind.name, "more": kind.more, "loaded": kind.loaded, "trials": trials}
            for kind, trials in found.items()
        ],
    }


def _trial(device: Device, a: Bundle, b: Bundle, rule: Rule) -> dict[str, Any]:
    variants = [JobVariant(name=name, bundle=device.install(bundle.folder)) for name, bundle in (("A", a), ("B", b))]
    # Measured whatever the machine is at: what the verdicts are worth beside other work is the question.
    protocol = Protocol(processes=rule.first, ask=True, memory_passes=1, refuse=False).fields()
    job = Job(model="stack", target="host", purpose="compare", variants=variants, settle_s=0, **protocol)
    job = with_canary(job, device.install)
    looker, began = Looker(rule), time.monotonic()
    report = device.measure(job, looker.heard, looker.more)
    assert looker.ratio is not None, report.problems
    return {
        "said": looker.comparison,
        "change": 1 / looker.ratio.value - 1,
        "low": 1 / looker.ratio.high - 1,
        "high": 1 / looker.ratio.low - 1,
        "pairs": looker.pairs,
        "looks": looker.looked,
        "seconds": time.monotonic() - began,
        "valid": report.valid,
        "problems": report.problems,
        "redone": sum(len(result["redone"]) for result in report.results),
        "others": report.others_cpu_share,
        "night": night(report),
    }


def _line(trial: dict[str, Any]) -> str:
    invalid = "" if trial["valid"] else f", invalid: {'; '.join(trial['problems'])}"
    return (
        f"{trial['said']}, {trial['change'] * 100:+.2f} % [{trial['low'] * 100:+.2f} {trial['high'] * 100:+.2f}], "
        f"{trial['pairs']} pairs, {trial['seconds']:.0f} s{invalid}"
    )


def table(found: dict[str, Any]) -> str:
    """Markdown: a row a kind. A wrong verdict of equal models is a false alarm, of unequal ones `faster` or `same`."""
    rule = found["rule"]
    lines = [
        f"Smallest change that counts {rule['threshold'] * 100:g} %, error {rule['error'] * 100:g} % over at most "
        f"{rule['looks']} looks, budget {rule['budget_s']:g} s.",
        "",
        "| B beside A | trials | slower | same | faster | undecided | interval holds the truth | median change "
        "| seconds, median (p90) | invalid reports |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind in found["kinds"]:
        trials = kind["trials"]
        said = Counter(trial["said"] for trial in trials)
        holds = sum(trial["low"] <= kind["more"] <= trial["high"] for trial in trials)
        seconds = sorted(trial["seconds"] for trial in trials)
        lines.append(
            f"| {kind['name']} | {len(trials)} | {said['slower']} | {said['same']} | {said['faster']} | "
            f"{said['undecided']} | {holds} | {median(trial['change'] for trial in trials) * 100:+.2f} % | "
            f"{median(seconds):.0f} ({percentile(seconds, 0.9):.0f}) | "
            f"{sum(not trial['valid'] for trial in trials)} |"
        )
    return "\n".join(lines)
