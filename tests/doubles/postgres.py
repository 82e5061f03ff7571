"""A database double: a real PostgreSQL in a folder of its own, on the loopback, for the tests of the ledger.

PostgreSQL refuses to run as root; root starts it as the user `postgres`, whom Debian's package makes. By hand:
`python -m tests.doubles.postgres` prints a URL for EDGEWRIGHT_LEDGER and runs until Ctrl-C.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from tests.doubles.loopback import free_port

_USER, _PASSWORD = "edgewright", "a-secret-of-the-double"
# Nothing here has to outlive a power cut, so nothing waits for the disk.
_SETTINGS = ("fsync=off", "full_page_writes=off", "listen_addresses=127.0.0.1", "max_connections=40")


def postgres_bin() -> Path | None:
    """Where the newest PostgreSQL's programs are; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    elsewhere = shutil.which("pg_ctl")
    return Path(elsewhere).resolve().parent if elsewhere else None


class Postgres:
    """One server. It starts on entering and stops on leaving, and may be stopped and started in between."""

    def __init__(self) -> None:
        found = postgres_bin()
        if found is None:
            raise FileNotFoundError("pg_ctl is not installed: apt-get install postgresql")
        self._bin = found
        self._folder = Path(tempfile.mkdtemp(prefix="edgewright-postgres-"))
        self.port = free_port()

    def __enter__(self) -> Postgres:
        try:
            if os.geteuid() == 0:
                shutil.chown(self._folder, "postgres", "postgres")
            password = self._folder / "password"
            password.write_text(_PASSWORD)
            if os.geteuid() == 0:
                shutil.chown(password, "postgres", "postgres")
            self._run(
                "initdb", "-D", "data", "-U", _USER, "-A", "scram-sha-256", "--pwfile=password", "-N", "-E", "UTF8"
            )
            self.start()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        settings = [*_SETTINGS, f"port={self.port}", f"unix_socket_directories={self._folder}"]
        options = " ".join(f"-c {setting}" for setting in settings)
        self._run("pg_ctl", "start", "-w", "-D", "data", "-l", "log", "-o", options)

    def stop(self) -> None:
        """Stops the server as its machine going down would: whoever is connected is cut off."""
        if (self._folder / "data" / "postmaster.pid").exists():
            self._run("pg_ctl", "stop", "-w", "-D", "data", "-m", "immediate")

    def new_database(self) -> str:
        """Makes an empty database and returns its URL."""
        name = f"ledger_{secrets.token_hex(6)}"
        self.query("postgres", f"CREATE DATABASE {name}")
        return f"postgresql://{_USER}:{_PASSWORD}@127.0.0.1:{self.port}/{name}"

    def query(self, database: str, sql: str) -> list[tuple[object, ...]]:
        """Runs one statement outside a transaction and returns its rows."""
        import psycopg

        with psycopg.connect(
            host="127.0.0.1", port=self.port, user=_USER, password=_PASSWORD, dbname=database, autocommit=True
        ) as connection:
            found = connection.execute(sql.encode())
            return found.fetchall() if found.description else []

    def _run(self, program: str, *arguments: str) -> None:
        drop = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        # Not through a pipe: the server that pg_ctl leaves behind would hold it open.
        log = self._folder / f"{program}.log"
        with log.open("ab") as said:
            done = subprocess.run(
                [*drop, str(self._bin / program), *arguments],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
                timeout=120,
                check=False,
            )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{log.read_text(errors='replace')}")


def database_of(url: str) -> str:
    """The name of the database in a URL of `new_database`."""
    found = re.search(r"/(ledger_[0-9a-f]+)$", url)
    assert found, url
    return found[1]


def main() -> None:
    """Runs a server until Ctrl-C."""
    with Postgres() as server:
        print(f"EDGEWRIGHT_LEDGER={server.new_database()}", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
