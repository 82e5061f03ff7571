"""`./inv nightly` from what was typed to an exit status: the night, its pages, and whoever is told of it."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import ClassVar

from device_agents.farm.night.out.deliver import deliver
from device_agents.farm.night.record import Night
from edgewright.errors import EdgewrightError
from pipeline.dashboard import write
from pipeline.keeping import on_stderr
from pipeline.nightly.nightly import STOPPED, nightly
from pipeline.project import Project


class NotBegun(EdgewrightError):
    """A night that could not begin. Its exit status is that of farm trouble: 1 would say that a model got worse."""

    exit_status: ClassVar[int] = STOPPED


@dataclass(frozen=True)
class Outputs:
    """Where a night is told, besides the terminal. junit, markdown: files; webhook: an address; link: what Markdown and
    webhook point to. "" is none."""

    junit: str = ""
    markdown: str = ""
    webhook: str = ""
    link: str = ""


def run(
    models: str, targets: str, deadline: str, parallel: int, dry_run: bool, json_file: str, outputs: Outputs
) -> int:
    """The exit status: 0 same or faster, 1 a model got worse, 2 something was not built or measured.

    Raises NotBegun.
    """
    try:
        night = nightly(models, targets, deadline, parallel, dry_run, json_file or None)
    except EdgewrightError as error:
        raise NotBegun(error.what, where=error.where, remedy=error.remedy) from error
    except KeyboardInterrupt:
        return STOPPED
    except Exception:  # a defect of ours says nothing of a model either
        traceback.print_exc()
        return STOPPED
    if night is None:
        return 0
    if night.finished is not None:
        try:
            _tell(night, outputs)
        except (KeyboardInterrupt, Exception) as error:
            on_stderr(f"warning: not all of it was told: {type(error).__name__}: {error}")
    return STOPPED if night.status is None else night.status


def _tell(night: Night, outputs: Outputs) -> None:
    """A place that fails costs a warning: the night is over, and its record is kept."""
    project = Project.here()
    try:
        print(f"  page     {project.shown(write(project).index)} (open it in a browser)", flush=True)
    except Exception as error:  # the night is over: a page that can't be made must not change what it came to
        on_stderr(f"warning: there is no page: {error}")
    for warning in deliver(
        night,
        junit_file=outputs.junit or None,
        markdown_file=outputs.markdown or None,
        webhook=outputs.webhook or None,
        link=outputs.link or None,
    ):
        on_stderr(f"warning: {warning}")
