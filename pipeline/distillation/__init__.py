"""Learning from a teacher: its logits (logits.py), and what its stages see on the way there (transfer.py).

`lesson.teaching` joins both. Only the logits are named here: steps that merely run a network then depend on no more.
"""

from __future__ import annotations

from pipeline.distillation.logits import Teacher, logits_of, teacher_of

__all__ = ["Teacher", "logits_of", "teacher_of"]
