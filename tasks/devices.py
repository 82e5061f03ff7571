"""Tasks that attend to devices."""

from __future__ import annotations

from invoke import Context, Exit, task

from tasks.plainly import NOTHING_HOLDS, plainly


@task(name="list", default=True)
@plainly
def devices_list(c: Context) -> None:
    """Show the devices of farm.toml."""
    from pipeline import devices

    devices.show()


@task(name="probe", positional=["name"], help={"name": "device in farm.toml; host: this machine", "json": "print JSON"})
@plainly
def devices_probe(c: Context, name: str, json: bool = False) -> None:
    """Show what a device is and how it is now."""
    from pipeline import devices

    devices.probe(name, json)


@task(
    name="setup",
    positional=["name"],
    help={
        "name": "device in farm.toml; host: this machine",
        "undo": "remove all that Edgewright has put there",
        "trust-key": "file of public keys: from now on the device takes what they have signed, and nothing else",
        "trust-no-key": "the device takes every bundle again; with --trust-key: trusts only the keys of that file",
    },
)
@plainly
def devices_setup(c: Context, name: str, undo: bool = False, trust_key: str = "", trust_no_key: bool = False) -> None:
    """Put the agent and the target's runtimes on a device, and say whose bundles it takes; or take all off again."""
    from pipeline import devices

    devices.setup(name, undo, trust_key or None, trust_no_key)


@task(
    name="doctor", positional=["name"], help={"name": "device in farm.toml; host: this machine", "json": "print JSON"}
)
@plainly
def devices_doctor(c: Context, name: str, json: bool = False) -> None:
    """Say what would spoil a measurement on a device, and the command that mends it."""
    from pipeline import devices

    if not devices.doctor(name, json):
        raise Exit(code=NOTHING_HOLDS)


@task(
    name="trust",
    positional=["name"],
    help={"yes": "don't ask", "replace": "the device's key has changed, and you know why"},
)
@plainly
def devices_trust(c: Context, name: str, yes: bool = False, replace: bool = False) -> None:
    """Show a device's host key fingerprint and pin it."""
    from pipeline import devices

    devices.trust(name, yes, replace)


@task(
    name="reserve",
    positional=["name"],
    help={
        "name": "device in farm.toml; host: this machine",
        "for": "how long: 90m, 2h, 1h30m, a week at most",
        "note": "what for, for those who would like to have it",
    },
)
@plainly
def devices_reserve(c: Context, name: str, for_: str = "1h", note: str = "") -> None:
    """Keep a device for yourself for a while; jobs of others are refused there, nights go around it."""
    from pipeline import reserve

    reserve.reserve(name, for_, note)


@task(
    name="release",
    positional=["name"],
    help={"name": "device in farm.toml; host: this machine", "anyway": "also a reservation of somebody else"},
)
@plainly
def devices_release(c: Context, name: str, anyway: bool = False) -> None:
    """End a reservation before its time."""
    from pipeline import reserve

    reserve.release(name, anyway)


@task(name="adopt", positional=["name"], help={"name": "device in farm.toml"})
@plainly
def devices_adopt(c: Context, name: str) -> None:
    """Say that the board that answers under a name now is the one that is meant; its series begin anew."""
    from pipeline import adopt

    adopt.adopt(name)


@task(
    help={
        "like": "the target that it stands for",
        "farm": "farm file that gets its entry",
        "native": "this machine's own processor behind an SSH server: quick, needs no root, no ARM",
        "count": "how many; they are called NAME-1 and on",
        "name": "the device's name in the farm file",
    }
)
@plainly
def double(
    c: Context,
    like: str = "raspberry-pi",
    farm: str = "farm.toml",
    native: bool = False,
    count: int = 1,
    name: str = "",
) -> None:
    """Start doubles of a device on the loopback, until Ctrl-C: an emulated ARM board, or a phone by adb."""
    from pipeline import commands

    if status := commands.double(like, farm, native, count, name):
        raise Exit(code=status)
