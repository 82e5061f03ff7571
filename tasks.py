"""What a person types. Every task is a few lines: what does the work is imported when it runs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from invoke import Collection, Context, Exit, task

F = TypeVar("F", bound=Callable[..., Any])

NOTHING_HOLDS = 3
INVALID_REPORT = 4
UNDECIDED = 5


def plainly(body: F) -> F:
    """Expected failures end in their message and a non-zero exit status, never in a traceback."""

    @functools.wraps(body)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from edgewright.errors import EdgewrightError

        try:
            return body(*args, **kwargs)
        except EdgewrightError as error:
            # What a device or a file said may stand in it: no escape code of theirs reaches the terminal.
            said = "".join(one if one.isprintable() or one == "\n" else "?" for one in str(error))
            raise Exit(f"error: {said}", code=error.exit_status) from None

    return wrapped  # type: ignore[return-value]


@task(
    help={
        "target": "kind of device; ./inv targets shows them",
        "model": "name of a recipe, or the path of one; ./inv models shows them",
        "device": "name in farm.toml; default: the first of the target's kind, else this machine stands in",
        "json": "write the outcome to this file",
        "dry_run": "say which steps would run, and run none",
        "wait": "seconds to wait for a device that is busy",
    }
)
@plainly
def deploy(
    c: Context,
    target: str = "host",
    model: str = "resnet8",
    device: str = "",
    json: str = "",
    dry_run: bool = False,
    wait: float = 0.0,
) -> None:
    """Shrink a model for a target, measure every variant on a device, choose one."""
    from pipeline import commands

    outcome = commands.deploy(model, target, device or None, json or None, dry_run, wait)
    if outcome is None:
        return
    _end_if_invalid([] if outcome["valid"] else outcome["problems"])
    if outcome.get("emulated"):
        if any(variant["verdict"] != "same answers" for variant in outcome["variants"]):
            raise Exit(
                "not every variant gives the same answers there, on what the target asks for", code=NOTHING_HOLDS
            )
    elif outcome["shipped"] is None:
        raise Exit("no variant holds the floor and the limits; nothing is shipped", code=NOTHING_HOLDS)


@task(
    help={
        "model": "name of a recipe, or the path of one; ./inv models shows them",
        "target": "kind of device; ./inv targets shows them",
        "device": "name in farm.toml; default: the first of the target's kind, else this machine stands in",
        "max_drop": "points of the metric that may be lost (1.0 is one point of top-1)",
        "max_ms": "p50 that the device must reach, in ms; 0 is any",
        "max_kb": "size that the model file must reach, in kB; 0 is any",
        "budget": "time for all of it, builds included: 90s, 30m, 2h",
        "seed": "of the search; the same one gives the same plan",
        "json": "write what was found to this file",
        "dry_run": "say what would be done, and do nothing",
    }
)
@plainly
def shrink(
    c: Context,
    model: str = "resnet8",
    target: str = "host",
    device: str = "",
    max_drop: float = 1.0,
    max_ms: float = 0.0,
    max_kb: float = 0.0,
    budget: str = "30m",
    seed: int = 0,
    json: str = "",
    dry_run: bool = False,
) -> None:
    """Search for the fastest small model that keeps the metric, by measurements on the device."""
    from pipeline.search import task as searching

    limits = max_ms or None, max_kb or None
    status = searching.shrink(model, target, device or None, max_drop, *limits, budget, seed, json or None, dry_run)
    if status == searching.INVALID:
        raise Exit("the report is invalid; type the same again to measure again", code=INVALID_REPORT)
    if status:
        raise Exit("the constraints are not met; shown is the best that was found", code=NOTHING_HOLDS)


def _end_if_invalid(problems: list[str]) -> None:
    if problems:
        raise Exit("the report is invalid: " + "; ".join(problems), code=INVALID_REPORT)


@task(
    positional=["a", "b"],
    help={
        "a": "what B is held against: a bundle's folder, the first digits of its digest, or accepted, the reference",
        "b": "likewise",
        "device": "name in farm.toml, or host for this machine; default: the first of the bundles' target",
        "data": ".npz with x and y for the accuracy; default: the recipe's evaluation samples, where they were built",
        "budget": "seconds after which an answer that isn't clear stays undecided",
        "anyway": "measure also on a device in a bad state (hot, throttled, busy): an invalid report with figures",
        "json": "write the comparison to this file",
    },
)
@plainly
def compare(
    c: Context,
    a: str,
    b: str,
    device: str = "",
    data: str = "",
    budget: float = 60.0,
    anyway: bool = False,
    json: str = "",
) -> None:
    """Hold one bundle against another on a device, in one session: faster, slower, the same, or undecided."""
    from pipeline import compare as comparing

    found = comparing.compare(a, b, device or None, data or None, budget, anyway, json or None)
    _end_if_invalid([] if found.report.valid else found.report.problems)
    if found.verdict == "worse":
        raise Exit("B is worse than A", code=NOTHING_HOLDS)
    if found.verdict == "undecided":
        raise Exit("undecided: give it more time (--budget)", code=UNDECIDED)


@task(
    positional=["bundle"],
    help={
        "bundle": "its folder, or the first digits of its digest",
        "note": "why, for those who read it later",
        "unmeasured": "also where no valid report says how it did on a device",
    },
)
@plainly
def accept(c: Context, bundle: str, note: str = "", unmeasured: bool = False) -> None:
    """Make a bundle the reference of its model and target, which later ones are held against."""
    from pipeline import ledger

    ledger.accept(bundle, note, unmeasured)


@task(
    name="list",
    default=True,
    help={
        "model": "only this recipe's",
        "target": "only this kind of device's",
        "device": "only this device's",
        "limit": "how many of the newest; 0 for all",
        "json": "print JSON",
    },
)
@plainly
def ledger_list(
    c: Context, model: str = "", target: str = "", device: str = "", limit: int = 20, json: bool = False
) -> None:
    """Show the reports that were ever made."""
    from pipeline import ledger

    ledger.show_list(model or None, target or None, device or None, limit, json)


@task(name="show", positional=["report"], help={"report": "its id; ./inv ledger lists them", "json": "print JSON"})
@plainly
def ledger_show(c: Context, report: str, json: bool = False) -> None:
    """Show one report's figures; as JSON, with every raw sample."""
    from pipeline import ledger

    ledger.show(report, json)


