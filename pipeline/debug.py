"""The body of debug.quant: where a quantised file departs from its float one, as table, JSON and page."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.errors import BadArgument, EdgewrightError
from edgewright.files import pretty_json, write_atomically
from edgewright.progress import for_stream
from pipeline import data, table
from pipeline.build import Builder
from pipeline.plan import Plan, Variant, make_plan
from pipeline.project import Project
from pipeline.recipe import read_recipe
from pipeline.steps.base import DataSpec, Places
from pipeline.store import Artifact
from targets.schema import read_target

if TYPE_CHECKING:
    from pipeline.quantization.debug import Departure, Pair

SCHEMA = "edgewright-quant/1"
PAGE, JSON = "quant.html", "quant.json"
LINES = 20
"""Rows that the terminal shows; page and JSON have all."""


class NothingQuantised(EdgewrightError):
    """The target has float files alone: there is nothing to hold against them."""


class NoSuchVariant(EdgewrightError):
    """No quantised variant of that name."""


def quant(
    model: str, target: str, variant: str | None, samples: int, out: str | None, in_order: bool = False
) -> dict[str, Any]:
    """Builds a variant's float and quantised files where they are missing, runs both on the first `samples` of the
    validation part and says, layer by layer, where they part; also as JSON and as a page in the folder `out`.

    variant: as deploy names it, default the first quantised one; in_order: the table is in the graph's order, and
    whole, instead of worst first. Returns what the JSON holds. Raises NothingQuantised, NoSuchVariant, BadArgument, and
    what the steps raise; a failed check is no hindrance, since that is when one asks.
    """
    if samples < 1:
        raise BadArgument(f"{samples} samples say nothing", where="--samples", remedy="give 1 or more")
    project = Project.here()
    plan = make_plan(read_recipe(model, project.root), read_target(target, project.root))
    chosen = choose(plan, variant)
    print(f"{plan.recipe.name} > {plan.target.name}     {chosen.name} beside float", flush=True)
    found, told = _compared(project, plan, chosen, samples)
    folder = Path(out) if out else project.state / "debug" / f"{plan.recipe.name}-{plan.target.name}-{chosen.name}"
    outcome = {"schema": SCHEMA, **told, "layers": [dataclasses.asdict(one) for one in found]}
    _write(folder, outcome, told, found)
    for line in lines(found, in_order):
        print(line)
    print(f"  output  {told['output']}, {told['samples']} validation samples")
    print(f"  page    {project.shown(folder / PAGE)} (open it in a browser)")
    print(f"  json    {project.shown(folder / JSON)}")
    return outcome


def choose(plan: Plan, name: str | None) -> Variant:
    """The variant of that name, or the first quantised one. Raises NothingQuantised, NoSuchVariant."""
    known = {one.name: one for one in plan.variants if "quantised" in plan.nodes[one.check].inputs}
    if not known:
        raise NothingQuantised(
            f"{plan.target.name} has float files alone",
            where=f"the target {plan.target.name!r}",
            remedy='add "int8" to the precisions of its runtime, or name another target (./inv targets)',
        )
    if name is None:
        return next(iter(known.values()))
    if name not in known:
        what = "is in float" if any(one.name == name for one in plan.variants) else "is not there"
        raise NoSuchVariant(f"The variant {name!r} {what}", where="--variant", remedy=f"take one of {', '.join(known)}")
    return known[name]


def lines(found: list[Departure], in_order: bool) -> list[str]:
    """The table: worst first and no longer than a screen, or all of it in the graph's order."""
    from pipeline.quantization.debug import worst_first
    from pipeline.quantization.debug_page import row

    shown = found if in_order else worst_first(found)[:LINES]
    rows = [row(one) for one in shown]
    made = table.aligned(
        [
            ("layer", "SQNR dB", "worst", "clipped", "range used"),
            *((table.plain(one.name), one.sqnr, one.worst, one.clipped, one.used) for one in rows),
        ]
    )
    left = len(found) - len(shown)
    return [*made, *([f"  and {left} more that depart less"] if left else [])]


def _compared(project: Project, plan: Plan, chosen: Variant, samples: int) -> tuple[list[Departure], dict[str, Any]]:
    from pipeline.export.drift import sqnr
    from pipeline.quantization.debug import departures

    nodes = plan.nodes[chosen.check].inputs
    places = Places(plan.recipe.folder, project.cache, project.data)
    done = Builder(project.store, places, for_stream()).build(plan, [nodes["float"], nodes["quantised"]])
    made = {}
    for role in ("float", "quantised"):
        one = done[nodes[role]]
        if one.artifact is None:
            assert one.trouble is not None
            raise one.trouble
        made[role] = one.artifact
    spec = DataSpec.model_validate(plan.nodes[chosen.check].parameters["data"])
    x = data.load(spec, places).validation.first(samples).x
    found = departures(_pair(chosen, made), x)
    reference, other = (_outputs(chosen, made[role], x) for role in ("float", "quantised"))
    output = f"{sqnr(reference, other):.1f} dB"
    if reference.ndim == 2 and reference.shape[1] > 1:
        output += f", the same class on {(reference.argmax(1) == other.argmax(1)).mean() * 100:.1f} %"
    return found, {
        "model": plan.recipe.name, "target": plan.target.name, "variant": chosen.name, "precision": chosen.precision,
        "runtime": chosen.runtime.name, "format": chosen.runtime.format, "samples": len(x), "output": output,
    }  # fmt: skip


def _pair(chosen: Variant, made: dict[str, Artifact]) -> Pair:
    if chosen.runtime.format == "tflite":
        from pipeline.quantization.debug_tflite import TflitePair
        from pipeline.steps.tflite_export import NAMED as NAMED_TFLITE

        return TflitePair(*(made[role].path(NAMED_TFLITE).read_bytes() for role in ("float", "quantised")))
    import onnx

    from pipeline.quantization.debug_onnx import OnnxPair
    from pipeline.steps.export import NAMED

    files = (made[role].path(NAMED).read_bytes() for role in ("float", "quantised"))
    return OnnxPair(*(onnx.load_from_string(one) for one in files))


def _outputs(chosen: Variant, made: Artifact, x: Any) -> Any:
    """What the file that ships gives, by the runtime's own kernels."""
    file = made.path(made.summary["file"]).read_bytes()
    if chosen.runtime.format == "tflite":
        from pipeline.export.tflite_run import run_tflite

        return run_tflite(file, x)
    from pipeline.export.compare import run_file

    return run_file(file, x)


def _write(folder: Path, outcome: dict[str, Any], told: dict[str, Any], found: list[Departure]) -> None:
    from pipeline.quantization.debug_page import render

    try:
        write_atomically(folder / JSON, pretty_json(outcome))
        write_atomically(folder / PAGE, render(told, found).encode("utf-8", "replace"))
    except OSError as error:
        raise BadArgument(
            f"The page can't be written: {error.strerror}",
            where=str(folder),
            remedy="name a folder that can be written to: --out DIR",
        ) from error
