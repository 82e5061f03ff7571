"""A runtime as it is installed here, in a folder of ours or in the device's own Python: does it work at all?"""

from __future__ import annotations

import importlib
import os
import site
import sys
from typing import Any, Dict

from .runtimes import MODULES, open_runtime

_TERMUX = "com.termux"


def use(folder: str) -> None:
    """Puts a runtime folder before all else on the module path; "" means the device's own Python, user packages too."""
    if folder:
        sys.path.insert(0, folder)
        return
    # -I leaves them out, but `pip install` without root, NVIDIA's wheels included, puts packages there.
    own = site.getusersitepackages()
    if os.path.isdir(own):
        site.addsitedir(own)


def check(name: str, folder: str) -> Dict[str, Any]:
    """Imports a runtime and builds the smallest model in it.

    {"name", "versions": {"version", "numpy"} or None, "providers": those that it brings, "problem": None or why it
    can't be used, "remedy": a command that helps or ""}. To be asked in a fresh process: it changes the module path.
    """
    use(folder)
    found: Dict[str, Any] = {"name": name, "versions": None, "providers": [], "problem": None, "remedy": ""}
    try:
        runtime = open_runtime(name)
        _numpy()
        found["versions"] = runtime.versions()
        runtime.construct()
        found["providers"] = runtime.available()
    except Missing as missing:
        found["problem"], found["remedy"] = missing.args
    except ModuleNotFoundError as error:
        wanted = MODULES[name].partition(".")[0]
        found["problem"] = (
            "%s is not installed for %s" % (name, sys.executable)
            if error.name == wanted
            else "%s can't be imported: the Python package %s is missing" % (name, error.name)
        )
    except Exception as error:  # a broken build may raise anything; what it says is what there is to tell
        found["problem"] = "%s does not work: %s: %s" % (name, type(error).__name__, " ".join(str(error).split())[:500])
    return found


class Missing(Exception):
    """Something that every runtime needs is not there; args: what, and the command that gets it."""


def _numpy() -> None:
    command = "pkg install python-numpy" if _TERMUX in sys.prefix else "apt-get install python3-numpy"
    try:
        importlib.import_module("numpy")
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        raise Missing("numpy is missing", command) from error
    except ImportError as error:
        raise Missing("numpy can't be imported (%s)" % " ".join(str(error).split())[:300], command) from error
