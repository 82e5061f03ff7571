"""The page of one deploy: one HTML file that needs no network and runs no script, whatever the names in it say.

Everything reaches the page through one autoescaping template; the file carries a policy that forbids scripts and
requests besides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from device_agents.farm.pageview import view
from edgewright.files import write_atomically

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATES = Path(__file__).parent / "templates"


class HasJson(Protocol):
    """A report object."""

    def to_json(self) -> dict[str, Any]:
        """The report as one JSON object."""


def render(outcome: Mapping[str, Any], report: Mapping[str, Any] | HasJson) -> str:
    """The page as text. `outcome` is deploy's (pipeline/table.py shows the same), `report` edgewright-report/1."""
    given = report if isinstance(report, Mapping) else report.to_json()
    raw = readable_json({"outcome": outcome, "report": given})
    return template("report.html.j2").render(view(outcome, given), raw=raw)


def template(name: str, *own: Path) -> Template:
    """A page's template, out of the folders `own` or of ours; it escapes all that it is given and misses nothing."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([*own, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)


def write(path: Path, outcome: Mapping[str, Any], report: Mapping[str, Any] | HasJson) -> None:
    """Writes the page, whole or not at all."""
    # A lone surrogate (a file name of another encoding) can't be UTF-8; it must not cost the page.
    write_atomically(path, render(outcome, report).encode("utf-8", "replace"))


def readable_json(value: Any, indent: str = "") -> str:
    """JSON with what holds plain values only on one line: a block's thousand samples don't make a thousand lines."""
    children = list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else []
    if not any(isinstance(child, Mapping | list | tuple) for child in children):
        return json.dumps(value, ensure_ascii=False, default=str)
    deeper = indent + "  "
    if isinstance(value, Mapping):
        inner = [f"{json.dumps(str(key))}: {readable_json(child, deeper)}" for key, child in value.items()]
        return "{\n" + ",\n".join(deeper + line for line in inner) + f"\n{indent}}}"
    return "[\n" + ",\n".join(deeper + readable_json(child, deeper) for child in children) + f"\n{indent}]"
