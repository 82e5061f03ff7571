"""One model's run: rows made, all of them measured in one session, aims and stages judged."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgewright import extras
from edgewright.errors import BadArgument
from edgewright.files import pretty_json, write_atomically
from edgewright.progress import Progress
from pipeline.project import Project
from pipeline.recipe import Recipe, read_recipe
from pipeline.search.pace import full_epochs
from tests.bench.compression import aims, speed, stages
from tests.bench.compression.lines import Line
from tests.bench.compression.making import Maker
from tests.bench.compression.rows import Row, rows_of
from tests.bench.compression.setting import Setting
from tests.bench.compression.work.artifacts import NOT_INSTALLED
from tests.bench.compression.work.kinds import cells_of
from tests.bench.compression.work.searched import FOUND
from tests.bench.pruning.cells import Cells
from tests.bench.pruning.work.lab import first

SCHEMA = "edgewright-bench-compression/1"
JSON, REPORT, ROWS, BEFORE = "bench.json", "report.json", "rows", "rows.before"


def name_of(model: str) -> str:
    """A model's name, of a name or of a recipe's path."""
    return Path(model).name.removesuffix(".toml")


@dataclass
class Bench:
    """What one model's run gave. machine: what it ran on; epochs: of peers' fine-tuning; problems: why the session is
    invalid, where it is. All as in the JSON, so that a page can be made of an earlier run."""

    setting: dict[str, Any]
    started: str
    epochs: int
    machine: dict[str, Any]
    lines: list[Line]
    reached: list[dict[str, Any]]
    stages: list[dict[str, Any]]
    problems: list[str]

    @property
    def model(self) -> str:
        return name_of(self.setting["model"])

    @property
    def failed(self) -> list[Line]:
        """Our own rows that could not be made or measured: a peer's failure is a finding."""
        return [line for line in self.lines if line.error and line.family in ("base", "ours")]

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def read(cls, file: Path) -> Bench | None:
        """An earlier run's; None where the file is no such."""
        try:
            found: dict[str, Any] = json.loads(file.read_bytes())
        except (OSError, ValueError):
            return None
        if found.pop("schema", None) != SCHEMA:
            return None
        return cls(**{**found, "lines": [Line.from_json(line) for line in found["lines"]]})


def run(setting: Setting, project: Project, out: Path, progress: Progress, resume: bool, say: Any) -> Bench:
    """Makes, measures and judges; leaves bench.json, report.json (the samples) and rows/ in `out`.

    resume: what an earlier run left there is taken. say: gets a line for every row. Raises EdgewrightError.
    """
    recipe = _checked(setting, project)
    if not resume:
        put_aside(out)
    started = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    epochs = setting.epochs or full_epochs(recipe.train.epochs, [one.epochs or 0 for one in recipe.shrink])
    rows = rows_of(setting, epochs)
    cells = cells_of(project, setting.model, out / ROWS, progress)
    lines, bundles = _made(rows, Maker(cells), say)
    _write_test(setting, recipe, project, out)
    report, names = speed.measure(bundles, out / speed.SAMPLES, setting.protocol, project, progress)
    write_atomically(out / REPORT, pretty_json(report))
    speed.put_in(lines, report, names)
    bench = Bench(
        setting={**asdict(setting)},
        started=started,
        epochs=epochs,
        machine=_machine(report, project),
        lines=lines,
        reached=[one.to_json() for one in aims.reached(name_of(setting.model), lines)],
        stages=[one.to_json() for one in _stages(rows, lines, cells)],
        problems=[] if report["valid"] else list(report["problems"]),
    )
    write_atomically(out / JSON, pretty_json(bench.to_json()))
    return bench


def put_aside(out: Path) -> None:
    """Clears the place for new rows. A forgotten --resume must not cost hours: the old ones go to rows.before."""
    if (out / ROWS).is_dir():
        shutil.rmtree(out / BEFORE, ignore_errors=True)
        (out / ROWS).rename(out / BEFORE)


def _checked(setting: Setting, project: Project) -> Recipe:
    """The recipe; everything that would end a run after hours is asked before it begins."""
    for name in ("bench", "tflite", *(["text"] if setting.model == "minilm-sentiment" else [])):
        extras.check(name)
    recipe = read_recipe(setting.model, project.root)
    if recipe.metric.name != "top-1":
        raise BadArgument(
            f"{setting.model} has a metric of its own, {recipe.metric.name}; the bench compares top-1",
            where="--model",
            remedy="take a model whose metric is top-1: ./inv bench.compression --model resnet20",
        )
    return recipe


def _made(rows: list[Row], maker: Maker, say: Any) -> tuple[list[Line], dict[str, Path]]:
    lines: list[Line] = []
    bundles: dict[str, Path] = {}
    for number, row in enumerate(rows, 1):
        line, folder = maker.make(row)
        lines.append(line)
        if folder is not None:
            bundles[row.key] = folder
        say(f"{number}/{len(rows)}  {row.label}: {line.error or 'made'}")
    return lines, bundles


def _write_test(setting: Setting, recipe: Recipe, project: Project, out: Path) -> None:
    from pipeline import data
    from pipeline.steps.base import DataSpec, Places

    spec = DataSpec(name=recipe.data, arguments=recipe.data_arguments)
    test = data.load(spec, Places(recipe.folder, project.cache, project.data)).test
    part = test if setting.test is None else first(test, setting.test)
    speed.write_samples(part.x, part.y, out / speed.SAMPLES)


def _stages(rows: list[Row], lines: list[Line], cells: Cells) -> list[stages.Stages]:
    """Peers' artifacts, and of all our searches what was tried and what ships."""
    peers = stages.of_lines("peers", [line for line in lines if line.family in ("base", "peer")])
    searches = {row.cell.key: row.cell for row in rows if row.cell.kind == "search" and cells.has(row.cell)}
    counted = [
        stages.of_search("ours", json.loads((cells.path(cell) / FOUND).read_bytes())) for cell in searches.values()
    ]
    tried = stages.added("ours, tried by the searches", [one for one, _ in counted])
    shipped = stages.added("ours, chosen by the searches", [one for _, one in counted])
    rows_ours = stages.of_lines("ours, rows of the table", [line for line in lines if line.family in ("base", "ours")])
    return [peers, tried, shipped, rows_ours]


def _machine(report: Mapping[str, Any], project: Project) -> dict[str, Any]:
    facts = report.get("facts") or {}
    return {
        "machine": platform.machine(),
        "cpu": facts.get("cpu_model"),
        "python": platform.python_version(),
        "commit": project.commit(),
    }


def missing(bench: Bench) -> list[str]:
    """Peers that were left out because they are not installed."""
    return [line.label for line in bench.lines if line.error == NOT_INSTALLED]