@task(
    name="verdicts",
    help={
        "model": "only this recipe's",
        "target": "only this kind of device's",
        "device": "only this device's",
        "all": "also series that are the same as ever",
        "json": "print JSON",
    },
)
@plainly
def ledger_verdicts(
    c: Context, model: str = "", target: str = "", device: str = "", all: bool = False, json: bool = False
) -> None:
    """Judge every series over its nights: what changed, when, by how much, and what is to blame."""
    from pipeline import nights

    if nights.verdicts(model or None, target or None, device or None, all, json):
        raise Exit(code=NOTHING_HOLDS)


@task(name="export", help={"out": "FILE.jsonl, or FILE.parquet (needs ./inv setup parquet)"})
@plainly
def ledger_export(c: Context, out: str) -> None:
    """Write the whole ledger into a file."""
    from pipeline import ledger

    ledger.export(out)


@task(name="import", positional=["file"], help={"file": "what ledger.export wrote"})
@plainly
def ledger_import(c: Context, file: str) -> None:
    """File every report of an exported file, or none."""
    from pipeline import ledger

    ledger.import_(file)


@task(
    positional=["model"],
    help={
        "model": "recipe; ./inv models shows them",
        "target": "kind of device",
        "variant": "which variant's bundle: trained, narrow+int8 ...",
        "good": "the last known good: a commit (with --commits), else a bundle; default: the accepted one",
        "bad": "the first known bad; default: HEAD, else the newest bundle in the ledger",
        "commits": "walk git commits and build at each, instead of the bundles that the ledger has",
        "device": "name in farm.toml, or host for this machine",
        "budget": "seconds of each comparison",
        "anyway": "measure also on a device in a bad state, and go by its invalid reports",
        "json": "write what was found to this file, also where it is cut off",
    },
)
@plainly
def bisect(
    c: Context,
    model: str,
    target: str = "host",
    variant: str = "",
    good: str = "",
    bad: str = "",
    commits: bool = False,
    device: str = "",
    budget: float = 60.0,
    anyway: bool = False,
    json: str = "",
) -> None:
    """Find the bundle, or the commit, with which a model got worse on a device."""
    from pipeline import bisect as bisecting
    from pipeline.history import Question

    found = bisecting.bisect(
        Question(model, target, variant or None, good or None, bad or None, commits, device or None, budget, anyway),
        json or None,
    )
    _end_if_invalid(found.problems)
    if found.verdict == "undecided":
        raise Exit(code=UNDECIDED)
    if found.first_bad is None:
        raise Exit(code=NOTHING_HOLDS)


