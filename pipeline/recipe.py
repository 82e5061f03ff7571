"""What was asked: one TOML file per model, read into a checked `Recipe`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

import models
from edgewright.errors import EdgewrightError
from edgewright.toml import BadToml, by_name, describe, read_toml
from models.data import SHIPPED
from pipeline.locate import source_of
from pipeline.pruning.criteria import NEEDS
from pipeline.quantising import Quantise
from pipeline.release.about import About
from pipeline.searching import Search
from pipeline.shrinking import Shrink
from pipeline.training import Schedule

BUILT_IN = Path(models.__file__).parent
DEFAULT_MODEL = "resnet8"


class UnknownModel(EdgewrightError):
    """No recipe of that name."""


class BadRecipe(EdgewrightError):
    """A recipe that can't be read or asks for something impossible."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Metric(_Strict):
    """What "still does its job" means. Higher is better."""

    name: str = Field("top-1", description="top-1, or an importable function of (outputs, targets) that gives a float")
    floor: float = Field(0.0, description="a variant below this is never shipped")


class Bounds(_Strict):
    """How far an exported file may depart from the network it came from (rule 4)."""

    float_difference: float = Field(
        1e-3, gt=0, description="worst |torch - float export| as a share of the outputs' spread"
    )
    agreement: float = Field(
        0.95, ge=0, le=1, description="INT8 gives the same top-1 as float on this share of the samples"
    )
    metric_drop: float = Field(0.02, ge=0, description="metric that INT8 may lose against float")
    samples: int = Field(2000, ge=16, description="real inputs that are compared")


class Training(Schedule):
    """How the network is trained, and where a lottery ticket may go back to."""

    rewind_epoch: int = Field(1, ge=1, description='the epoch whose weights are kept for shrink.rewind = "early"')

    @property
    def schedule(self) -> Schedule:
        """What the training loop is told."""
        return Schedule(**self.model_dump(exclude={"rewind_epoch"}))

    @model_validator(mode="after")
    def _from_the_start(self) -> Training:
        if "begin" in self.model_fields_set:
            raise ValueError("begin is set by shrink.learning_rates: leave it out")
        return self


class Recipe(_Strict):
    """One model. `folder` is where the recipe lies; what it names is looked for there first."""

    name: str
    folder: Path
    factory: str = Field(
        description="package.module:function or file.py:function that returns the untrained torch module"
    )
    arguments: dict[str, Any] = Field(default_factory=dict)
    data: str = Field(description="fashion-mnist, digits, or package.module:function that gives the four parts")
    data_arguments: dict[str, Any] = Field(default_factory=dict)
    weights: str | None = Field(None, description="trained weights (.safetensors), so that nothing needs training")
    seed: int = 0
    metric: Metric = Metric()
    train: Training = Training()
    shrink: tuple[Shrink, ...] = Field((), description="the variants to build; none: deploy searches for the best")
    search: Search = Search()
    quantise: Quantise = Quantise()
    check: Bounds = Bounds()
    about: About = Field(About(), description="words for the model card of a release")
    teachers: dict[str, Recipe] = Field(default_factory=dict, description="what shrink.teacher names, read")

    @model_validator(mode="after")
    def _distinct(self) -> Recipe:
        names = [shrink.name for shrink in self.shrink]
        if len(set(names)) != len(names):
            raise ValueError("two [[shrink]] tables have the same name: give each its own")
        return self


def recipe_files(root: Path) -> dict[str, Path]:
    """Recipe files by name: the project's own `models/` before the built-in ones."""
    return by_name(BUILT_IN, root / "models")


def read_recipe(name: str, root: Path, retrain: bool = False) -> Recipe:
    """A recipe by name, or by the path of a .toml file. Raises UnknownModel, BadRecipe, NotFound. Light.

    retrain: the trained weights that it names need not be there.
    """
    recipe, path = _read(name, root, retrain)
    for place, shrink in enumerate(recipe.shrink):
        _check_shrink(recipe, shrink, f"{path}: shrink.{place}", retrain)
    return recipe.model_copy(update={"teachers": _teachers(recipe, path, root)})


def _read(name: str, root: Path, retrain: bool) -> tuple[Recipe, Path]:
    """The recipe by itself, and its file."""
    files = recipe_files(root)
    path = Path(name) if name.endswith(".toml") else files.get(name)
    if path is None or not path.is_file():
        raise UnknownModel(
            f"There is no model {name!r}",
            where=str(path or root / "models"),
            remedy=f"take one of {', '.join(files)} (./inv models), or name a recipe: --model path/to/NAME.toml",
        )
    try:
        content = read_toml(path)
    except BadToml as error:
        raise BadRecipe(error.what, where=error.where, remedy=error.remedy) from error
    for key in ("name", "folder", "teachers"):
        if key in content:
            raise BadRecipe(
                f"{key!r} is no key of a recipe",
                where=f"{path}: {key}",
                remedy="remove it: the file's own name and folder count",
            )
    try:
        recipe = Recipe(name=path.stem, folder=path.parent.resolve(), **content)
    except ValidationError as error:
        what, key, remedy = describe(error, Recipe)
        raise BadRecipe(what, where=f"{path}: {key}" if key else str(path), remedy=remedy) from error
    _check_names(recipe, path, retrain)
    return recipe, path


