"""The console script `edgewright`, which is also what `./inv` runs: Invoke, and tasks that take any number of words."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from invoke import Collection

MANY = "takes_many"
"""An attribute of a task: the name of its iterable argument that words without a flag are meant for."""


def main() -> None:
    """Runs the tasks named on the command line; ends the process with Invoke's exit status."""
    # Invoke and the tasks are imported here, so that importing edgewright stays free of both.
    from invoke import Collection, ParseError, Program

    from edgewright import __version__

    class Tasks(Program):
        def parse_tasks(self) -> None:
            if name := helped(self.core.unparsed, self.collection):
                self.core[0].args["help"].value, self.core.unparsed = name, []
            self.core.unparsed = spread(self.core.unparsed, self.collection)
            try:
                super().parse_tasks()
            except ValueError as error:  # what Invoke lets out where --limit gets no number
                raise ParseError(f"{error}: a number was expected") from error

    if "--search-root" in sys.argv[1:2]:  # ./inv says where tasks.py lies
        Tasks(name="inv", binary="inv", version=__version__).run()
        return
    import tasks

    Tasks(name="edgewright", binary="edgewright", version=__version__, namespace=Collection.from_module(tasks)).run()


def helped(words: list[str], collection: Collection) -> str | None:
    """The task, first of the words, that help is asked for: Invoke's parser takes `devices.probe --help` for a device
    of that name."""
    contexts = _contexts(collection)
    name, flag = (*words[:2], "", "")[:2]
    asked = name in contexts and flag in ("--help", "-h") and flag not in contexts[name].flags
    return name if asked else None


def spread(words: list[str], collection: Collection) -> list[str]:
    """`bench --device d A B` as `bench --device d --bundle A --bundle B`, which Invoke's parser can take.

    All that follows such a task is its own: no other task comes after it.
    """
    contexts = _contexts(collection)
    for place, word in enumerate(words):
        if word in contexts and (many := getattr(collection[word], MANY, None)):
            return words[: place + 1] + _flagged(words[place + 1 :], contexts[word].flags, f"--{many}")
    return words


def _contexts(collection: Collection) -> dict[Any, Any]:
    return {name: one for one in collection.to_contexts() for name in (one.name, *one.aliases)}


def _flagged(words: list[str], flags: dict[str, Any], many: str) -> list[str]:
    found: list[str] = []
    value_next = False
    for word in words:
        bare = not value_next and not word.startswith("-")
        value_next = not value_next and word in flags and flags[word].takes_value
        found += [many, word] if bare else [word]
    return found


if __name__ == "__main__":
    main()