@task(
    help={
        "target": "kind of device",
        "model": "recipe",
        "dry_run": "only say which steps would run",
        "json": "write each variant's bundle, digest and folder, to this file",
    }
)
@plainly
def build(c: Context, target: str = "host", model: str = "resnet8", dry_run: bool = False, json: str = "") -> None:
    """Make every variant's bundle, without a device."""
    from pipeline import commands

    commands.build(model, target, dry_run, json or None)


@task(help={"model": "recipe", "out": "where to write the weights; default: .edgewright/trained/MODEL.safetensors"})
@plainly
def train(c: Context, model: str = "resnet8", out: str = "") -> None:
    """Train a model from nothing (resumes where it was cut off) and write its weights."""
    from pipeline import commands

    commands.train(model, out or None)


@task(help={"target": "kind of device", "model": "recipe"})
@plainly
def explain(c: Context, target: str = "host", model: str = "resnet8") -> None:
    """Show which steps would run and what changed since they last ran."""
    from pipeline import commands

    commands.explain(model, target)


@task
@plainly
def models(c: Context) -> None:
    """Show the recipes there are."""
    from pipeline import commands

    commands.models()


@task(name="list", default=True)
@plainly
def targets_list(c: Context) -> None:
    """Show the kinds of device there are."""
    from pipeline import commands

    commands.targets()


@task(name="check", positional=["file"], help={"file": "a target file of your own, or the name of one"})
@plainly
def targets_check(c: Context, file: str) -> None:
    """Read a target file and say what it comes to, or what is wrong in it."""
    from pipeline import commands

    commands.check_target(file)


@task(name="list", default=True)
@plainly
def store_list(c: Context) -> None:
    """Show what is in the store."""
    from pipeline import upkeep

    upkeep.store_list()


@task(name="verify", help={"remove": "drop what is damaged, so that it is made anew"})
@plainly
def store_verify(c: Context, remove: bool = False) -> None:
    """Read every artifact and compare it with its digest."""
    from pipeline import upkeep

    upkeep.store_verify(remove)


@task(name="gc", help={"budget": "what may stay, e.g. 500M or 2G"})
@plainly
def store_gc(c: Context, budget: str = "2G") -> None:
    """Drop what was used longest ago until the store fits the budget."""
    from pipeline import upkeep

    upkeep.store_gc(budget)


@task(name="list", default=True)
@plainly
def devices_list(c: Context) -> None:
    """Show the devices of farm.toml."""
    from pipeline import devices

    devices.show()


@task(name="probe", positional=["name"], help={"name": "device in farm.toml; host: this machine", "json": "print JSON"})
@plainly
def devices_probe(c: Context, name: str, json: bool = False) -> None:
    """Show what a device is and how it is now."""
    from pipeline import devices

    devices.probe(name, json)


@task(
    name="setup",
    positional=["name"],
    help={"name": "device in farm.toml; host: this machine", "undo": "remove all that Edgewright has put there"},
)
@plainly
def devices_setup(c: Context, name: str, undo: bool = False) -> None:
    """Put the agent and the target's runtimes on a device, checked there; or take them off again."""
    from pipeline import devices

    devices.setup(name, undo)


@task(
    name="doctor", positional=["name"], help={"name": "device in farm.toml; host: this machine", "json": "print JSON"}
)
@plainly
def devices_doctor(c: Context, name: str, json: bool = False) -> None:
    """Say what would spoil a measurement on a device, and the command that mends it."""
    from pipeline import devices

    if not devices.doctor(name, json):
        raise Exit(code=NOTHING_HOLDS)


@task(
    name="trust",
    positional=["name"],
    help={"yes": "don't ask", "replace": "the device's key has changed, and you know why"},
)
@plainly
def devices_trust(c: Context, name: str, yes: bool = False, replace: bool = False) -> None:
    """Show a device's host key fingerprint and pin it."""
    from pipeline import devices

    devices.trust(name, yes, replace)


@task(
    help={
        "like": "the target that it stands for",
        "farm": "farm file that gets its entry",
        "native": "this machine's own processor behind an SSH server: quick, needs no root, no ARM",
    }
)
@plainly
def double(c: Context, like: str = "raspberry-pi", farm: str = "farm.toml", native: bool = False) -> None:
    """Start a double of a device on the loopback, until Ctrl-C: an emulated ARM board, or a phone by adb."""
    from pipeline import commands

    if status := commands.double(like, farm, native):
        raise Exit(code=status)


