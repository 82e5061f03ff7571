"""The base of every error that a person sees: what happened, where, and the next command to type."""

from __future__ import annotations

from typing import ClassVar


class EdgewrightError(Exception):
    """An expected failure. `str()` gives the whole message, in at most three lines plus the details.

    exit_status: the process's exit status when this error ends a command.
    """

    exit_status: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        super().__init__(what)

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.remedy:
            lines.append(f"  next:  {self.remedy}")
        return "\n".join(lines)


class BadArgument(EdgewrightError):
    """An argument on the command line that means nothing."""
