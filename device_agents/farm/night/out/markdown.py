"""A night as Markdown for a CI's job summary. Names and reasons can't leave their cells, link, or mention anyone."""

from __future__ import annotations

import re
from collections.abc import Sequence

from device_agents.farm.night.out.telling import change, missing, printable, regressions, sentence
from device_agents.farm.night.record import Night

MOST_ROWS = 200
"""Of each table: GitHub refuses a summary over 1 MiB."""

_SPECIAL = re.compile(r"[\\`*_{}\[\]()<>#|~@&!$:]|(?<=www)\.", re.IGNORECASE)


def escaped(text: object) -> str:
    """Text that Markdown shows as it is, HTML and autolinks included: what could mean something becomes an entity."""
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", printable(text))


def markdown(night: Night, link: str | None = None) -> str:
    """The page. link: where the dashboard of this night is; None for nowhere."""
    lines = [f"## Night {escaped(night.id)}", "", f"**{sentence(night)}**", "", _when(night)]
    if link is not None and re.fullmatch(r"https?://[^\s<>()\[\]\"'`\\|]+", link):
        lines += ["", f"[Dashboard]({link})"]
    rows = [
        [
            *(escaped(one["key"][name]) for name in ("model", "variant", "device")),
            escaped(str(one["metric"]).replace("_", " ")),
            change(one),
            escaped(one["reason"]),
        ]
        for one in regressions(night)
    ]
    lines += _table("Regressions", ["model", "variant", "device", "metric", "change", "why"], rows)
    rows = [
        [
            escaped(one.what),
            escaped(one.model or "-"),
            escaped(one.device or one.target),
            escaped(one.problem),
            escaped(one.remedy),
        ]
        for one in missing(night)
    ]
    lines += _table("Not measured", ["what", "model", "where", "why", "next"], rows)
    rows = [
        [
            escaped(one.name),
            escaped(one.target),
            escaped(one.state),
            f"{one.measured} of {one.jobs}",
            f"{one.seconds_busy or 0:.0f} s",
            escaped(one.problem or ""),
        ]
        for one in night.devices
    ]
    lines += _table("Farm", ["device", "target", "state", "measured", "busy", "problem"], rows)
    return "\n".join(lines) + "\n"


def _when(night: Night) -> str:
    until = f" to {night.finished}" if night.finished else ", not finished"
    commit = f", commit {night.commit}" if night.commit else ""
    return escaped(f"{night.started}{until}, on {night.host}{commit}").replace("&#58;", ":")


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    lines = ["", f"### {title}", "", f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows[:MOST_ROWS]]
    return lines + (["", f"and {len(rows) - MOST_ROWS} more"] if len(rows) > MOST_ROWS else [])
