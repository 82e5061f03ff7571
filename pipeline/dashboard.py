"""`dashboard`: the farm's pages written from the ledger and the nights, and shown in a browser."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from device_agents.farm.dashboard import Built, Source, build, open_server
from device_agents.farm.night.record import nights
from edgewright.errors import BadArgument
from edgewright.progress import for_stream
from pipeline.keeping import on_stderr
from pipeline.ledger import open_ledger
from pipeline.nightly.judging import PURPOSES
from pipeline.project import Project

FOLDER = "dashboard"
"""Where the pages lie in the state folder, if nothing else is said."""

_NIGHTS = 60
"""How many records are read: more than the page lists."""


def dashboard(out: str | None, serve: bool, port: int | None, open_page: bool) -> Built:
    """The task's body: writes the pages, says where, and opens or serves them. port: None for one that is free.

    Raises EdgewrightError.
    """
    if port is not None and not 0 <= port < 65536:
        raise BadArgument(f"{port} is no port", where="--port", remedy="give 1 to 65535, or leave it out")
    project = Project.here()
    try:
        folder = Path(out).expanduser() if out else None
    except RuntimeError as error:
        raise BadArgument(f"{out!r} is nobody's folder", where="--out", remedy="name another folder") from error
    built = write(project, folder)
    print(f"  {built.reports} new report pages, {built.pages} others")
    print(f"  dashboard  {project.shown(built.index)} (open it in a browser)", flush=True)
    if serve:
        _serve(built.index.parent, port, open_page)
    elif open_page:
        show(built.index.resolve().as_uri())
    return built


def write(project: Project, folder: Path | None = None, verdicts: Sequence[dict[str, Any]] | None = None) -> Built:
    """Writes the pages into `folder`, by default the state's. verdicts: of all series, where they are known already.

    Raises DeviceError.
    """
    with open_ledger(project) as ledger:
        source = Source(
            ledger=ledger,
            nights=nights(project.state, on_stderr, last=_NIGHTS),
            purposes=PURPOSES,
            benches=project.state / "bench",
            verdicts=verdicts,
        )
        return build(source, folder or project.state / FOLDER, for_stream(), on_stderr)


def show(url: str) -> None:
    """Opens a page where there is a desktop to open it on: a text browser would take the terminal."""
    if sys.stdout.isatty() and (
        sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        webbrowser.open(url)


def _serve(folder: Path, port: int | None, open_page: bool) -> None:
    """Until Ctrl-C, which is how it is meant to end."""
    with open_server(folder, port) as server:
        print(f"  serving    {server.url} (Ctrl-C ends it)", flush=True)
        if open_page:
            show(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
