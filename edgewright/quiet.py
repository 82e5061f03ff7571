"""Keeps a talkative library quiet, the C++ in it too."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing that the block writes is seen: neither Python's streams, logs and warnings nor descriptors 1 and 2.

    Another thread's output is lost meanwhile too. Descriptors that are closed stay closed.
    """
    noise = io.StringIO()
    disabled = logging.root.manager.disable
    with contextlib.ExitStack() as stack:
        for number in (1, 2):
            stack.enter_context(_silent(number))
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(contextlib.redirect_stdout(noise))
        stack.enter_context(contextlib.redirect_stderr(noise))
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        stack.callback(logging.disable, disabled)
        yield


@contextlib.contextmanager
def _silent(number: int) -> Iterator[None]:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()  # what was written before goes where it was meant to go
    try:
        kept = os.dup(number)
    except OSError:
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
        yield
    finally:
        os.dup2(kept, number)
        os.close(kept)
