"""Tasks that make and check releases, and put them onto devices."""

from __future__ import annotations

from invoke import Context, Exit, task

from tasks.plainly import plainly


@task(
    help={
        "target": "kind of device",
        "version": "semantic, e.g. 1.2.0",
        "model": "recipe; default: the only one that is accepted for the target",
        "out": "folder for the release's own; default: releases",
        "key": "private key; default: EDGEWRIGHT_KEY, then ~/.config/edgewright/release.key",
        "allow_unmeasured": "also where no valid report of a real device stands behind it; the model card says so",
        "json": "write what was made to this file",
    }
)
@plainly
def release(
    c: Context,
    target: str,
    version: str,
    model: str = "",
    out: str = "",
    key: str = "",
    allow_unmeasured: bool = False,
    json: str = "",
) -> None:
    """Turn the accepted bundle into a signed folder that an app depends on."""
    from pipeline.release import commands

    commands.release(model or None, target, version, out or None, key or None, allow_unmeasured, json or None)


@task(
    name="key",
    help={"out": "file of the private key; its .pub goes beside it", "comment": "whose it is; left out: you, here"},
)
@plainly
def release_key(c: Context, out: str = "", comment: str = "") -> None:
    """Make a key that signs your releases, and say where its two halves lie."""
    from pipeline.release import bodies

    bodies.make_key(out or None, comment)


@task(
    name="verify",
    positional=["folder"],
    help={
        "folder": "of a release",
        "trust": "file of the public keys that may have signed it; left out: your own",
        "device": "device in farm.toml that must answer the release's sample as expected; host: this machine",
        "json": "print JSON",
    },
)
@plainly
def release_verify(c: Context, folder: str, trust: str = "", device: str = "", json: bool = False) -> None:
    """Check a release: every file, its signature, what its files say of each other; and, asked to, its answer."""
    from pipeline.release import bodies

    if not bodies.verify(folder, trust or None, device or None, json):
        raise Exit(code=1)


@task(
    name="diff",
    positional=["a", "b"],
    help={"a": "a release's folder", "b": "a later one's", "json": "write it to this file"},
)
@plainly
def release_diff(c: Context, a: str, b: str, json: str = "") -> None:
    """Hold two releases side by side, and say which version that demands."""
    from pipeline.release import commands

    if commands.diff(a, b, json or None).breaks:
        raise Exit(code=1)


@task(
    name="prune",
    help={
        "keep": "newest releases of each major version",
        "out": "folder of releases; default: releases",
        "remove": "remove them, not only show",
        "json": "write it to this file",
    },
)
@plainly
def release_prune(c: Context, keep: int = 3, out: str = "", remove: bool = False, json: str = "") -> None:
    """Show which old releases may go, and remove them if asked."""
    from pipeline.release import commands

    commands.prune(out or None, keep, remove, json or None)


@task(
    help={
        "release": "a release's folder",
        "devices": "names, commas between",
        "canary": "goes first; default: the first",
        "waves": "how many have it after each wave",
        "resume": "go on with the newest that is not done",
        "slower": "how much slower it may be than what runs there; default: 5%, or as it began",
        "budget": "seconds of timing a device; default: 30, or as it began",
        "parallel": "devices of a wave at once",
        "trust": "file of public keys; default: your own",
        "json": "print JSON",
    }
)
@plainly
def rollout(
    c: Context,
    release: str = "",
    devices: str = "",
    canary: str = "",
    waves: str = "1,25%,100%",
    resume: bool = False,
    slower: str = "",
    budget: str = "",
    parallel: int = 4,
    trust: str = "",
    json: bool = False,
) -> None:
    """Put a release onto devices: the canary, then waves; one that fails there is rolled back."""
    from pipeline.rollout import rollout as rolling

    asked = rolling.typed(release, devices, canary, waves, resume, slower, budget, parallel, trust)
    if status := rolling.rollout(asked, json):
        raise Exit(code=status)


@task(
    help={
        "devices": "names, commas between; default: all of farm.toml",
        "check": "every file's digest",
        "json": "print JSON",
    }
)
@plainly
def fleet(c: Context, devices: str = "", check: bool = False, json: bool = False) -> None:
    """Show which release runs on which device, as the devices say it."""
    from pipeline.rollout import fleet as fleets

    if status := fleets.fleet([name.strip() for name in devices.split(",") if name.strip()], check, json):
        raise Exit(code=status)
