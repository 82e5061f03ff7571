"""ONNX Runtime as a C++ program needs it: the library of the Python wheel, and headers that an npm package carries.

Neither PyPI nor Debian 12 has the headers. The package is a plugin for Unity; its headers are Microsoft's own (MIT).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

from edgewright.places import cache_folder

PACKAGE = "com.github.asus4.onnxruntime@0.4.9"
"""Headers of ONNX Runtime's API version 29 (150 MB to fetch, 1 MB kept); every later library has that version too."""
_HEADERS = "/ios-arm64/onnxruntime.framework/Headers/"


def headers() -> tuple[Path | None, str]:
    """(the folder of onnxruntime_cxx_api.h or None, how to get it). EDGEWRIGHT_ORT_INCLUDE names another."""
    if named := os.environ.get("EDGEWRIGHT_ORT_INCLUDE"):
        return Path(named), ""
    folder = cache_folder() / "headers" / PACKAGE
    if not folder.is_dir():
        if shutil.which("npm") is None:
            return None, "no headers of ONNX Runtime: EDGEWRIGHT_ORT_INCLUDE=DIR, or apt-get install npm"
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            done = subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=temporary, capture_output=True, check=False)
            if done.returncode != 0:
                return None, f"npm pack {PACKAGE} failed: {done.stderr.decode()[-300:]}"
            made = Path(temporary, "headers")
            made.mkdir()
            with tarfile.open(next(Path(temporary).glob("*.tgz"))) as archive:
                for entry in archive:
                    if _HEADERS in entry.name and (stream := archive.extractfile(entry)):
                        (made / Path(entry.name).name).write_bytes(stream.read())
            made.rename(folder)
    return folder, ""


def library(wheel: Path | None, folder: Path) -> Path:
    """libonnxruntime.so under `folder`, as a release archive has it: a wheel's, else this environment's own."""
    folder.mkdir(parents=True, exist_ok=True)
    if wheel is not None:
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (name for name in archive.namelist() if "/libonnxruntime.so." in name)
            data, called = archive.read(name), Path(name).name
    else:
        import onnxruntime

        (path,) = Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*")
        data, called = path.read_bytes(), path.name
    (folder / called).write_bytes(data)
    for link in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / link).symlink_to(called)
    return folder / "libonnxruntime.so"
