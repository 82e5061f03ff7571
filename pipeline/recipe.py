"""What was asked: one TOML file per model, read into a checked `Recipe`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

import models
from edgewright.errors import EdgewrightError
from edgewright.toml import BadToml, by_name, describe, read_toml
from models.data import SHIPPED
from pipeline.locate import source_of
from pipeline.pruning.criteria import CRITERIA
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


class Shrink(_Strict):
    """One way of shrinking. `blocks` and `filters` can be combined."""

    name: str = Field("pruned", pattern=r"^[a-z0-9][a-z0-9._-]{0,30}$")
    blocks: float = Field(0.0, ge=0, le=1, description="share of the removable residual blocks to remove")
    filters: float = Field(0.0, ge=0, lt=1, description="share of the channels to remove")
    criterion: str = Field("taylor", description="a function of pipeline/pruning/criteria.py")
    ranking: Literal["local", "global"] = Field("local", description="local: the same share of every group")
    min_width: int = Field(8, ge=1, description="channels that every group keeps at least")
    samples: int = Field(2048, ge=32, description="training samples that the Taylor criterion sees")
    rounds: int = Field(1, ge=1, le=50, description="1 is one-shot; more prune a share each, with fine-tuning between")
    round_epochs: int = Field(1, ge=0, description="fine-tuning between rounds")
    epochs: int = Field(3, ge=0, description="fine-tuning after the last round")
    learning_rate: float = Field(0.1, gt=0)
    temperature: float = Field(4.0, gt=0, description="of the distillation from the unpruned teacher")
    distillation: float = Field(0.7, ge=0, le=1, description="weight of the teacher's loss; 0 is plain fine-tuning")

    @field_validator("criterion")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in CRITERIA:
            raise ValueError(f"there is no such criterion: take one of {', '.join(CRITERIA)}")
        return value

    @model_validator(mode="after")
    def _shrinks(self) -> Shrink:
        if self.blocks == 0 and self.filters == 0:
            raise ValueError("nothing to shrink: set blocks or filters (a share between 0 and 1)")
        if self.name in ("trained", "int8"):
            raise ValueError(f"the name {self.name!r} is taken by a variant that is always built")
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
    train: Schedule = Schedule()
    shrink: tuple[Shrink, ...] = (Shrink(filters=0.5),)
    check: Bounds = Bounds()

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
    for key in ("name", "folder"):
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
    return recipe


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
