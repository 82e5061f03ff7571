"""The agent's command line: `python3 -I agent.pyz COMMAND`; JSON lines out on stdout, logs on stderr."""

from __future__ import annotations

import argparse
import sys
from typing import Dict, List, Optional

from . import __version__
from .lines import Lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="agent", description="Edgewright's agent: measures models on this device.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, text: str, *, root: bool = False) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text)
        made.add_argument("--sysroot", default="/", help="folder to read /proc and /sys under (recorded trees, tests)")
        if root:
            made.add_argument("--root", required=True, help="the agent's folder on this device")
        return made

    probe = command("probe", "facts and state of this device")
    probe.add_argument("--folder", default=".", help="the folder whose disk's room is told")
    canary = command("canary", "how long a fixed piece of work takes, several times, on the core that a job would take")
    canary.add_argument("--times", type=int, default=20)
    command("holder", "who holds this device's lock", root=True)

    def of_someone(name: str, text: str) -> argparse.ArgumentParser:
        made = command(name, text, root=True)
        made.add_argument("--now", type=float, required=True, help="the host's clock, in seconds of 1970")
        made.add_argument("--who", default="")
        made.add_argument("--host", default="")
        return made

    of_someone("reservation", "whose this device is, and for how long")
    reserve = of_someone("reserve", "keeps this device for one person")
    reserve.add_argument("--seconds", type=float, required=True)
    reserve.add_argument("--note", default="")
    release = of_someone("release", "ends a reservation")
    release.add_argument("--anyway", action="store_true", help="also somebody else's")
    of_someone("releases", "which releases lie here").add_argument("--check", action="store_true", help="digests too")
    stage = of_someone("stage", "put a release together out of what was sent")
    for field in ("model", "version", "digest", "signature", "bundle"):
        stage.add_argument("--" + field, required=True)
    trial = of_someone("trial", "switch to a release; it stays if the host says so")
    trial.add_argument("--model", required=True)
    trial.add_argument("--name", required=True, help="of its folder")
    trial.add_argument(
        "--silence", type=float, default=60.0, help="seconds without a word after which the host is gone"
    )
    for one in (stage, trial):
        one.add_argument("--wait", type=float, default=0.0, help="seconds to wait for another rollout to end")
    command("run", "run the job given as the first line on stdin", root=True)
    command("worker", "a process that loads one model (started by run)", root=True)
    trust = command("trust", "whose bundles this device takes; changes that where it is asked to", root=True)
    trust.add_argument("--add", default="", help='a public key, "ed25519 KEY COMMENT"')
    trust.add_argument("--none", action="store_true", help="trust no key any longer: take every bundle")
    command("sha256", "digest of a file").add_argument("file")
    command("sizes", "what lies in the agent's folder, in bytes", root=True)
    of_someone("erase", "take away all of the agent's folder, unless a job runs or somebody else has the device")
    runtime = command("runtime", "whether a runtime works here, its versions and providers")
    runtime.add_argument("--name", required=True, help="onnxruntime, litert, tflite-runtime or torch")
    runtime.add_argument("--folder", default="", help="its folder; left out: the Python that runs this")
    unpack = command("unpack", "wheels into a content-addressed runtime folder", root=True)
    unpack.add_argument("--digest", required=True, help="name of the runtime folder")
    unpack.add_argument("wheels", nargs="*", help="wheel files; with none, only says whether the folder is there")
    return parser


def main(arguments: Optional[List[str]] = None) -> int:
    """Runs one command; returns the exit status. Every command but `worker` ends with {"kind": "end"}."""
    given = _parser().parse_args(arguments)
    out = Lines.on_stdout()
    if given.command == "worker":
        from .worker import serve

        return serve(given.root, sys.stdin.buffer, out)
    try:
        return _command(given, out)
    except OSError as error:
        out.end(False, error="io", errno=error.errno, message=str(error))
        return 1


def _command(given: argparse.Namespace, out: Lines) -> int:
    if given.command == "probe":
        from .probe import facts, state

        out.write("probe", facts=facts(given.sysroot), state=state(given.sysroot, given.folder))
        out.end(True)
    elif given.command == "canary":
        from . import cpus
        from .canary import canary_readings

        chosen = cpus.choose(1, given.sysroot)
        out.write("canary", pinned=cpus.pin(chosen), cpus=chosen, ns=canary_readings(given.times))
        out.end(True)
    elif given.command == "holder":
        from .lock import holder

        out.write("holder", holder=holder(given.root))
        out.end(True)
    elif given.command == "sha256":
        from .digest import sha256_of

        out.write("sha256", sha256=sha256_of(given.file))
        out.end(True)
    elif given.command == "sizes":
        from .belongings import sizes
        from .probes.linux import disk_free_bytes

        out.write("sizes", bytes=sizes(given.root), free_bytes=disk_free_bytes(given.root))
        out.end(True)
    elif given.command in ("erase", "reservation", "reserve", "release"):
        return _of_someone(given, out)
    elif given.command == "trust":
        return _trust(given, out)
    elif given.command in ("releases", "stage", "trial"):
        from .trial import answer

        return answer(given, out)
    elif given.command == "runtime":
        from .installed import check

        out.write("runtime", **check(given.name, given.folder))
        out.end(True)
    elif given.command == "unpack":
        from .unpack import unpack

        folder, made = unpack(given.root, given.digest, given.wheels)
        out.write("unpack", folder=folder, made=made)
        out.end(True)
    else:
        from .session import run

        return run(given.root, given.sysroot, out)
    return 0


def _trust(given: argparse.Namespace, out: Lines) -> int:
    """Changes the trusted keys where that is asked, and says which they are: None where there are none."""
    from . import trust

    try:
        if given.none:
            trust.forget(given.root)
        if given.add:
            trust.add(given.root, given.add)
        found = trust.keys(given.root)
    except (trust.BundleNotTrusted, ValueError) as error:
        out.end(False, error="trust", message=str(error))
        return 3
    out.write("trust", keys=None if found is None else [trust.line(key) for key in found.values()])
    out.end(True)
    return 0


def _of_someone(given: argparse.Namespace, out: Lines) -> int:
    """The commands for which it matters who asks."""
    from . import reserve
    from .lock import Busy

    me: Dict[str, object] = {"who": given.who, "host": given.host}
    try:
        if given.command == "erase":
            from .belongings import erase

            reserve.refuse(given.root, me, given.now, given.sysroot)
            out.write("erase", **erase(given.root, {"who": "devices.setup"}))
        else:
            found: Optional[reserve.Reservation]
            if given.command == "reserve":
                found = reserve.reserve(given.root, me, given.seconds, given.note, given.now, given.sysroot)
            elif given.command == "release":
                found = reserve.release(given.root, me, given.now, given.anyway, given.sysroot)
            else:
                found = reserve.standing(given.root, given.now, given.sysroot)
            out.write(given.command, reservation=found)
    except Busy as busy:
        out.end(False, error="busy", holder=busy.holder)
        return 3
    except reserve.Reserved as reserved:
        out.end(False, error="reserved", holder=reserved.reservation)
        return 3
    out.end(True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
