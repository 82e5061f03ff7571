"""Tasks that make models: deploy, shrink, build and what looks into them."""

from __future__ import annotations

from invoke import Context, Exit, task

from tasks.plainly import INVALID_REPORT, NOTHING_HOLDS, end_if_invalid, plainly


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
    end_if_invalid([] if outcome["valid"] else outcome["problems"])
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


@task
@plainly
def models(c: Context) -> None:
    """Show the recipes there are."""
    from pipeline import commands

    commands.models()


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
