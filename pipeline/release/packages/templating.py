"""Templates of files in the languages of apps, each language with the quoting of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).parent / "templates"


def rendered(name: str, **values: Any) -> str:
    """A template filled in. XML escapes all that it is given, Java and Swift what goes through `java`, `swift`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=name.endswith((".xml.j2", ".pom.j2")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"java": java, "swift": swift, "float32": float32}
    return environment.get_template(name).render(values)


def java(text: str) -> str:
    """A string literal of Java: JSON's, in ASCII, is one."""
    return json.dumps(text, ensure_ascii=True)


def swift(text: str) -> str:
    """A string literal of Swift (The Swift Programming Language: Strings and Characters)."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(one if one.isprintable() else f"\\u{{{ord(one):x}}}" for one in plain) + '"'


def float32(value: float) -> str:
    """The shortest decimal that a float32 is read back from to the bit."""
    import numpy as np

    text = str(np.float32(value))
    return text if any(one in text for one in ".en") else f"{text}.0"
