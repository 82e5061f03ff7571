"""Runs what a plan asks for and the store lacks; killed at any moment, it loses at most the step under way."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgewright.errors import EdgewrightError
from edgewright.extras import check
from edgewright.files import whole_folder
from edgewright.progress import Progress
from pipeline.export.refusal import NotExportable
from pipeline.export.size import MacsDisagree
from pipeline.export.to_ort import NotConvertibleToOrt
from pipeline.export.to_tflite import NotConvertible
from pipeline.fingerprint import changes
from pipeline.plan import BASE, Node, Plan
from pipeline.project import Project
from pipeline.quantization.refusal import NotQuantisable
from pipeline.rehearsal import rehearse
from pipeline.steps.base import Places, Work
from pipeline.steps.checking import CheckFailed, NotSmaller
from pipeline.steps.registry import step_class
from pipeline.store import Artifact, Store
from pipeline.training import FloorOutOfReach

SHRINKING = ("prune", "sparsify", "distil")
NETWORKS = ("samples", "train", "rewind", *SHRINKING, "equalise", "qat")
"""Steps that leave what is exported; those that train take all the cores."""
OWN_TROUBLE = (CheckFailed, NotSmaller, FloorOutOfReach, NotQuantisable)
"""What takes only its own variant down."""
REFUSALS = (NotExportable, NotConvertible, NotConvertibleToOrt, MacsDisagree)
"""One runtime's converter can't; another's may."""


class FloorTooHigh(EdgewrightError):
    """The trained network itself is below the recipe's floor: whatever is made of it could never be shipped."""

    exit_status = 3


class StepFailed(EdgewrightError):
    """A step failed in a way that no error of ours describes."""


@dataclass(frozen=True)
class Done:
    """One node after a build. `artifact` is None where its variant failed a check."""

    node: Node
    artifact: Artifact | None
    cached: bool
    seconds: float
    trouble: EdgewrightError | None = None


