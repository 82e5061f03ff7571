"""Recipes: six lines are enough, and a wrong one is told file, key and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.errors import EdgewrightError
from pipeline.locate import NotFound
from pipeline.recipe import BadRecipe, UnknownModel, read_recipe, recipe_files

GOOD = 'factory = "models.architectures.resnet:resnet8"\ndata = "digits"\n'


def _read(folder: Path, content: str) -> None:
    path = folder / "mine.toml"
    path.write_text(content)
    read_recipe(str(path), folder)


@pytest.mark.parametrize("name", ["digits", "resnet8", "resnet20"])
def test_shipped_recipe_reads(name: str, tmp_path: Path) -> None:
    recipe = read_recipe(name, tmp_path)
    assert recipe.name == name
    assert recipe.metric.floor > 0.8
    assert recipe.shrink


def test_recipe_of_two_lines_has_sensible_defaults(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.toml").write_text(GOOD)
    recipe = read_recipe("mine", tmp_path)
    assert (recipe.name, recipe.folder) == ("mine", (tmp_path / "models").resolve())
    assert (recipe.metric.name, recipe.seed, recipe.weights) == ("top-1", 0, None)
    (shrink,) = recipe.shrink
    assert (shrink.filters, shrink.blocks, shrink.criterion) == (0.5, 0.0, "taylor")


def test_own_recipe_wins_over_a_shipped_one_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "digits.toml").write_text("seed = 9\n" + GOOD)
    assert read_recipe("digits", tmp_path).seed == 9
    assert {"digits", "resnet8", "resnet20"} <= set(recipe_files(tmp_path))


def test_unknown_model_says_what_there_is(tmp_path: Path) -> None:
    for name in ("resnet9", str(tmp_path / "nowhere.toml")):
        with pytest.raises(UnknownModel) as caught:
            read_recipe(name, tmp_path)
        assert name in caught.value.what
        assert "digits" in caught.value.remedy


@pytest.mark.parametrize(
    ("content", "where", "says"),
    [
        (GOOD + "[train]\nepoch = 3\n", "train.epoch", "did you mean 'epochs'?"),
        (GOOD + "fator = 3\n", "fator", "did you mean 'factory'?"),
        (GOOD + "[[shrink]]\nfilter = 0.5\n", "shrink.0.filter", "did you mean 'filters'?"),
        (GOOD + "[metric]\nflor = 0.5\n", "metric.flor", "did you mean 'floor'?"),
        ('data = "digits"\n', "factory", "The key 'factory' is missing"),
        ('factory = "models.architectures.resnet:resnet8"\n', "data", "The key 'data' is missing"),
        (GOOD + 'seed = "three"\n', "seed", "'three'"),
        (GOOD + 'metric = "top-1"\n', "metric", "'top-1'"),
        (GOOD + "[train]\nbatch = 1\n", "train.batch", "greater than or equal to 2"),
        (GOOD + "[train]\nlearning_rate = 0\n", "train.learning_rate", "greater than 0"),
        (GOOD + '[train]\naugment = ["spin"]\n', "train.augment.0", "'spin'"),
        (GOOD + "[[shrink]]\nfilters = 1.0\n", "shrink.0.filters", "less than 1"),
        (GOOD + "[[shrink]]\nfilters = -0.5\n", "shrink.0.filters", "greater than or equal to 0"),
        (GOOD + "[[shrink]]\nblocks = 1.5\n", "shrink.0.blocks", "less than or equal to 1"),
        (GOOD + '[[shrink]]\nname = "empty"\n', "shrink.0", "nothing to shrink: set blocks or filters"),
        (GOOD + '[[shrink]]\nname = "int8"\nfilters = 0.5\n', "shrink.0", "'int8' is taken"),
        (GOOD + '[[shrink]]\nname = "../x"\nfilters = 0.5\n', "shrink.0.name", "pattern"),
        (GOOD + "[[shrink]]\nfilters = 0.5\n[[shrink]]\nfilters = 0.2\n", "mine.toml", "the same name"),
        (GOOD + '[[shrink]]\nfilters = 0.5\ncriterion = "l2"\n', "shrink.0.criterion", "'l2'"),
        (GOOD + "[[shrink]]\nfilters = 0.5\nrounds = 0\n", "shrink.0.rounds", "greater than or equal to 1"),
        (GOOD + "[check]\nagreement = 95\n", "check.agreement", "less than or equal to 1"),
        (GOOD + 'name = "x"\n', "name", "file's own name and folder count"),
        (GOOD + 'weights = "w.safetensors"\n', "weights = 'w.safetensors'", "weights file is not there"),
        ('factory = "models.architectures.resnet:resnet8"\ndata = "mnist"\n', "data", "no data set 'mnist'"),
        ("factory = \n", "mine.toml", "not TOML"),
    ],
)
def test_bad_recipe_names_file_key_and_remedy(tmp_path: Path, content: str, where: str, says: str) -> None:
    with pytest.raises(BadRecipe) as caught:
        _read(tmp_path, content)
    assert str(tmp_path / "mine.toml") in caught.value.where
    assert where in caught.value.where
    assert says in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ('factory = "net.py:make"\ndata = "digits"\n', "factory = 'net.py:make'"),
        ('factory = "no_such_package_at_all:make"\ndata = "digits"\n', "factory"),
        ('factory = "make"\ndata = "digits"\n', "factory"),
        ('factory = "models.architectures.resnet:resnet8"\ndata = "own.py:load"\n', "data = 'own.py:load'"),
        (GOOD + '[metric]\nname = "own.py:metric"\n', "metric.name = 'own.py:metric'"),
        (GOOD + '[metric]\nname = "top-5"\n', "metric.name"),
        (GOOD + '[train]\nloss = "own.py:loss"\n', "train.loss = 'own.py:loss'"),
    ],
)
def test_recipe_that_names_what_is_not_there_is_refused_before_any_work(
    tmp_path: Path, content: str, where: str
) -> None:
    with pytest.raises(NotFound) as caught:
        _read(tmp_path, content)
    assert where in caught.value.where
    assert "mine.toml" in caught.value.where
    assert caught.value.remedy


def test_recipe_that_is_a_folder_or_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00\x01")
    for name in ("folder", "binary"):
        with pytest.raises(EdgewrightError, match=name):
            read_recipe(str(tmp_path / f"{name}.toml"), tmp_path)
