"""Process 1 of an ARM double: mounts its file system, runs the sshd in front of it, restarts it as a reboot does.

Started by arm.ArmDouble in new mount, PID and host name namespaces, as a plain script. It reads one JSON request a line
and answers each with a line. When its input ends, whatever became of the other side, it ends, and with it every process
and mount of the double.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

# Private to the mount namespace. ChrootDirectory wants every folder above it to be root's alone: not so below /tmp.
_TOP = Path("/mnt")
ROOT = _TOP / "root"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_PASSWD = """root:*:0:0:root:/root:/bin/bash
sshd:*:100:65534::/run/sshd:/usr/sbin/nologin
{user}:*:1000:1000::/home/{user}:/bin/bash
"""
_GROUP = "root:x:0:\nnogroup:x:65534:\n{user}:x:1000:\n"


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, stdin=subprocess.DEVNULL)


class Init:
    """The double from within. setting: as arm.ArmDouble writes it."""

    def __init__(self, setting: dict[str, Any]) -> None:
        self._setting = setting
        self._boot_id = _TOP / "boot_id"
        self._sshd: subprocess.Popen[bytes] | None = None

    def mount(self) -> None:
        """Builds the file system: the shared root below, a RAM disk above, the board's files and devices in it."""
        given = self._setting
        _mount("--make-rprivate", "/")
        # From here it is ".", whatever the RAM disk covers and whatever characters its path has.
        os.chdir(given["lower"])
        fcntl.flock(os.open(f"{given['lower']}.lock", os.O_RDONLY | os.O_CREAT), fcntl.LOCK_SH)  # it is in use
        _mount("-t", "tmpfs", "-o", f"mode=755,size={given['disk_bytes']}", "double", str(_TOP))
        for name in ("upper", "work", "root"):
            (_TOP / name).mkdir()
        options = f"lowerdir=.,upperdir={_TOP / 'upper'},workdir={_TOP / 'work'}"
        _mount("-t", "overlay", "overlay", "-o", options, str(ROOT))
        for path, text in given["files"].items():
            self.write({"path": path, "text": text})
        for path, text in given["scripts"].items():
            self.write({"path": path, "text": text})
            (ROOT / path).chmod(0o755)
        _mount("-t", "proc", "proc", str(ROOT / "proc"))
        for name, text in (("cpuinfo", given["cpuinfo"]), ("boot_id", "")):
            (_TOP / name).write_text(text)
        _mount("--bind", str(_TOP / "cpuinfo"), str(ROOT / "proc/cpuinfo"))
        _mount("--bind", str(self._boot_id), str(ROOT / "proc/sys/kernel/random/boot_id"))
        for name in _DEVICES:
            (ROOT / "dev" / name).touch()
            _mount("--bind", f"/dev/{name}", str(ROOT / "dev" / name))
        (ROOT / "dev/shm").mkdir(exist_ok=True)
        _mount("-t", "tmpfs", "-o", "mode=1777", "shm", str(ROOT / "dev/shm"))
        self._users(given["user"])
        subprocess.run(["hostname", given["hostname"]], check=True)
        (ROOT / "etc/hostname").write_text(given["hostname"] + "\n")
        (ROOT / "etc/hosts").write_text(f"127.0.0.1 localhost {given['hostname']}\n")

    def _users(self, user: str) -> None:
        """sshd looks users up outside the chroot: there, too, the board's are known, to this double alone."""
        home = ROOT / "home" / user
        home.mkdir(parents=True, exist_ok=True)
        os.chown(home, 1000, 1000)
        (_TOP / "authorized_keys").write_text(self._setting["authorized_keys"])
        for name, text in (("passwd", _PASSWD), ("group", _GROUP)):
            own = _TOP / name
            own.write_text(text.format(user=user))
            _mount("--bind", str(own), f"/etc/{name}")
            (ROOT / "etc" / name).write_text(own.read_text())

    def start(self) -> None:
        """Boots: an empty /run, a new boot_id, sshd."""
        self._boot_id.write_text(f"{uuid.uuid4()}\n")
        self.write({"path": "run/throttled", "text": "0x0\n"})
        self._sshd = subprocess.Popen(self._setting["sshd"], stdin=subprocess.DEVNULL)

    def write(self, request: dict[str, Any]) -> None:
        """A file of the double, in place."""
        path = ROOT / request["path"].lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(request["text"])

    def reboot(self, request: dict[str, Any]) -> None:
        """Kills everything, is away for `seconds`, then boots; the disk stays as it is."""
        sshd = self._sshd
        self._sshd = None
        os.kill(-1, signal.SIGKILL)  # everything in this PID namespace but ourselves
        if sshd is not None:
            sshd.wait()

        def boot() -> None:
            time.sleep(request["seconds"])
            self.start()

        threading.Thread(target=boot, daemon=True).start()


def _reap() -> None:
    """Process 1 inherits every orphan: without this they would stay as zombies."""
    while True:
        time.sleep(1)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def main() -> int:
    setting = json.loads(Path(sys.argv[1]).read_text())
    init = Init(setting)
    init.mount()
    init.start()
    threading.Thread(target=_reap, daemon=True).start()
    print(json.dumps({"ok": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            getattr(init, request["do"])(request)
            answer: dict[str, Any] = {"ok": True}
        except (OSError, subprocess.SubprocessError) as error:
            answer = {"ok": False, "message": str(error)}
        print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
