"""The process that builds for a night, so that no build shares an interpreter with the schedule, and can be pinned to
cores on which nothing is measured: `python -m pipeline.nightly.child REQUEST`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from device_agents.bundle import read_bundle
from device_agents.farm.night.record import Build
from edgewright.errors import EdgewrightError
from edgewright.files import write_atomically
from edgewright.progress import Lines
from pipeline.build import Done, builder
from pipeline.bundles import lay_out
from pipeline.nightly.plans import night_plan
from pipeline.outcome import step_of
from pipeline.plan import Plan, with_a_base
from pipeline.project import Project
from pipeline.recipe import read_recipe
from pipeline.steps.samples import FILE
from pipeline.table import step_line
from targets.schema import read_target


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Pair(_Told):
    """A model for a target, by name; recipe, kind: the same as read_recipe and read_target take them."""

    model: str
    target: str
    recipe: str
    kind: str


class Request(_Told):
    """What a process is to build, one pair after another. stored: only pairs all of whose steps are in the store;
    cores: to run on, None for any; answers: the folder for `<number of the pair>.json`."""

    pairs: tuple[Pair, ...]
    answers: Path
    stored: bool = False
    cores: tuple[int, ...] | None = None


class Variant(_Told):
    """A bundle that was built: its digest, its folder, the runtime that loads it."""

    digest: str
    folder: Path
    runtime: str


class Answer(_Told):
    """One pair, built. variants: by name, the base first; samples: the evaluation data as .npz, None without any."""

    build: Build
    variants: dict[str, Variant] = {}
    samples: Path | None = None


def answered(project: Project, pair: Pair, stored: bool) -> Answer | None:
    """Builds one pair; None where `stored` and some of it is not in the store. What goes wrong is in the answer."""
    began = time.monotonic()
    try:
        plan = night_plan(project, read_recipe(pair.recipe, project.root), read_target(pair.kind, project.root))
        wanted = [plan.samples, *(variant.bundle for variant in plan.variants)]
        if stored and not all(project.store.find(node.fingerprint) for node in plan.needed_for(wanted)):
            return None
        built = builder(project, plan, Lines(), _say, _note).build(plan, wanted)
        return _answer(project, pair, plan, built, time.monotonic() - began)
    except EdgewrightError as error:
        what, remedy = f"{error.what} ({error.where})" if error.where else error.what, error.remedy
    except Exception as error:  # a recipe's own code, which may raise anything, is loaded for its plan
        what, remedy = f"The build stopped: {type(error).__name__}: {error}", "look at what the recipe names"
    _note(what)
    seconds = round(time.monotonic() - began, 1)
    return Answer(
        build=Build(
            model=pair.model, target=pair.target, state="failed", seconds=seconds, problem=what, remedy=remedy or None
        )
    )


def _answer(project: Project, pair: Pair, plan: Plan, built: dict[str, Done], seconds: float) -> Answer:
    folders = lay_out(project, plan, built)
    troubles = {one.name: trouble for one in plan.variants if (trouble := built[one.bundle].trouble) is not None}
    cached = all(one.cached for one in built.values())
    build = Build(
        model=pair.model,
        target=pair.target,
        state="failed" if not folders else "cached" if cached else "built",
        variants=tuple(folders),
        seconds=0.0 if cached else round(seconds, 1),
        problem="; ".join(f"{name}: {trouble.what}" for name, trouble in troubles.items()) or None,
        remedy=next((trouble.remedy for trouble in troubles.values()), None),
    )
    samples = built[plan.samples].artifact
    ordered = [one.name for one in with_a_base(plan.variants, set(folders)) if one.name in folders]
    return Answer(
        build=build,
        variants={name: _variant(folders[name]) for name in ordered},
        samples=samples.path(FILE) if samples else None,
    )


def _variant(folder: Path) -> Variant:
    bundle = read_bundle(folder)
    return Variant(digest=bundle.digest, folder=folder, runtime=bundle.manifest.runtime)


def _say(done: Done) -> None:
    print(step_line(step_of(done)), flush=True)


def _note(line: str) -> None:
    print(f"  {line}", flush=True)


def main(request: Path) -> None:
    """Answers a request, pair by pair."""
    asked = Request.model_validate_json(request.read_bytes())
    if asked.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, asked.cores)
    project = Project.here()
    for number, pair in enumerate(asked.pairs):
        print(f"{pair.model} > {pair.target}", flush=True)
        if (answer := answered(project, pair, asked.stored)) is not None:
            write_atomically(asked.answers / f"{number}.json", answer.model_dump_json().encode())


def _end_with_parent() -> None:
    """Who waits for us holds our standard input open. Where it ends, nobody reads the answers: we and all that we
    started end too, so that no build of a killed night runs beside the next night's measurements."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    _end_with_parent()
    main(Path(sys.argv[1]))
