"""The model card: one account of a release, as Markdown for a repository and as a page for everybody else.

After Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019): details, use, data, metric, figures, limits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_agents.farm.figures import show_bytes, show_count, show_metric, show_ms
from device_agents.farm.page import template
from pipeline.release.content import Content
from pipeline.release.evidence import Figures, Interval
from pipeline.release.history import Made
from pipeline.release.manifest import ReleaseManifest, Score
from pipeline.release.provenance import Source

MARKDOWN, HTML = "model_card.md", "model_card.html"
TEMPLATES = Path(__file__).parent / "templates"
UNMEASURED = (
    "NOT MEASURED: no valid report of a real device stands behind this release. It was made with --allow-unmeasured."
)
_HEAD = ["device", "worth", "date", "p50 ms", "p90 ms", "load ms", "memory", "energy", "runtime", "kernel", "reports"]
_TAKEN = {
    "device": "on the device",
    "stand-in": "not on such a device, but on one that stood in for it",
    "host": "not on such a device, but on the machine that made it",
}
_UNSAID = "The recipe does not say."


@dataclass(frozen=True)
class Section:
    """A heading, sentences, a table (its first row the head) and points; what is empty is left out."""

    title: str
    text: str = ""
    table: Sequence[Sequence[str]] = ()
    points: Sequence[str] = ()


def sections(
    content: Content, manifest: ReleaseManifest, source: Source, steps: Sequence[Made], about_data: str
) -> list[Section]:
    """All that the card says. about_data: what the data set's own module says of it, "" where it says nothing."""
    about = content.about
    return [
        Section("What it does", about.purpose or _task(content)),
        Section("What goes in and comes out", table=_tensors(manifest), points=_processing(content, manifest)),
        Section("Data", about_data or f"The data set {source.data}.", points=_licences(content)),
        Section("Metric", _metric(manifest.metric)),
        Section("How it was made", _made(content), table=_steps(steps)),
        Section("Size", table=_size(manifest)),
        Section("Measured", _measured(manifest), _devices(manifest.devices), _problems(manifest.devices)),
        Section("Limits", "" if about.limits else f"{_UNSAID} {_only(source)}", points=about.limits),
    ]


def markdown(manifest: ReleaseManifest, told: Sequence[Section]) -> str:
    """The card as Markdown (CommonMark and GitHub's tables); nothing that a name holds is taken for markup."""
    lines = [f"# {escaped(manifest.model)} for {escaped(manifest.target)}, {manifest.version}", ""]
    if manifest.unmeasured:
        lines += [f"> **{UNMEASURED}**", ""]
    for one in told:
        lines += [f"## {one.title}", ""]
        lines += [line(one.text), ""] if one.text else []
        if one.table:
            head, *rows = one.table
            lines += [_row(head), _row(["---"] * len(head), str), *map(_row, rows), ""]
        lines += [*(f"- {line(point)}" for point in one.points), ""] if one.points else []
    return "\n".join(lines).rstrip("\n") + "\n"


def page(manifest: ReleaseManifest, told: Sequence[Section]) -> str:
    """The card as one HTML file that needs no network and runs no script, light or dark as its reader likes it."""
    return template("card.html.j2", TEMPLATES).render(release=manifest, sections=told, unmeasured=UNMEASURED)


def escaped(text: Any) -> str:
    """Text within a line of Markdown that comes out as it is."""
    plain = " ".join("".join(one if one.isprintable() or one.isspace() else "?" for one in str(text)).split())
    plain = re.sub(r"([\\`*\[\]|~&])|(?<![^\W_])(_)|(_)(?![^\W_])", lambda found: f"\\{found[0]}", plain)
    return plain.replace("<", "&lt;")


def line(text: Any) -> str:
    """Text that begins a line of Markdown: what would begin a list, a heading or a quotation there doesn't."""
    found = escaped(text)
    return re.sub(r"^([-+=#>]|\d+[.)](?=\s|$))", lambda first: f"{first[0][:-1]}\\{first[0][-1]}", found)


def _row(cells: Sequence[str], shown: Callable[[str], str] = escaped) -> str:
    return f"| {' | '.join(map(shown, cells))} |"


def _task(content: Content) -> str:
    if content.classifies and content.labels:
        return f"Tells {len(content.labels)} classes apart: {', '.join(content.labels[:12])}" + (
            ", ..." if len(content.labels) > 12 else "."
        )
    return _UNSAID


