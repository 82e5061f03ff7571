"""Tasks that hold bundles against each other, and look into the ledger."""

from __future__ import annotations

from invoke import Context, Exit, task

from tasks.plainly import NOTHING_HOLDS, UNDECIDED, end_if_invalid, plainly


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
    end_if_invalid([] if found.report.valid else found.report.problems)
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
    end_if_invalid(found.problems)
    if found.verdict == "undecided":
        raise Exit(code=UNDECIDED)
    if found.first_bad is None:
        raise Exit(code=NOTHING_HOLDS)


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