def _check_names(recipe: Recipe, path: Path, retrain: bool) -> None:
    """Everything that the recipe names must be there before any long work starts."""
    source_of(recipe.factory, recipe.folder, f"{path}: factory")
    if recipe.data not in SHIPPED:
        if ":" not in recipe.data:
            raise BadRecipe(
                f"There is no data set {recipe.data!r}",
                where=f"{path}: data",
                remedy=f"take one of {', '.join(SHIPPED)}, or name a loader of your own: file.py:function",
            )
        source_of(recipe.data, recipe.folder, f"{path}: data")
    if recipe.metric.name != "top-1":
        source_of(recipe.metric.name, recipe.folder, f"{path}: metric.name")
    if recipe.train.loss != "cross-entropy":
        source_of(recipe.train.loss, recipe.folder, f"{path}: train.loss")
    if not retrain and recipe.weights is not None and not (recipe.folder / recipe.weights).is_file():
        raise BadRecipe(
            "The weights file is not there",
            where=f"{path}: weights = {recipe.weights!r} (in {recipe.folder})",
            remedy="correct the path, or remove the key and the model is trained from nothing",
        )


def _check_shrink(recipe: Recipe, shrink: Shrink, where: str, retrain: bool) -> None:
    """What a [[shrink]] table asks of the rest of the recipe."""
    given = recipe.weights is not None and not retrain
    if shrink.student is not None:
        source_of(shrink.student, recipe.folder, f"{where}.student")
    if shrink.rewind == "early":
        if given:
            raise BadRecipe(
                "There is no early checkpoint: the weights are given, nothing is trained",
                where=f"{where}.rewind",
                remedy='remove `weights` so that the model is trained here, or take rewind = "initial"',
            )
        if recipe.train.rewind_epoch >= recipe.train.epochs:
            raise BadRecipe(
                f"train.rewind_epoch = {recipe.train.rewind_epoch} leaves no epoch of {recipe.train.epochs} to train",
                where=f"{where}.rewind",
                remedy="lower train.rewind_epoch",
            )
    moved = shrink.student is not None or not (given or recipe.train.epochs == 0)
    if shrink.structured and "start" in NEEDS[shrink.criterion] and not moved:
        elsewhere = "`weights` were trained elsewhere" if given else "train.epochs is 0"
        raise BadRecipe(
            f"{shrink.criterion} is how far training moved the weights, but {elsewhere}",
            where=f"{where}.criterion",
            remedy="have the model trained here (no `weights`, [train] epochs), or take another criterion: movement",
        )
    longest = max(shrink.round_epochs if shrink.rounds > 1 else 0, fine_tuning(recipe, shrink))
    if shrink.learning_rates == "rewind" and longest > recipe.train.epochs:
        raise BadRecipe(
            f"Learning rates of the last {longest} of {recipe.train.epochs} epochs are asked",
            where=f"{where}.learning_rates",
            remedy=f"fine-tune for at most train.epochs = {recipe.train.epochs}",
        )


def fine_tuning(recipe: Recipe, shrink: Shrink) -> int:
    """Epochs of fine-tuning after the last round: said, or a share of the original training, at least one."""
    if shrink.epochs is not None:
        return shrink.epochs
    return max(1, round(shrink.fine_tune * recipe.train.epochs)) if shrink.fine_tune else 0


def _teachers(recipe: Recipe, path: Path, root: Path) -> dict[str, Recipe]:
    """The recipes of the teachers that `recipe` names, by the name that it uses; they must be of the same data."""
    found: dict[str, Recipe] = {}
    for place, shrink in enumerate(recipe.shrink):
        name, where = shrink.teacher, f"{path}: shrink.{place}.teacher"
        if name is None or name in found:
            continue
        file = recipe.folder / name if name.endswith(".toml") else recipe_files(root).get(name)
        if file is not None and file.resolve() == path.resolve():
            raise BadRecipe(
                "A network can't be its own teacher by name", where=where, remedy="leave teacher out: it is the default"
            )
        try:
            # How the teacher's recipe shrinks is no concern here: only its training joins the plan.
            teacher, _ = _read(str(file) if file else name, root, retrain=False)
        except EdgewrightError as error:
            error.where = f"{where} > {error.where}"
            raise
        if _data_of(teacher) != _data_of(recipe):
            raise BadRecipe(
                f"The teacher {name!r} learnt from {teacher.data!r}, this model from {recipe.data!r}",
                where=where,
                remedy="name a teacher of the same task: the same data and data_arguments",
            )
        found[name] = teacher
    return found


def _data_of(recipe: Recipe) -> tuple[str, dict[str, Any]]:
    named = recipe.data
    if named not in SHIPPED:
        named = f"{source_of(named, recipe.folder, 'data').resolve()}:{named.rpartition(':')[2]}"
    return named, recipe.data_arguments
