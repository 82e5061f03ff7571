"""The console script `edgewright`: the tasks of `./inv`, for use from a project of one's own."""

from __future__ import annotations


def main() -> None:
    """Runs the tasks named on the command line; ends the process with Invoke's exit status."""
    # Invoke and the tasks are imported here, so that importing edgewright stays free of both.
    from invoke import Collection, Program

    import tasks
    from edgewright import __version__

    Program(
        name="edgewright",
        binary="edgewright",
        version=__version__,
        namespace=Collection.from_module(tasks),
    ).run()
