"""One release beside another: size, metric, latency, what an app gives and gets, and which version that demands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_agents.bundle import Tensor
from device_agents.farm.figures import is_share, show_bytes, show_count, show_metric, show_ms, show_ratio
from device_agents.farm.paired import Comparison, Ratio, compare, speedup
from pipeline.release.manifest import ReleaseManifest, Score, Signature, read
from pipeline.release.versions import Version
from pipeline.table import aligned, plain

if TYPE_CHECKING:
    from device_agents.farm.ledger.ledger import Ledger

_PLACES = {"device": "on a device", "stand-in": "on a stand-in", "host": "where it was made"}
_TENSOR = ("name", "dtype", "shape", "layout")
"""What of an input or output an app relies on; scale and zero point are read from preprocessing.json."""


@dataclass(frozen=True)
class Timing:
    """Latency on one device. ratio: A's time over B's. verdict: on B, where one report has both; else None, and the
    ratio is of figures that were taken on different days. report: id of that report."""

    device: str
    a_ms: float
    b_ms: float
    ratio: Ratio
    verdict: Comparison | None
    report: str | None


@dataclass(frozen=True)
class Difference:
    """B beside A. changed: what differs in the signature, a line each. breaks: what its version does wrong, or ""."""

    a: ReleaseManifest
    b: ReleaseManifest
    changed: list[str]
    timings: list[Timing]
    breaks: str

    @property
    def demanded(self) -> str | None:
        """The part of the version that must rise: "major" where the signature changed, else "minor or patch".

        None where none must: of another model or target, and after a pre-release, which promises nothing.
        """
        if self.a.name != self.b.name or Version.parse(self.a.version).pre:
            return None
        return "major" if self.changed else "minor or patch"

    def lines(self) -> list[str]:
        """What ./inv release.diff prints."""
        title = f"{plain(self.a.name)} {self.a.version}  >  {plain(self.b.name)} {self.b.version}"
        signature = "the same" if not self.changed else "; ".join(map(plain, self.changed))
        rows = [*self.rows(), *self._untimed(), ("signature", "", "", signature), ("version", "", "", self._version())]
        return [title, *aligned([("", "A", "B", "B beside A"), *rows])]

    def rows(self) -> list[tuple[str, str, str, str]]:
        """(what, A, B, what changed) of each figure that both releases have."""
        a, b = self.a, self.b
        was, is_ = a.model_file.bytes, b.model_file.bytes
        rows = [("size", show_bytes(was), show_bytes(is_), _percent(was, is_))]
        for label, few, many in (("params", a.params, b.params), ("MACs", a.macs, b.macs)):
            if few is not None and many is not None:
                rows.append((label, show_count(few), show_count(many), _percent(few, many)))
        if a.metric and b.metric and a.metric.name == b.metric.name:
            name, one, other = a.metric.name, a.metric.value, b.metric.value
            said = _gained(name, other - one) + _taken_alike(a.metric, b.metric)
            rows.append((plain(name), show_metric(name, one), show_metric(name, other), said))
        for timing in self.timings:
            was_ms, is_ms = f"{show_ms(timing.a_ms)} ms", f"{show_ms(timing.b_ms)} ms"
            rows.append((f"p50, {plain(timing.device)}", was_ms, is_ms, _timing(timing)))
        return rows

    def to_json(self) -> dict[str, Any]:
        """The same as one JSON object."""
        return {
            "schema": "edgewright-release-diff/1",
            "a": {"name": self.a.name, "version": self.a.version, "bundle": self.a.bundle},
            "b": {"name": self.b.name, "version": self.b.version, "bundle": self.b.bundle},
            "bytes": [self.a.model_file.bytes, self.b.model_file.bytes],
            "params": [self.a.params, self.b.params],
            "macs": [self.a.macs, self.b.macs],
            "metric": [one.metric.model_dump() if one.metric else None for one in (self.a, self.b)],
            "latency": [asdict(one) for one in self.timings],
            "signature": self.changed,
            "demanded": self.demanded,
            "breaks": self.breaks,
        }

    def _version(self) -> str:
        if self.breaks:
            return f"BREAKS THE RULE: {self.breaks}"
        if self.a.name != self.b.name:
            return "no rule: these are not two releases of one model and target"
        if self.demanded is None:
            return f"no part must rise: {self.a.version} is a pre-release, which promises nothing"
        return f"demanded: {self.demanded}; {self.b.version} holds that"

    def _untimed(self) -> list[tuple[str, str, str, str]]:
        """The row that says why there is no latency; none where there is."""
        if self.timings:
            return []
        if self.a.bundle == self.b.bundle:
            return [("p50", "-", "-", "the same bundle")]
        if self.a.target != self.b.target:
            return [("p50", "-", "-", "not comparable: other kinds of device")]
        ways = f"./inv compare {self.a.bundle[:12]} {self.b.bundle[:12]}"
        return [("p50", "-", "-", f"not known: no real device has valid figures of both ({ways} on one takes them)")]


def diff(a: Path, b: Path, ledger: Ledger | None = None) -> Difference:
    """Two release folders. ledger: where reports of both bundles are looked for. Raises NoRelease, BadVersion."""
    return between(read(a), read(b), ledger)


def between(a: ReleaseManifest, b: ReleaseManifest, ledger: Ledger | None = None) -> Difference:
    """As `diff`, of manifests. Raises BadVersion."""
    changed = signature_changes(a.signature, b.signature)
    was, is_ = Version.parse(a.version), Version.parse(b.version)
    breaks = ""
    if a.name != b.name:
        pass  # no rule holds between them
    elif is_ <= was and a.bundle != b.bundle:
        breaks = f"{is_} does not come after {was}, and it is another model"
    elif changed and is_.major <= was.major and not was.pre:
        breaks = f"the signature changed, which demands {was.next_major()} or later"
    return Difference(a, b, changed, _timings(a, b, ledger), breaks)


def signature_changes(a: Signature, b: Signature) -> list[str]:
    """What of A's signature is another in B's, a line each."""
    lines = [f"format: {a.format} > {b.format}"] if a.format != b.format else []
    for what in ("inputs", "outputs"):
        lines += _tensor_changes(what[:-1], getattr(a, what), getattr(b, what))
    if a.labels != b.labels:
        lines.append(f"labels: {_labels(a.labels, b.labels)}")
    for key in sorted({*a.preprocessing, *b.preprocessing}):
        if (one := a.preprocessing.get(key)) != (other := b.preprocessing.get(key)):
            lines.append(f"preprocessing {key}: {one} > {other}")
    return lines


def _tensor_changes(what: str, a: Sequence[Tensor], b: Sequence[Tensor]) -> list[str]:
    if len(a) != len(b):
        return [f"{what}s: {len(a)} > {len(b)}"]
    return [
        f"{what} {one.name} {field}: {getattr(one, field)} > {getattr(other, field)}"
        for one, other in zip(a, b, strict=True)
        for field in _TENSOR
        if getattr(one, field) != getattr(other, field)
    ]


def _labels(a: list[str] | None, b: list[str] | None) -> str:
    if a is None or b is None:
        return f"{'none' if a is None else len(a)} > {'none' if b is None else len(b)}"
    if len(a) != len(b):
        return f"{len(a)} > {len(b)}"
    place = next(i for i, pair in enumerate(zip(a, b, strict=True)) if pair[0] != pair[1])
    return f"number {place} is {a[place]!r} > {b[place]!r}"


def _timings(a: ReleaseManifest, b: ReleaseManifest, ledger: Ledger | None) -> list[Timing]:
    """By device: from the newest valid report that has both bundles, else from each release's own figures there."""
    found = _side_by_side(a.bundle, b.bundle, ledger) if ledger is not None and a.bundle != b.bundle else {}
    mine = {one.device: one for one in a.devices if one.worth == "valid" and one.p50_ms}
    for other in b.devices:
        one = mine.get(other.device)
        if one is not None and one.p50_ms and other.p50_ms and other.worth == "valid" and other.device not in found:
            was, is_ = one.p50_ms.value, other.p50_ms.value
            found[other.device] = Timing(other.device, was, is_, Ratio(was / is_, was / is_, was / is_), None, None)
    return [found[device] for device in sorted(found)]


