"""Quiet: nothing of Python's or C's output gets out of the block, and everything does after it."""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import sys
import warnings

import pytest

from edgewright.quiet import quiet


def test_nothing_gets_out_and_afterwards_all_does(capfd: pytest.CaptureFixture[str]) -> None:
    print("before")
    with quiet():
        print("python")
        sys.stderr.write("python")
        os.write(1, b"descriptor")
        os.write(2, b"descriptor")
        ctypes.CDLL(None).system(b"echo from another program")
        logging.getLogger("somebody").error("log")
        warnings.warn("warning", stacklevel=1)
    print("after")
    os.write(2, b"error")
    assert capfd.readouterr() == ("before\nafter\n", "error")


def test_an_error_inside_restores_all(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="inside"), quiet():
        raise ValueError("inside")
    os.write(1, b"heard")
    logging.getLogger("somebody").error("log")
    assert capfd.readouterr().out == "heard"
    assert logging.root.manager.disable == 0


def test_closed_descriptors_are_no_trouble() -> None:
    script = (
        "import os; os.close(1); os.close(2)\nfrom edgewright.quiet import quiet\nwith quiet(): print('x')\n"
        "try: os.fstat(1)\nexcept OSError: os._exit(7)"
    )
    root = os.environ["EDGEWRIGHT_ROOT"]
    assert subprocess.run([sys.executable, "-c", script], cwd=root, env={**os.environ}).returncode == 7