@task(
    help={
        "model": "recipe",
        "variant": "which way of shrinking: trained, or a name under [[shrink]]",
        "format": "onnx, ort, tflite, torchscript or pt2",
        "precision": "float32, float16, int8 or dynamic",
        "integer_io": "INT8 TFLite that takes and gives integers",
        "out": "the file to write; its manifest goes beside it",
    }
)
@plainly
def export(
    c: Context,
    model: str = "resnet8",
    variant: str = "trained",
    format: str = "onnx",
    precision: str = "float32",
    integer_io: bool = False,
    out: str = "",
) -> None:
    """Write one variant as a file, checked against the network; no device is asked."""
    from pipeline import commands

    commands.export(model, variant, format, precision, integer_io, out or None)


@task(
    help={
        "all": "also those that take minutes or need a device double",
        "keyword": "pytest's -k",
        "path": "file or folder",
    },
    iterable=["path"],
)
def test(c: Context, all: bool = False, keyword: str = "", path: list[str] | None = None) -> None:
    """Run the tests."""
    from edgewright.checks import run_tests

    if status := run_tests(all, keyword or None, path or ()):
        raise Exit(code=status)


@task
def lint(c: Context) -> None:
    """Check style, types and the direction of the arrows."""
    from edgewright.checks import run_lint

    if status := run_lint():
        raise Exit(code=status)


@task(
    name="measure",
    default=True,
    iterable=["bundle"],
    help={
        "bundle": "a bundle's folder, or the first digits of its digest; any number of them, also without the flag",
        "device": "name in farm.toml, or host for this machine; default: the first of the bundles' target",
        "data": ".npz with x and y for the accuracy; default: the recipe's evaluation samples, where they were built",
        "processes": "fresh processes a bundle",
        "wait": "seconds to wait for a device that is busy",
        "anyway": "measure also on a device in a bad state (hot, throttled, busy): an invalid report with figures",
        "json": "write the reports to this file",
    },
)
@plainly
def bench_measure(
    c: Context,
    bundle: list[str],
    device: str = "",
    data: str = "",
    processes: int = 4,
    wait: float = 0.0,
    anyway: bool = False,
    json: str = "",
) -> None:
    """Measure finished bundles side by side on a device: ./inv bench --device D BUNDLE [BUNDLE ...]"""
    from pipeline import bench

    reports = bench.bench(bundle, device or None, data or None, processes, wait, anyway, json or None)
    _end_if_invalid([problem for report in reports if not report.valid for problem in report.problems])


bench_measure.takes_many = "bundle"


@task(
    name="verdicts",
    help={
        "quick": "few trials, for CI: shows that everything runs",
        "out": "write the page here as well, e.g. docs/verdicts.md",
        "trials": "how many of each kind; default 100",
        "only": "ab or series",
        "resume": "go on from what --out holds of a run that was cut off",
    },
)
def bench_verdicts(
    c: Context, quick: bool = False, out: str = "", trials: int = 0, only: str = "", resume: bool = False
) -> None:
    """Measure the verdicts' error rates: equal and slowed-down models on this machine, and simulated nights."""
    from edgewright.checks import run_bench

    given = {"--out": out, "--trials": trials, "--only": only}
    words = [word for name, value in given.items() if value for word in (name, str(value))]
    if status := run_bench("verdicts", [*["--quick"] * quick, *["--resume"] * resume, *words]):
        raise Exit(code=status)


@task(
    name="pruning",
    help={
        "quick": "one seed and few samples, for CI: shows that everything runs",
        "out": "folder for bench.json, .md and .html; default: .edgewright/bench/pruning-full",
        "seeds": "how many seeds; default 3",
        "only": "one claim, e.g. criteria",
        "jobs": "processes that train at once, of one thread each; default 2",
    },
)
def bench_pruning(
    c: Context, quick: bool = False, out: str = "", seeds: int = 0, only: str = "", jobs: int = 0
) -> None:
    """Try what articles claim of pruning, and Torch-Pruning beside it: table, JSON and a page with plots."""
    from edgewright.checks import run_bench

    given = {"--out": out, "--seeds": seeds, "--only": only, "--jobs": jobs}
    words = [word for name, value in given.items() if value for word in (name, str(value))]
    if status := run_bench("pruning", [*(["--quick"] if quick else []), *words]):
        raise Exit(code=status)


