"""Push of 100 MB to the loopback sshd against `scp` of the same file, interleaved: `python -m tests.bench.push`.

Both figures take connecting in; the push also has its digest checked at the far end, which scp doesn't do.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from device_agents.connect.ssh import SshConnection
from edgewright.files import sha256_file
from tests.doubles.loopback import Loopback


def _push(double: Loopback, local: Path, digest: str, remote: Path) -> float:
    began = time.perf_counter()
    with SshConnection.open(double.entry()) as connection:
        sent = connection.push(local, str(remote), digest)
    took = time.perf_counter() - began
    if sent != local.stat().st_size or sha256_file(remote) != digest:
        raise SystemExit("the push is not what was sent")
    return took


def _scp(double: Loopback, local: Path, remote: Path) -> float:
    known = double.known_hosts()
    command = ["scp", "-q", "-F", "none", "-P", str(double.port), "-i", str(double.key)]
    command += ["-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes"]
    began = time.perf_counter()
    subprocess.run([*command, str(local), f"{double.user}@127.0.0.1:{remote}"], check=True)
    return time.perf_counter() - began


def main() -> None:
    """Prints a line a round and the median ratio (over 1: the push is the quicker one)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory(prefix="edgewright-push-") as folder, Loopback(Path(folder, "double")) as double:
        local, far = Path(folder, "file"), Path(folder, "far")
        far.mkdir()
        local.write_bytes(os.urandom(given.megabytes * 1_000_000))
        digest = sha256_file(local)
        for number in range(given.rounds):
            # Who goes first changes, so that a drift of the machine favours neither.
            if number % 2:
                scp = _scp(double, local, far / "scp")
                push = _push(double, local, digest, far / "push")
            else:
                push = _push(double, local, digest, far / "push")
                scp = _scp(double, local, far / "scp")
            ratios.append(scp / push)
            print(f"round {number + 1}: push {push:.2f} s, scp {scp:.2f} s, ratio {ratios[-1]:.2f}", flush=True)
            for path in far.iterdir():
                path.unlink()
    print(f"push runs at {median(ratios):.2f}x the speed of scp (median of {len(ratios)} interleaved rounds)")


if __name__ == "__main__":
    main()
