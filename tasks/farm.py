"""Tasks of the farm as a whole: the night, its pages, a demonstration."""

from __future__ import annotations

from invoke import Context, Exit, task

from tasks.plainly import plainly


@task(
    help={
        "models": "recipes, with commas between; default: all of models/",
        "targets": "kinds of device, likewise; default: those that have a device in farm.toml",
        "deadline": "nothing starts that would not end by then: 06:00, 6h, 90m",
        "parallel": "devices at once; 0 for all",
        "dry_run": "say what would be built and measured, and do nothing",
        "json": "write the night's record to this file",
        "junit": "write JUnit XML to this file",
        "markdown": "write a page of Markdown to this file",
        "webhook": "post the verdicts to this address; default: EDGEWRIGHT_WEBHOOK",
        "link": "an address that Markdown and webhook point to, e.g. this CI run's",
    }
)
@plainly
def nightly(
    c: Context,
    models: str = "",
    targets: str = "",
    deadline: str = "",
    parallel: int = 0,
    dry_run: bool = False,
    json: str = "",
    junit: str = "",
    markdown: str = "",
    webhook: str = "",
    link: str = "",
) -> None:
    """Build what changed, measure it on every fit device, judge it: 1 is a regression, 2 is farm trouble."""
    from pipeline.nightly.task import Outputs, run

    outputs = Outputs(junit, markdown, webhook, link)
    if status := run(models, targets, deadline, parallel, dry_run, json, outputs):
        raise Exit(code=status)


@task(
    help={
        "out": "folder to write into; default: .edgewright/dashboard",
        "serve": "show the pages on the loopback until Ctrl-C",
        "port": "to serve on; default: 8000, or a free one where that is taken",
        "open": "open it in a browser where there is a desktop (--no-open: don't)",
    }
)
@plainly
def dashboard(c: Context, out: str = "", serve: bool = False, port: int = 0, open: bool = True) -> None:
    """Write the farm's pages: the last night, every device, every series, every report."""
    from pipeline import dashboard as pages

    pages.dashboard(out or None, serve, port or None, open)


@task(name="demo", help={"devices": "how many", "open": "open the dashboard in a browser (--no-open: don't)"})
@plainly
def farm_demo(c: Context, devices: int = 8, open: bool = True) -> None:
    """Start a farm of doubles, run nights with a planted regression, and see it caught: nothing but OpenSSH needed."""
    from pipeline.demo import demo, with_a_checkout

    with with_a_checkout():
        from tests.doubles.farm import Farm
    if status := demo(Farm, devices, open):
        raise Exit(code=status)
