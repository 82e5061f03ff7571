"""The packages for Linux devices: a .deb and a tarball, both with the model and a program that runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipeline.release.content import Content
from pipeline.release.packages import deb, examples, tarball


def write(content: Content, model_file: Path, folder: Path, say: Callable[[str], None]) -> list[str]:
    """Writes both into `folder`; returns what an app team has to know of them.

    Raises NotPackaged where no program can be given with the model, NoIdentifier where it can't be called by its name,
    OSError.
    """
    named = deb.names(content)
    example = examples.files(content, model_file)
    deb.write(folder / named.file, content, example, examples.MODES)
    tarball.write(folder / f"{tarball.name(content)}.tar.gz", content, example, examples.MODES)
    say(f"linux: {named.file} and {tarball.name(content)}.tar.gz")
    needed = examples.requirement(content)
    return [
        f"{named.command} needs {needed}, which Debian doesn't have: pip install -r requirements.txt",
        *([] if needed.measured else [f"{needed} was not measured: it is what checked the bundle"]),
        "the C++ program is source: it was not compiled for this release",
    ]