def _tensors(manifest: ReleaseManifest) -> list[list[str]]:
    rows = [["", "name", "dtype", "shape", "layout", "scale, zero point"]]
    for word, tensors in (("input", manifest.signature.inputs), ("output", manifest.signature.outputs)):
        for one in tensors:
            steps = "" if one.scale is None else f"{one.scale:.6g}, {one.zero_point or 0}"
            rows.append([word, one.name, one.dtype, " x ".join(map(str, one.shape)), one.layout or "", steps])
    return rows


def _processing(content: Content, manifest: ReleaseManifest) -> list[str]:
    before = "; ".join(f"{key} {value}" for key, value in sorted(manifest.signature.preprocessing.items()))
    points = [f"Before it: {before}" if before else "Before it: nothing is said of what a raw sample needs"]
    if content.classifies:
        named = ", labels.txt names it" if content.labels else ""
        points.append(f"After it: soft max gives shares, the largest is the class{named}")
    return [*points, "preprocessing.json says the same to a program, sample/ has one real sample with its answer"]


def _licences(content: Content) -> list[str]:
    about = content.about
    return [
        f"Licence of the data: {about.data_licence or 'the recipe does not say'}",
        f"Licence of the weights: {about.weights_licence or 'the recipe does not say'}",
    ]


def _metric(found: Score | None) -> str:
    if found is None:
        return "None was taken."
    part = "the whole test part" if found.part == "test" else "a part of the training data that was held back"
    return (
        f"{found.name} is {show_metric(found.name, found.value)} over {found.samples:,} samples, {part}, "
        f"taken {_TAKEN[found.where]}. "
        f"The floor is {show_metric(found.name, found.floor)}: nothing below it is shipped."
    )


def _made(content: Content) -> str:
    bundle = content.bundle.manifest
    check = bundle.origin.get("check") or {}
    said = f"The variant {bundle.name}, {bundle.precision}, for {bundle.runtime}."
    if (difference := check.get("float_difference")) is not None:
        said += f" Its float export departs from the network by {difference:.1e} of the outputs' spread at most"
        said += f", on {check.get('samples', 0):,} samples."
    if (agreement := check.get("agreement")) is not None:
        said += f" Quantised, it gives the same class on {agreement * 100:.1f} % of them"
        said += f" ({check['sqnr_db']:.1f} dB)." if check.get("sqnr_db") is not None else "."
    return said


def _steps(steps: Sequence[Made]) -> list[list[str]]:
    if not steps:
        return []
    return [["step", "what it did", "fingerprint"], *([s.name, s.said or "-", s.fingerprint[:16]] for s in steps)]


def _size(manifest: ReleaseManifest) -> list[list[str]]:
    rows = [["", ""], ["file", f"{show_bytes(manifest.model_file.bytes)} ({manifest.model_file.bytes:,} bytes)"]]
    rows += [["parameters", show_count(manifest.params)]] if manifest.params is not None else []
    return rows + ([["MACs", show_count(manifest.macs)]] if manifest.macs is not None else [])


def _measured(manifest: ReleaseManifest) -> str:
    said = "Single inferences, one sample each, in fresh processes; brackets hold 95 % intervals over processes."
    return said if manifest.devices else "On no device."


def _devices(devices: Sequence[Figures]) -> list[list[str]]:
    if not devices:
        return []
    return [_HEAD, *map(_device, devices)]


def _device(one: Figures) -> list[str]:
    return [
        one.device,
        {"valid": "valid", "invalid": "INVALID", "standing in": "STANDING IN", "emulated": "EMULATED"}[one.worth],
        one.date,
        _interval(one.p50_ms),
        _interval(one.p90_ms),
        "-" if one.load_ms is None else show_ms(one.load_ms),
        "-" if one.peak_bytes is None else show_bytes(one.peak_bytes),
        "no sensor" if one.energy_mj is None else f"{one.energy_mj:.3g} mJ",
        f"{one.runtime} {one.runtime_version or ''}".strip(),
        one.kernel or "-",
        str(one.reports),
    ]


def _interval(found: Interval | None) -> str:
    if found is None:
        return "-"
    if found.low is None or found.high is None:
        return show_ms(found.value)
    return f"{show_ms(found.value)} [{show_ms(found.low)} {show_ms(found.high)}]"


def _problems(devices: Sequence[Figures]) -> list[str]:
    """What stands against figures in the table."""
    said = []
    for one in devices:
        if one.worth == "standing in":
            said.append(f"{one.device} stood in for the real device: its figures are not the real one's")
        elif one.worth == "emulated":
            said.append(f"{one.device} is emulated: it shows that the model runs, no time of it means anything")
        elif one.worth == "invalid":
            said.append(f"{one.device}: {'; '.join(one.problems) or 'no reason was given'}")
    return said


def _only(source: Source) -> str:
    return f"It was tried on the test part of {source.data} alone, and on the devices above."
