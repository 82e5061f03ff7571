"""Recipes: six lines are enough, and a wrong one is told file, key and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.errors import EdgewrightError
from pipeline.locate import NotFound
from pipeline.recipe import BadRecipe, UnknownModel, fine_tuning, read_recipe, recipe_files

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
    assert (recipe.shrink, recipe.search.budget, recipe.quantise.calibration) == ((), "30m", "auto")


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
        (GOOD + '[[shrink]]\nname = "empty"\n', "shrink.0", "nothing to shrink: set blocks, filters, heads"),
        (GOOD + '[[shrink]]\nname = "int8"\nfilters = 0.5\n', "shrink.0", "'int8' is taken"),
        (GOOD + '[[shrink]]\nname = "../x"\nfilters = 0.5\n', "shrink.0.name", "pattern"),
        (GOOD + "[[shrink]]\nfilters = 0.5\n[[shrink]]\nfilters = 0.2\n", "mine.toml", "the same name"),
        (GOOD + '[[shrink]]\nfilters = 0.5\ncriterion = "l3"\n', "shrink.0.criterion", "'l3'"),
        (GOOD + "[[shrink]]\nfilters = 0.5\nrounds = 0\n", "shrink.0.rounds", "greater than or equal to 1"),
        (GOOD + "[check]\nagreement = 95\n", "check.agreement", "less than or equal to 1"),
        (GOOD + "teachers = 1\n", "teachers", "no key of a recipe"),
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
        (GOOD + '[[shrink]]\nstudent = "own.py:small"\n', "shrink.0.student = 'own.py:small'"),
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


@pytest.mark.parametrize(
    ("keys", "where", "says"),
    [
        ("macs = 0.5\nparams = 0.5", "shrink.0", "macs and params are two budgets"),
        ("macs = 0.5\nfilters = 0.5", "shrink.0", "macs is a budget that decides filters itself"),
        ("macs = 1.0", "shrink.0.macs", "less than 1"),
        ("bytes = 0.0", "shrink.0.bytes", "greater than 0"),
        ("blocks = 0.5\nstructures = ['heads']", "shrink.0", "structures says what a budget may take from"),
        ("macs = 0.5\nstructures = ['layers']", "shrink.0.structures.0", "'filters', 'heads' or 'neurons'"),
        ("macs = 0.5\nstructures = []", "shrink.0.structures", "at least 1 item"),
        ("heads = 1.0", "shrink.0.heads", "less than 1"),
        ("neurons = -0.1", "shrink.0.neurons", "greater than or equal to 0"),
        ("sparsity = 1.0", "shrink.0.sparsity", "less than 1"),
        ("weight_bits = 8", "shrink.0.weight_bits", "less than or equal to 7"),
        ("weight_bits = 5", "shrink.0", "nothing to shrink"),
        ("filters = 0.5\nweight_bits = 5\nrewind = 'initial'", "shrink.0", "a lottery ticket is of weights"),
        ("sparsity = 0.9\npattern = '2:4'", "shrink.0", "2:4 is exactly half of the weights"),
        ("pattern = '2:4'\nscope = 'local'", "shrink.0", "leave scope out"),
        ("pattern = '1:4'", "shrink.0.pattern", "'unstructured' or '2:4'"),
        ("filters = 0.5\nscope = 'local'", "shrink.0", "scope is of the zeros"),
        ("sparsity = 0.9\ncriterion = 'movement'", "shrink.0", "zeros go by magnitude"),
        ("filters = 0.5\nlayer_importance = 'metric'", "shrink.0", "layer_importance is of blocks"),
        ("filters = 0.5\nranking = 'loca'", "shrink.0.ranking", "'local', 'global' or 'group'"),
        ("filters = 0.5\nskip = ['']", "shrink.0.skip", "would skip every module"),
        ("filters = 0.5\nmin_heads = 0", "shrink.0.min_heads", "greater than or equal to 1"),
        ("filters = 0.5\ncurve = 'cubic'", "shrink.0", "curve shares the work out over rounds"),
        ("filters = 0.5\nrounds = 2\ncurve = 'steep'", "shrink.0.curve", "'linear', 'cubic' or 'geometric'"),
        ("filters = 0.5\nepochs = 3\nfine_tune = 0.3", "shrink.0", "say the same thing twice"),
        ("filters = 0.5\nfine_tune = 1.5", "shrink.0.fine_tune", "less than or equal to 1"),
        ("filters = 0.5\nlearning_rates = 'rewind'\nlearning_rate = 0.1", "shrink.0", "leave learning_rate out"),
        ("filters = 0.5\nlearning_rates = 'rewind'\nepochs = 7", "shrink.0.learning_rates", "last 7 of 6 epochs"),
        ("filters = 0.5\nrewind = 'initial'\nepochs = 3", "shrink.0", "trains for the whole schedule"),
        ("rewind = 'early'\nstudent = 'models.architectures.resnet:resnet8'", "shrink.0", "rewind goes with pruning"),
        ("filters = 0.5\nstages = [['a', 'b']]", "shrink.0", "stages is of a transfer"),
        ("filters = 0.5\ntransfer = 'hint'\nstages = [['a']]", "shrink.0.stages.0.1", "missing"),
        ("filters = 0.5\ndistillation = 0\nteacher = 'digits'", "shrink.0", "nobody is taught"),
        ("distillation = 0\nstudent = 'models.architectures.resnet:resnet8'", "shrink.0", "learns from a teacher"),
        ("student = 'models.architectures.resnet:resnet8'\nrounds = 3", "shrink.0", "has no rounds"),
        ("filters = 0.5\nstudent_arguments = { classes = 3 }", "shrink.0", "name its factory as student"),
        (
            "filters = 0.5\nteacher = 'resnet8'",
            "shrink.0.teacher",
            "learnt from 'fashion-mnist', this model from 'digits'",
        ),
        ("filters = 0.5\nteacher = 'mine.toml'", "shrink.0.teacher", "can't be its own teacher"),
    ],
)
def test_bad_shrink_names_key_and_what_is_wrong(tmp_path: Path, keys: str, where: str, says: str) -> None:
    with pytest.raises(BadRecipe) as caught:
        _read(tmp_path, f"{GOOD}[[shrink]]\n{keys}\n")
    assert where in caught.value.where
    assert says in str(caught.value)
    assert caught.value.remedy


def test_shrink_asks_of_the_recipe_what_given_weights_cannot_tell(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"weights")
    given = 'weights = "w.safetensors"\n' + GOOD + "[[shrink]]\nfilters = 0.5\n"
    with pytest.raises(BadRecipe, match="no early checkpoint") as caught:
        _read(tmp_path, given + "rewind = 'early'\n")
    assert "shrink.0.rewind" in caught.value.where
    assert "remove `weights`" in caught.value.remedy
    with pytest.raises(BadRecipe, match="displacement is how far training moved"):
        _read(tmp_path, given + "criterion = 'displacement'\n")
    with pytest.raises(BadRecipe, match=r"displacement is how far .* train.epochs is 0"):
        _read(tmp_path, GOOD + "[train]\nepochs = 0\n[[shrink]]\nfilters = 0.5\ncriterion = 'displacement'\n")
    for keys in ("rewind = 'initial'", "criterion = 'movement'"):
        _read(tmp_path, given + keys + "\n")
    path = tmp_path / "mine.toml"
    path.write_text(given + "rewind = 'early'\n")
    assert read_recipe(str(path), tmp_path, retrain=True).shrink[0].rewind == "early"


def test_shrink_early_checkpoint_lies_within_the_training(tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match="rewind_epoch = 6 leaves no epoch of 6") as caught:
        _read(tmp_path, GOOD + "[train]\nrewind_epoch = 6\n[[shrink]]\nfilters = 0.5\nrewind = 'early'\n")
    assert "shrink.0.rewind" in caught.value.where


def test_train_begin_is_no_key_of_a_recipe(tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match="leave it out"):
        _read(tmp_path, GOOD + "[train]\nbegin = 2\n")


@pytest.mark.parametrize(
    ("train", "keys", "epochs"),
    [(6, "", 1), (30, "", 6), (30, "fine_tune = 0.1", 3), (30, "epochs = 2", 2), (30, "fine_tune = 0", 0), (1, "", 1)],
)
def test_fine_tuning_is_a_share_of_training_or_said(tmp_path: Path, train: int, keys: str, epochs: int) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"{GOOD}[train]\nepochs = {train}\n[[shrink]]\nfilters = 0.5\n{keys}\n")
    recipe = read_recipe(str(path), tmp_path)
    assert fine_tuning(recipe, recipe.shrink[0]) == epochs


def test_teacher_is_read_by_name_or_path_with_the_same_data_only(tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "wide.toml").write_text(GOOD + "arguments = { widths = [32, 32, 64] }\n")
    path = tmp_path / "mine.toml"
    shrink = "[[shrink]]\nname = '{}'\nfilters = 0.5\nteacher = '{}'\n"
    path.write_text(GOOD + shrink.format("a", "big/wide.toml") + shrink.format("b", "digits"))
    recipe = read_recipe(str(path), tmp_path)
    assert {name: one.name for name, one in recipe.teachers.items()} == {"big/wide.toml": "wide", "digits": "digits"}
    assert recipe.teachers["big/wide.toml"].folder == (tmp_path / "big").resolve()
    path.write_text(GOOD + shrink.format("a", "big/narrow.toml"))
    with pytest.raises(UnknownModel) as caught:
        read_recipe(str(path), tmp_path)
    assert "shrink.0.teacher" in caught.value.where


def test_two_recipes_that_teach_each_other_are_read(tmp_path: Path) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        (tmp_path / f"{one}.toml").write_text(f"{GOOD}[[shrink]]\nfilters = 0.5\nteacher = '{other}.toml'\n")
    assert set(read_recipe(str(tmp_path / "a.toml"), tmp_path).teachers) == {"b.toml"}


def test_recipe_that_is_a_folder_or_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00\x01")
    for name in ("folder", "binary"):
        with pytest.raises(EdgewrightError, match=name):
            read_recipe(str(tmp_path / f"{name}.toml"), tmp_path)
