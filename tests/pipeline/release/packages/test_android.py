"""The AAR and its Maven repository: as the formats say, the same every time, as Maven and Android's tools take them."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest

from pipeline.release.about import About
from pipeline.release.content import Content
from pipeline.release.packages import android, java
from pipeline.release.packages.errors import MovingVersion, NoIdentifier
from tests.pipeline.release.packages import apk, jdk, made
from tests.prerequisites import require

PLACE = "maven/edgewright/models/tiny-net-android"
AAR = f"{PLACE}/1.2.0/tiny-net-android-1.2.0.aar"
MAVEN = Path("/usr/share/maven/lib")


def packaged(folder: Path, content: Content) -> list[str]:
    """Writes the packages of a content into `folder`; the notes."""
    folder.mkdir(parents=True)
    model = folder.parent / f"{folder.name}.tflite"
    model.write_bytes(android.ships(content))
    return android.write(content, model, folder, lambda _: None)


def without_jdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")


def test_aar_holds_what_the_format_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_jdk(monkeypatch)
    packaged(tmp_path / "android", made.content(tmp_path))
    with zipfile.ZipFile(tmp_path / "android" / AAR) as archive:
        assert archive.namelist() == [
            *("AndroidManifest.xml", "R.txt", "assets/tiny-net-labels.txt", "assets/tiny-net.tflite"),
            *("classes.jar", "proguard.txt"),
        ]
        assert archive.read("assets/tiny-net.tflite") == (tmp_path / "android.tflite").read_bytes()
        assert archive.read("assets/tiny-net-labels.txt").decode().splitlines() == made.LABELS
        manifest = ElementTree.fromstring(archive.read("AndroidManifest.xml"))
    assert manifest.get("package") == "edgewright.models.tiny_net"
    assert manifest[0].attrib == {"{http://schemas.android.com/apk/res/android}minSdkVersion": "21"}


def test_without_jdk_it_holds_resources_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_jdk(monkeypatch)
    notes = packaged(tmp_path / "android", made.content(tmp_path))
    assert any("no JDK here" in note for note in notes)
    with zipfile.ZipFile(tmp_path / "android" / AAR) as archive:
        classes = zipfile.ZipFile(io.BytesIO(archive.read("classes.jar")))
    assert classes.namelist() == ["META-INF/MANIFEST.MF"]
    with zipfile.ZipFile(tmp_path / "android" / AAR.replace(".aar", "-sources.jar")) as sources:
        assert "edgewright/models/tiny_net/TinyNetModel.java" in sources.namelist()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """(a folder of the packages, android/, and of the model, android.tflite; the notes), made once with a JDK."""
    jdk.compiler()
    folder = tmp_path_factory.mktemp("library")
    return folder, packaged(folder / "android", made.content(folder))


def test_with_jdk_it_holds_the_wrapper(library: tuple[Path, list[str]]) -> None:
    folder, notes = library
    assert notes[0] == "edgewright.models:tiny-net-android:1.2.0"
    assert notes[1].startswith("wrapper edgewright.models.tiny_net.TinyNetModel, compiled by javac ")
    with zipfile.ZipFile(folder / "android" / AAR) as archive:
        classes = zipfile.ZipFile(io.BytesIO(archive.read("classes.jar")))
    assert "edgewright/models/tiny_net/TinyNetModel.class" in classes.namelist()


def test_model_of_onnx_keeps_its_suffix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_jdk(monkeypatch)
    content = made.content_of(tmp_path, made.manifest(format="onnx", runtime="onnxruntime", file="model.onnx"))
    (tmp_path / "android").mkdir()
    (tmp_path / "model.onnx").write_bytes(android.ships(content))
    notes = android.write(content, tmp_path / "model.onnx", tmp_path / "android", lambda _: None)
    with zipfile.ZipFile(tmp_path / "android" / AAR) as archive:
        assert archive.read("assets/tiny-net.onnx") == content.bundle.model_file.read_bytes()
    with zipfile.ZipFile(tmp_path / "android" / AAR.replace(".aar", "-sources.jar")) as sources:
        text = sources.read("edgewright/models/tiny_net/TinyNetModel.java").decode()
    assert 'ASSET = "tiny-net.onnx"' in text and "Interpreter(" not in text
    assert any('noCompress "onnx"' in note for note in notes)


def test_pom_says_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_jdk(monkeypatch)
    about = About(purpose="Tells <cats> & dogs.", weights_licence="Apache-2.0", group="com.example")
    packaged(tmp_path / "android", made.content(tmp_path, about=about))
    (path,) = (tmp_path / "android" / "maven" / "com" / "example").rglob("*.pom")
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    pom = ElementTree.parse(path)
    told = [pom.findtext(f"m:{key}", namespaces=space) for key in ("groupId", "artifactId", "version", "packaging")]
    assert told == ["com.example", "tiny-net-android", "1.2.0", "aar"]
    assert pom.findtext("m:description", namespaces=space) == "Tells <cats> & dogs."
    assert pom.findtext("m:licenses/m:license/m:name", namespaces=space) == "Apache-2.0"


def test_every_file_has_its_checksums_and_metadata_no_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_jdk(monkeypatch)
    packaged(tmp_path / "android", made.content(tmp_path))
    files = {path for path in (tmp_path / "android").rglob("*") if path.is_file()}
    plain = {path for path in files if path.suffix[1:] not in ("md5", "sha1", "sha256")}
    assert len(plain) == 4 and len(files) == 16
    for path in plain:
        for kind in ("md5", "sha1", "sha256"):
            assert Path(f"{path}.{kind}").read_text() == hashlib.new(kind, path.read_bytes()).hexdigest()
    metadata = (tmp_path / "android" / PLACE / "maven-metadata.xml").read_text()
    assert "lastUpdated" not in metadata and "<version>1.2.0</version>" in metadata


def test_packaged_twice_gives_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = made.content(tmp_path)
    packaged(tmp_path / "one" / "android", content)
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    monkeypatch.setenv("LC_ALL", "C")
    before = os.umask(0o077)
    try:
        packaged(tmp_path / "other" / "android", content)
    finally:
        os.umask(before)
    one, other = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "one", tmp_path / "other")
    )
    assert one == other


@pytest.mark.parametrize("group", ["", "Com.Example", "com..example", "com.new", "com.example;rm", "1com"])
def test_group_that_is_no_java_package_is_refused(tmp_path: Path, group: str) -> None:
    with pytest.raises(NoIdentifier) as caught:
        packaged(tmp_path / "android", made.content(tmp_path, about=About(group=group)))
    assert "group =" in caught.value.remedy


def test_model_without_a_letter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoIdentifier):
        packaged(tmp_path / "android", made.content(tmp_path, model="\u732b"))


def test_snapshot_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_jdk(monkeypatch)
    with pytest.raises(MovingVersion, match="moves"):
        packaged(tmp_path / "android", made.content(tmp_path, version="1.0.0-SNAPSHOT"))


def test_what_no_step_stands_for_is_left_to_the_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_jdk(monkeypatch)
    notes = packaged(tmp_path / "android", made.content(tmp_path, preprocessing={"divide_by": 255, "resize": 224}))
    assert any("left to the app: resize" in note for note in notes)


@pytest.mark.slow
def test_maven_resolves_it_and_refuses_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require(MAVEN.is_dir(), "Maven is not installed: apt-get install maven")
    with monkeypatch.context() as patch:
        without_jdk(patch)
        packaged(tmp_path / "android", made.content(tmp_path))
    programs = jdk.compiled(tmp_path / "classes", jdk.PROGRAMS / "Resolve.java", classpath=[MAVEN / "*"])

    def resolve(version: str, cache: str) -> tuple[int, str]:
        wanted = f"edgewright.models:tiny-net-android:aar:{version}"
        repository, local = tmp_path / "android" / "maven", tmp_path / cache
        done = jdk.run("Resolve", repository, local, wanted, classpath=[programs, MAVEN / "*"])
        return done.returncode, done.stdout + done.stderr

    assert resolve("1.2.0", "one") == (
        0,
        f"edgewright.models:tiny-net-android:aar:1.2.0 {tmp_path}/one/{AAR.removeprefix('maven/')}\n",
    )
    assert resolve("[1.0,2.0)", "range")[0] == 0
    assert resolve("1.3.0", "none")[0] != 0
    (tmp_path / "android" / AAR).write_bytes((tmp_path / "android" / AAR).read_bytes() + b"x")
    status, said = resolve("1.2.0", "changed")
    assert status != 0 and "Checksum validation failed" in said


@pytest.mark.slow
def test_gradle_resolves_the_line_of_the_manual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require(shutil.which("gradle"), "Gradle is not installed: apt-get install gradle")
    monkeypatch.setattr(java, "javac", lambda: None)
    packaged(tmp_path / "android", made.content(tmp_path))
    project = tmp_path / "app"
    project.mkdir()
    (project / "settings.gradle").write_text("rootProject.name = 'app'\n")
    (project / "build.gradle").write_text(
        f"""
        repositories {{ maven {{ url "{(tmp_path / "android" / "maven").as_uri()}" }} }}
        configurations {{ implementation }}
        dependencies {{ implementation("edgewright.models:tiny-net-android:1.2.0") }}
        task fetch(type: Copy) {{ from configurations.implementation; into "libs" }}
        """
    )
    apk.run("gradle", "--no-daemon", "--offline", "-g", tmp_path / "home", "fetch", folder=project)
    assert (project / "libs" / "tiny-net-android-1.2.0.aar").read_bytes() == (tmp_path / "android" / AAR).read_bytes()


@pytest.mark.slow
def test_apk_has_the_model_uncompressed_and_the_wrapper(tmp_path: Path, library: tuple[Path, list[str]]) -> None:
    made_here, folder = library[0], tmp_path
    app = apk.built(made_here / "android" / AAR, folder)
    assert "sdkVersion:'21'" in apk.run("aapt", "dump", "badging", app, folder=folder)
    listed = apk.run("aapt", "list", "-v", app, folder=folder).splitlines()
    assert any(line.split()[1] == "Stored" and line.endswith("assets/tiny-net.tflite") for line in listed if line)
    apk.run("zipalign", "-c", "4", app, folder=folder)
    apk.run("apksigner", "verify", "--min-sdk-version", "21", app, folder=folder)
    assert "Ledgewright/models/tiny_net/TinyNetModel;" in apk.run("dexdump", app, folder=folder)
    with zipfile.ZipFile(app) as archive:
        assert archive.read("assets/tiny-net.tflite") == (made_here / "android.tflite").read_bytes()
