"""What a night would do: `--dry-run`."""

from __future__ import annotations

from device_agents.farm.figures import show_seconds
from device_agents.farm.night.expected import Expected
from device_agents.farm.night.record import nights
from device_agents.farm.quarantine import Quarantine
from edgewright.errors import EdgewrightError
from pipeline.nightly.asked import Asked
from pipeline.nightly.plans import night_plan
from pipeline.project import Project
from pipeline.recipe import read_recipe
from pipeline.table import aligned, plain


def rehearsal(project: Project, asked: Asked) -> list[str]:
    """Of every model and target the steps that would run, of every device its jobs, the longest first."""
    expected = Expected(nights(project.state))
    quarantine = Quarantine.read(project.state)
    lines, variants = [], {}
    for target in asked.targets.values():
        for model, called in asked.models.items():
            try:
                plan = night_plan(project, read_recipe(called, project.root), target)
            except EdgewrightError as error:
                lines.append(f"  {plain(model)} > {target.name}: can't be built: {plain(error.what)}")
                continue
            runs = sum(project.store.find(node.fingerprint) is None for node in plan.nodes.values())
            variants[model, target.name] = len(plan.variants)
            lines.append(
                f"  {plain(model)} > {target.name}: {runs} of {len(plan.nodes)} steps would run, "
                f"{len(plan.variants)} variants"
            )
    rows = [["device", "model", "variants", "about"]]
    for entry in asked.entries:
        jobs = [(model, variants[model, entry.target]) for model in asked.models if (model, entry.target) in variants]
        timed = [(expected.seconds(entry.name, model, count), model, count) for model, count in jobs]
        for took, model, count in sorted(timed, key=lambda one: -one[0]):
            rows.append([plain(entry.name), plain(model), str(count), show_seconds(took)])
        if (held := quarantine.of(entry.name)) is not None:
            lines.append(f"  {plain(entry.name)} is in quarantine since {held.since}: {plain(held.why)}")
        if (unfit := asked.unfit.get(entry.name)) is not None:
            lines.append(f"  {plain(entry.name)}: {plain(unfit.what)}")
    return [*lines, "", *aligned(rows)]
