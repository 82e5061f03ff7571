"""Tasks that measure finished bundles, and Edgewright itself."""

from __future__ import annotations

from invoke import Context, Exit, task

from tasks.plainly import end_if_invalid, plainly


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
    end_if_invalid([problem for report in reports if not report.valid for problem in report.problems])


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
        "max_kb": "search 1 point once more for a file of so many kB; default resnet20: 58, 0: don't",
        "out": "folder for the page, the JSON and the rows; default: .edgewright/bench/compression-full",
        "doc": "tell it in this document, e.g. docs/compression.md; keeps JSON beside it",
        "resume": "take the rows that a run which was cut off has left",
        "uncut": "no networks that peers cut: training them takes longest",
    },
)
def bench_compression(
    c: Context,
    quick: bool = False,
    model: str = "",
    floors: str = "",
    seeds: int = 0,
    budget: str = "",
    max_kb: str = "",
    out: str = "",
    doc: str = "",
    resume: bool = False,
    uncut: bool = False,
) -> None:
    """Hold our search against onnxruntime, Torch-Pruning and NNCF in one run: table, JSON and a page with plots."""
    from edgewright.checks import run_bench

    given = {"--model": model, "--floors": floors, "--seeds": seeds, "--budget": budget, "--max-kb": max_kb}
    given |= {"--out": out, "--doc": doc}
    words = [word for name, value in given.items() if value for word in (name, str(value))]
    if status := run_bench("compression", [*["--quick"] * quick, *["--resume"] * resume, *["--uncut"] * uncut, *words]):
        raise Exit(code=status)


@task(name="coverage", help={"out": "write the page here as well, e.g. docs/coverage.md", "only": "one network"})
def bench_coverage(c: Context, out: str = "", only: str = "") -> None:
    """Prune every network of the zoo by every criterion: what is cut, left alone with the reason, or refused."""
    from edgewright.checks import run_bench

    given = {"--out": out, "--only": only}
    if status := run_bench("coverage", [word for name, value in given.items() if value for word in (name, value)]):
        raise Exit(code=status)


@task(
    name="night",
    help={
        "quick": "few devices and nights, for CI: shows that everything runs",
        "only": "boards, simulated or pages; the others stay as --out holds them",
        "call_ms": "what a call takes on a board; default 60",
        "out": "folder for bench.json and bench.md; default: .edgewright/bench/night-full",
        "doc": "write the Markdown here as well, e.g. docs/night.md",
    },
)
@plainly
def bench_night(
    c: Context, quick: bool = False, only: str = "", call_ms: str = "", out: str = "", doc: str = ""
) -> None:
    """Measure what a night costs: devices side by side, a thousand simulated ones, the dashboard of a year."""
    from edgewright.checks import run_bench

    given = {"--only": only, "--call-ms": call_ms, "--out": out, "--doc": doc}
    words = [word for name, value in given.items() if value for word in (name, value)]
    if status := run_bench("night", [*["--quick"] * quick, *words]):
        raise Exit(code=status)


@task(name="parity", help={"out": "write the page here as well, e.g. docs/parity.md", "only": "one model"})
def bench_parity(c: Context, out: str = "", only: str = "") -> None:
    """Compare every shipped model's answers: torch, ONNX and TFLite, on x86-64 and on emulated arm64 and armhf."""
    from edgewright.checks import run_bench

    given = {"--out": out, "--only": only}
    if status := run_bench("parity", [word for name, value in given.items() if value for word in (name, value)]):
        raise Exit(code=status)
