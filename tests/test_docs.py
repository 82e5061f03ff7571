"""What the documentation lists is what there is."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.pruning.criteria import CRITERIA
from pipeline.shrinking import Shrink


def test_every_key_and_criterion_of_shrink_is_documented(project_root: Path) -> None:
    text = (project_root / "docs" / "shrinking.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([^`]+)`", text))
    assert not set(Shrink.model_fields) - named
    assert not set(CRITERIA) - named


def test_example_of_the_documentation_is_a_recipe_that_can_be_read(project_root: Path, tmp_path: Path) -> None:
    from pipeline.recipe import read_recipe

    text = (project_root / "docs" / "shrinking.md").read_text(encoding="utf-8")
    example = "\n".join(line[4:] for line in text.partition("## An example")[2].splitlines() if line.startswith("    "))
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        'factory = "models.architectures.vit:vit_tiny"\ndata = "fashion-mnist"\n' + example, encoding="utf-8"
    )
    (shrink,) = read_recipe(str(recipe), tmp_path).shrink
    assert shrink.budget == ("macs", 0.5)


def test_every_target_and_its_keys_are_documented(project_root: Path) -> None:
    from targets.schema import FORMATS, Int8, Limits, Runtime, Sensors, Target, target_files

    named = set(re.findall(r"`([^`]+)`", (project_root / "docs" / "targets.md").read_text(encoding="utf-8")))
    keys = {key for model in (Target, Runtime, Int8, Limits, Sensors) for key in model.model_fields}
    assert not (keys - {"name", "runtime", "int8", "limits", "sensors"}) - named
    assert not {"[[runtime]]", "[limits]", "[sensors]", "int8", *FORMATS} - named
    assert not {format_ for formats in FORMATS.values() for format_ in formats} - named
    assert not set(target_files(project_root)) - named


def test_links_between_the_documents_lead_somewhere(project_root: Path) -> None:
    for page in (project_root / "README.md", *(project_root / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"