@dataclass
class Builder:
    """Runs nodes one after another. `say` is called with each node as it is done, `note` with a line about waiting.

    ahead: makes some of what is wanted by other means once networks are there; gives the fingerprints of that.
    """

    store: Store
    places: Places
    progress: Progress
    say: Callable[[Done], None] = lambda done: None
    note: Callable[[str], None] = lambda line: None
    ahead: Callable[[Builder, Plan, list[str]], set[str]] | None = None

    def build(self, plan: Plan, wanted: list[str]) -> dict[str, Done]:
        """Makes `wanted` (node ids) and what they rest on. What fails a check takes only its own variant down.

        Raises the step's error, with the step named in it.
        """
        # libgomp reads it when torch is loaded. Its default lets two training threads spin for each other, which on a
        # machine with other work made a step 3x slower than sleeping does; the results are the same.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
        done: dict[str, Done] = {}
        ahead: set[str] | None = set() if self.ahead is None else None
        needed = plan.needed_for(wanted)
        if self.ahead is not None:  # networks first: none rests on an export
            needed.sort(key=lambda node: node.step not in NETWORKS)
        with self.store.using():
            self._check_extras(needed)
            rehearse(needed, self.store, self.places)
            for node in needed:
                failed = next((done[name].trouble for name in node.inputs.values() if done[name].trouble), None)
                if failed is not None:
                    done[node.id] = Done(node, None, False, 0.0, failed)
                    continue
                if ahead is None and self.ahead is not None and node.step not in NETWORKS:
                    ahead = self.ahead(self, plan, wanted)
                one = self._one(node, done, alone=len(plan.target.runtime) == 1)
                done[node.id] = dataclasses.replace(one, cached=one.cached and node.fingerprint not in (ahead or ()))
                self.say(done[node.id])
                if node.id == f"{BASE}/train" and any(one.step in SHRINKING for one in needed):
                    _holds_the_floor(plan, done[node.id])
        return done

    def _check_extras(self, needed: list[Node]) -> None:
        """Before hours of training: what a later step needs must be installed. Raises MissingExtra."""
        for name in sorted({step_class(node.step).extra or "" for node in needed} - {""}):
            if any(step_class(node.step).extra == name and not self.store.find(node.fingerprint) for node in needed):
                check(name)

    def _one(self, node: Node, done: dict[str, Done], alone: bool) -> Done:
        """One node. alone: there is one runtime; what can't be made for it can't be made for another."""
        if (found := self.store.find(node.fingerprint)) is not None:
            self.store.touch(found)
            return Done(node, found, True, found.seconds)
        waiting = f"another process is making {node.id}; waiting for it"
        with self.store.making(node.fingerprint, lambda: self.note(waiting)):
            if (found := self.store.find(node.fingerprint)) is not None:
                return Done(node, found, True, found.seconds)
            began = time.monotonic()
            try:
                artifact = self._make(node, done, began)
            except EdgewrightError as error:
                error.where = f"{node.id}: {error.where}" if error.where else node.id
                if isinstance(error, OWN_TROUBLE if alone else (*OWN_TROUBLE, *REFUSALS)):
                    return Done(node, None, False, time.monotonic() - began, error)
                raise
            except (MemoryError, OSError) as error:
                raise StepFailed(
                    f"The step stopped: {type(error).__name__}: {error}",
                    where=node.id,
                    remedy="make room (disk, memory) and run the command again: it goes on from what was done",
                ) from error
            except Exception as error:  # a step runs code of the user's, which may raise anything
                details = self.store.scratch(node.fingerprint) / "traceback.txt"
                details.write_text(traceback.format_exc(), encoding="utf-8")
                raise StepFailed(
                    f"The step failed: {type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}",
                    where=f"{node.id} (traceback: {details})",
                    remedy="look at what the recipe names: its factory, loss, metric and data",
                ) from error
            return Done(node, artifact, False, artifact.seconds)

    def _make(self, node: Node, done: dict[str, Done], began: float) -> Artifact:
        scratch = self.store.scratch(node.fingerprint)
        out = scratch / "out"
        shutil.rmtree(out, ignore_errors=True)  # of a run that was killed; its checkpoints beside it are kept
        out.mkdir()
        step = step_class(node.step)
        inputs = {name: artifact for name, id_ in node.inputs.items() if (artifact := done[id_].artifact) is not None}
        parameters = step.Parameters.model_validate(dict(node.parameters))
        places = dataclasses.replace(self.places, **node.folders)
        summary = step().run(inputs, parameters, Work(out, scratch, places, self.progress))
        record = {
            "fingerprint": node.fingerprint,
            "step": node.step,
            "node": node.id,
            "summary": summary,
            "seconds": round(time.monotonic() - began, 3),
            "ingredients": node.ingredients,
        }
        artifact = self.store.commit(record, out)
        self.store.discard_scratch(node.fingerprint)
        return artifact


def _holds_the_floor(plan: Plan, trained: Done) -> None:
    metric, artifact = plan.recipe.metric, trained.artifact
    if artifact is None or artifact.summary["validation"] >= metric.floor:
        return
    raise FloorTooHigh(
        f"The trained network reaches {artifact.summary['validation']:.4g} {metric.name} on validation, "
        f"the floor is {metric.floor:g}",
        where=f"metric.floor in {plan.recipe.folder / plan.recipe.name}.toml",
        remedy="lower metric.floor, or train better (epochs and learning_rate of [train]), then ./inv deploy again",
    )


def reason(store: Store, node: Node, plan: Plan) -> list[str]:
    """Why a node would run, one line each; [] where it would not."""
    if store.find(node.fingerprint) is not None:
        return []
    last = store.latest(node.id, node.step)
    if last is None:
        return ["never made"]
    if last.fingerprint == node.fingerprint:
        return ["its files are gone from the store"]
    lines = changes(last.ingredients, node.ingredients)
    names = {f"inputs.{name}": id_ for name, id_ in node.inputs.items()}
    return [
        f"its input {names[line.split(':')[0]]} is made anew" if line.split(":")[0] in names else line for line in lines
    ]


def bundle_folder(artifact: Artifact, folder: Path) -> Path:
    """Lays a bundle artifact out as a folder with its real file names, whole or not at all."""
    with whole_folder(folder) as made:
        for name in artifact.files:
            shutil.copyfile(artifact.path(name), made / name)
    return folder


def builder(
    project: Project, plan: Plan, progress: Progress, say: Callable[[Done], None], note: Callable[[str], None]
) -> Builder:
    """The builder for a plan, over the project's store."""
    return Builder(project.store, Places(plan.recipe.folder, project.cache, project.data), progress, say, note)
