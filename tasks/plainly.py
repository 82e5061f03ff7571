"""What all tasks share: how an expected failure ends, and the exit statuses that are no failures."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from invoke import Exit

F = TypeVar("F", bound=Callable[..., Any])

NOTHING_HOLDS = 3
INVALID_REPORT = 4
UNDECIDED = 5


def plainly(body: F) -> F:
    """Expected failures end in their message and a non-zero exit status, never in a traceback."""

    @functools.wraps(body)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from edgewright.errors import EdgewrightError

        try:
            return body(*args, **kwargs)
        except EdgewrightError as error:
            # What a device or a file said may stand in it: no escape code of theirs reaches the terminal.
            said = "".join(one if one.isprintable() or one == "\n" else "?" for one in str(error))
            raise Exit(f"error: {said}", code=error.exit_status) from None

    return wrapped  # type: ignore[return-value]


def end_if_invalid(problems: list[str]) -> None:
    if problems:
        raise Exit("the report is invalid: " + "; ".join(problems), code=INVALID_REPORT)