@task(
    name="compression",
    help={
        "quick": "a tiny model and budget, for CI: shows that everything runs",
        "model": "a recipe whose metric is top-1; default resnet20 (quick: digits)",
        "floors": "points of top-1 that ours may lose; default 0.5,1,3",
        "seeds": "how many seeds the search of 1 point has; default 3 for resnet20",
        "budget": "of each search; default 30m",
        "out": "folder for the page, the JSON and the rows; default: .edgewright/bench/compression-full",
        "doc": "write the Markdown here as well, e.g. docs/compression.md",
        "resume": "take the rows that a run which was cut off has left",
    },
)
def bench_compression(
    c: Context,
    quick: bool = False,
    model: str = "",
    floors: str = "",
    seeds: int = 0,
    budget: str = "",
    out: str = "",
    doc: str = "",
    resume: bool = False,
) -> None:
    """Hold our search against onnxruntime, Torch-Pruning and NNCF in one run: table, JSON and a page with plots."""
    from edgewright.checks import run_bench

    given = {"--model": model, "--floors": floors, "--seeds": seeds, "--budget": budget, "--out": out, "--doc": doc}
    words = [word for name, value in given.items() if value for word in (name, str(value))]
    if status := run_bench("compression", [*["--quick"] * quick, *["--resume"] * resume, *words]):
        raise Exit(code=status)


@task(name="coverage", help={"out": "write the page here as well, e.g. docs/coverage.md", "only": "one network"})
def bench_coverage(c: Context, out: str = "", only: str = "") -> None:
    """Prune every network of the zoo by every criterion: what is cut, left alone with the reason, or refused."""
    from edgewright.checks import run_bench

    given = {"--out": out, "--only": only}
    if status := run_bench("coverage", [word for name, value in given.items() if value for word in (name, value)]):
        raise Exit(code=status)


@task(name="parity", help={"out": "write the page here as well, e.g. docs/parity.md", "only": "one model"})
def bench_parity(c: Context, out: str = "", only: str = "") -> None:
    """Compare every shipped model's answers: torch, ONNX and TFLite, on x86-64 and on emulated arm64 and armhf."""
    from edgewright.checks import run_bench

    given = {"--out": out, "--only": only}
    if status := run_bench("parity", [word for name, value in given.items() if value for word in (name, value)]):
        raise Exit(code=status)


@task(
    name="quant",
    positional=["model"],
    help={
        "model": "name of a recipe, or the path of one",
        "target": "kind of device; ./inv targets shows them",
        "variant": "as deploy names it, e.g. int8; default: the first that isn't float",
        "samples": "validation samples to run",
        "in_order": "the layers as the model runs them, in place of the worst first",
        "out": "folder for the page and the JSON",
    },
)
@plainly
def debug_quant(
    c: Context,
    model: str,
    target: str = "host",
    variant: str = "",
    samples: int = 128,
    in_order: bool = False,
    out: str = "",
) -> None:
    """Show where INT8 departs from float: layer, error, histogram."""
    from pipeline import debug

    debug.quant(model, target, variant or None, samples, out or None, in_order)


@task(
    positional=["bundle"],
    help={"bundle": "its folder, or the first digits of its digest", "out": "the package's file, NAME.ewp"},
)
@plainly
def package(c: Context, bundle: str, out: str = "") -> None:
    """Pack a bundle as small as it gets, into one file."""
    from pathlib import Path

    from pipeline.package import package as packing
    from pipeline.project import Project

    print("\n".join(packing(Project.here(), bundle, Path(out) if out else None).lines()))


@task(
    positional=["extra"],
    help={"extra": "text, vision, tflite, postgres, parquet, oracle, bench, build or dev (docs/dependencies.md: why)"},
)
@plainly
def setup(c: Context, extra: str) -> None:
    """Install an extra that some recipes need. (./inv has done so before this runs, which only looks.)"""
    from edgewright.extras import check

    check(extra)
    print(f"{extra}: ready")


_store = Collection("store", store_list, store_verify, store_gc)
_targets = Collection("targets", targets_list, targets_check)
_devices = Collection("devices", devices_list, devices_probe, devices_trust, devices_setup, devices_doctor)
_ledger = Collection("ledger", ledger_list, ledger_show, ledger_verdicts, ledger_export, ledger_import)
_bench = Collection(
    "bench", bench_measure, bench_verdicts, bench_pruning, bench_compression, bench_coverage, bench_parity
)
_debug = Collection("debug", debug_quant)
namespace = Collection(
    deploy,
    shrink,
    compare,
    accept,
    bisect,
    build,
    train,
    explain,
    export,
    package,
    models,
    _targets,
    double,
    test,
    lint,
    setup,
    _store,
    _devices,
    _ledger,
    _bench,
    _debug,
)
