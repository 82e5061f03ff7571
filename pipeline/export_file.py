"""One variant of a model as a file of one format, built and checked like any other, for whoever wants just the file."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from device_agents.bundle import MANIFEST
from edgewright.errors import EdgewrightError
from edgewright.files import write_atomically
from edgewright.progress import for_stream
from pipeline.build import Builder
from pipeline.plan import BASE, Plan, make_plan
from pipeline.project import Project
from pipeline.recipe import read_recipe
from pipeline.routes import variant_name
from pipeline.steps.base import Places
from targets.schema import FORMATS, Format, Int8, Precision, Runtime, RuntimeName, Sparsity, Target

POSSIBLE: Mapping[Format, tuple[Precision, ...]] = {
    "onnx": ("float32", "int8"), "ort": ("float32", "int8"), "tflite": ("float32", "float16", "int8", "dynamic"),
    "torchscript": ("float32",), "pt2": ("float32",),
}  # fmt: skip
"""What there is a file of. FP16 of ONNX is not: TensorRT makes it on the device, from the float32 file."""


class NotPossible(EdgewrightError):
    """A format, a precision and an option that don't go together."""


class UnknownVariant(EdgewrightError):
    """The recipe has no variant of that name."""


class NotWritten(EdgewrightError):
    """The file can't be written where it was asked for."""


def export_file(
    project: Project, model: str, format_: str, precision: str, variant: str, out: Path | None, integer_io: bool = False
) -> Path:
    """Builds what is missing and writes the file, and its manifest as OUT.json; where it lies now.

    variant: "trained" or a name under [[shrink]]; out: None for MODEL-VARIANT-PRECISION in the working folder;
    integer_io: the file takes and gives integers. Raises NotPossible, UnknownVariant, NotWritten, and what the steps
    raise. Another file of that name is replaced, but only by a whole one.
    """
    runtime = _runtime(format_, precision, integer_io)
    recipe = read_recipe(model, project.root)
    names = [BASE, *(shrink.name for shrink in recipe.shrink)]
    if variant not in names:
        raise UnknownVariant(
            f"{recipe.name} has no variant {variant!r}",
            where="--variant",
            remedy=f"take one of {', '.join(names)}; the precision is said apart: --precision int8",
        )
    if out is not None:
        _writable(out)
    # A kind of device that skips every pattern of zeros: it is for the asker to know what the file is for.
    target = Target(name="export", runtime=(runtime,), sparsity=get_args(Sparsity))
    plan = make_plan(recipe, target)
    return _written(project, plan, variant_name(variant, _known(precision), runtime, True), out, precision, variant)


def _written(project: Project, plan: Plan, name: str, out: Path | None, precision: str, variant: str) -> Path:
    wanted = next(one for one in plan.variants if one.name == name)
    builder = Builder(project.store, Places(plan.recipe.folder, project.cache, project.data), for_stream())
    made = builder.build(plan, [wanted.bundle])[wanted.bundle]
    if made.trouble is not None or made.artifact is None:
        raise made.trouble or NotWritten("Nothing was built", where=name, remedy="./inv explain")
    told = made.artifact.path(MANIFEST).read_bytes()
    file = str(json.loads(told)["file"])
    path = out or Path(f"{plan.recipe.name}-{variant}-{precision}{Path(file).suffix}")
    try:
        write_atomically(path.with_name(f"{path.name}.json"), told)
        write_atomically(path, made.artifact.path(file).read_bytes())
    except OSError as error:
        raise _not_written(path, error) from error
    return path


def _runtime(format_: str, precision: str, integer_io: bool) -> Runtime:
    known = next((one for one in POSSIBLE if one == format_), None)
    if known is None:
        raise NotPossible(f"There is no format {format_!r}", where="--format", remedy=f"take {', '.join(POSSIBLE)}")
    wanted = next((one for one in POSSIBLE[known] if one == precision), None)
    if wanted is None:
        others = [one for one, precisions in POSSIBLE.items() if precision in precisions]
        instead = f", or {precision} as {' or '.join(others)}" if others else ""
        why = " (TensorRT makes it on the device, from the float32 file)" if precision == "float16" else ""
        raise NotPossible(
            f"There is no {precision} file of the format {known}{why}",
            where="--precision",
            remedy=f"take {known} in {' or '.join(POSSIBLE[known])}{instead}",
        )
    if integer_io and (known, wanted) != ("tflite", "int8"):
        raise NotPossible(
            f"A file of the format {known} in {wanted} takes and gives floats",
            where="--integer-io",
            remedy="leave it out, or take --format tflite --precision int8",
        )
    name: RuntimeName = next(one for one in get_args(RuntimeName) if known in FORMATS[one])
    precisions: tuple[Precision, ...] = ("float32",) if wanted == "float32" else ("float32", wanted)
    return Runtime(
        name=name,
        format=known,
        precisions=precisions,
        source="device" if name == "torch" else "wheel",
        int8=Int8(integer_io=integer_io),
    )


def _known(precision: str) -> Precision:
    found: Precision = next(one for one in get_args(Precision) if one == precision)
    return found


def _writable(out: Path) -> None:
    """Said before anything is built, not after."""
    if out.is_dir():
        raise _not_written(out, IsADirectoryError(errno.EISDIR, "it is a folder"))
    if not out.parent.is_dir():
        raise _not_written(out, FileNotFoundError(errno.ENOENT, "its folder is not there"))


def _not_written(path: Path, error: OSError) -> NotWritten:
    return NotWritten(
        f"The file can't be written: {error.strerror}",
        where=str(path),
        remedy="name a file in a folder that is there and has room: --out FILE",
    )