def _side_by_side(a: str, b: str, ledger: Ledger) -> dict[str, Timing]:
    from device_agents.farm.paired import latency

    both = {one.report for one in ledger.results(bundle=a, valid=True)}
    both &= {one.report for one in ledger.results(bundle=b, valid=True)}
    found = {}
    entries = [entry for id_ in both for entry in ledger.reports(id=id_)]
    for entry in sorted(entries, key=lambda entry: entry.seq):
        if entry.emulated or entry.stand_in:
            continue
        results = ledger.report(entry.id).results
        one, other = (next(x for x in results if x["bundle"] == digest) for digest in (a, b))
        ratio, was, is_ = speedup(one, other), latency(one), latency(other)
        if ratio and was and is_:
            found[entry.device] = Timing(entry.device, was.p50_ms, is_.p50_ms, ratio, compare(ratio), entry.id)
    return found


def _timing(one: Timing) -> str:
    if one.verdict is None:
        return f"{one.ratio.value:.2f}x the speed by figures of different sessions: no verdict"
    return f"{show_ratio(one.ratio)} {one.verdict}, side by side"


def _taken_alike(a: Score, b: Score) -> str:
    """What to add where two metrics were not taken over the same samples in the same kind of place."""
    if (a.part, a.samples, a.where) == (b.part, b.samples, b.where):
        return ""
    one, other = (f"{x.samples:,} of the {x.part} part, {_PLACES[x.where]}" for x in (a, b))
    return f", not taken alike: {one}; {other}"


def _gained(metric: str, more: float) -> str:
    if not more:
        return "the same"
    return f"{more * 100:+.2f} points" if is_share(metric) else f"{more:+.4g}"


def _percent(a: float, b: float) -> str:
    return "the same" if a == b else f"{(b / a - 1) * 100:+.1f} %" if a else "-"
