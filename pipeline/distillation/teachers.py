"""Whether one network can teach another: the same inputs, the same number of outputs, all finite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewright.errors import EdgewrightError

if TYPE_CHECKING:
    from torch import Tensor, nn

_REMEDY = "name a teacher that was trained for the same data set and labels (shrink.teacher), or leave it out"


class WrongTeacher(EdgewrightError):
    """A teacher of another task: it can't take the student's inputs, or says something else about them."""


def check_teacher(student: nn.Module, teacher: nn.Module, x: Tensor, where: str = "shrink.teacher") -> None:
    """Runs both on the first two samples of `x` [N, ...]; both end in evaluation mode. Raises WrongTeacher."""
    import torch

    with torch.no_grad():
        wanted = student.eval()(x[:2])
        try:
            got = teacher.eval()(x[:2])
        except Exception as error:  # the user's forward may raise anything
            raise WrongTeacher(
                f"This is a teacher of another task: it can't take samples {list(x.shape[1:])} {x.dtype}: "
                f"{(str(error).strip().splitlines() or [type(error).__name__])[0]}",
                where=where,
                remedy=_REMEDY,
            ) from error
    if not isinstance(got, torch.Tensor) or got.shape != wanted.shape:
        gives = f"outputs {list(got.shape[1:])}" if isinstance(got, torch.Tensor) else type(got).__name__
        raise WrongTeacher(
            f"This is a teacher of another task: it gives {gives}, the student {list(wanted.shape[1:])}",
            where=where,
            remedy=_REMEDY,
        )
    if not torch.isfinite(got).all():
        raise WrongTeacher(
            "The teacher's outputs are NaN or infinite", where=where, remedy="look at how the teacher was trained"
        )
