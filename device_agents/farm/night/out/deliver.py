"""Where a night's outputs go: the files that were asked for, the CI's job summary, the webhook. A place that fails is a
warning: by then the night is over, and its record is kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from device_agents.farm.night.out.junit import junit
from device_agents.farm.night.out.markdown import markdown
from device_agents.farm.night.out.webhook import send
from device_agents.farm.night.record import Night
from edgewright.files import write_atomically

URL, KEY, SUMMARY = "EDGEWRIGHT_WEBHOOK", "EDGEWRIGHT_WEBHOOK_KEY", "GITHUB_STEP_SUMMARY"


def deliver(
    night: Night,
    *,
    junit_file: str | None = None,
    markdown_file: str | None = None,
    webhook: str | None = None,
    link: str | None = None,
    environment: Mapping[str, str] = os.environ,
    tell: Callable[..., str | None] = send,
) -> list[str]:
    """Writes and posts a finished night; the warnings. webhook: wins over EDGEWRIGHT_WEBHOOK in the environment."""
    warnings: list[str] = []

    def written(what: str, where: str, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            warnings.append(f"{what} could not be written to {where}: {error.strerror or error}")

    if junit_file:
        path = Path(junit_file)
        written("the JUnit XML", junit_file, lambda: write_atomically(path, junit(night)))
    if markdown_file:
        text = markdown(night, link).encode()
        target = Path(markdown_file)
        written("the Markdown", markdown_file, lambda: write_atomically(target, text))
    if summary := environment.get(SUMMARY):
        # Other steps of the job write there too.
        written("the job summary", SUMMARY, lambda: _append(Path(summary), markdown(night, link)))
    if address := webhook or environment.get(URL):
        warnings += filter(None, [tell(night, address, key=environment.get(KEY) or None, link=link)])
    return warnings


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(text)
