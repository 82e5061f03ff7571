"""A night's verdicts, posted as JSON to an address of the team's. It never fails a night: what went wrong is a warning,
and the address, which may hold a secret, is never printed beyond its host."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import IO, Any
from urllib.parse import urlsplit

from device_agents.farm.night.out.telling import missing, sentence
from device_agents.farm.night.record import Night
from edgewright.files import canonical_json

SCHEMA = "edgewright-webhook/1"
SIGNATURE = "X-Edgewright-Signature"
"""Holds `sha256=` and the HMAC-SHA256 of the body in hexadecimal, where there is a key."""
MOST = 500
"""Verdicts, and things not measured, that are told one by one."""
RETRIES = 2
TIMEOUT_S = 10.0
LIMIT_S = 60.0
"""All tries together: a server that drips its answer is not waited for."""


def payload(night: Night, link: str | None = None) -> dict[str, Any]:
    """What is posted. `verdicts` are those that are not "same", regressions first; `counts` is of all of them."""
    worse = set(night.regressions)
    told = [
        {
            **{name: one["key"][name] for name in ("model", "variant", "target", "device", "runtime", "precision")},
            **{name: one.get(name) for name in ("metric", "verdict", "ratio", "reason", "report", "found_tonight")},
            "regression": place in worse,
        }
        for place, one in enumerate(night.verdicts)
        if one["verdict"] != "same"
    ]
    told.sort(key=lambda one: not one["regression"])
    absent = [vars(one) for one in missing(night)]
    return {
        "schema": SCHEMA,
        "night": night.id,
        "status": night.status,
        "sentence": sentence(night),
        "started": night.started,
        "finished": night.finished,
        "commit": night.commit,
        "host": night.host,
        "link": link,
        "counts": dict(Counter(str(one["verdict"]) for one in night.verdicts)),
        "verdicts": told[:MOST],
        "not_measured": absent[:MOST],
        "left_out": max(0, len(told) - MOST) + max(0, len(absent) - MOST),
    }


def send(
    night: Night,
    url: str,
    *,
    key: str | None = None,
    link: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
    timeout_s: float = TIMEOUT_S,
    limit_s: float = LIMIT_S,
) -> str | None:
    """Posts a night; None where it was taken (2xx), else what went wrong, in one sentence. Raises nothing.

    Server errors (5xx) and broken connections are tried again twice; redirects are not followed. key: signs the body.
    """
    body = canonical_json(payload(night, link))
    headers = {"Content-Type": "application/json", "User-Agent": "edgewright", "X-Edgewright-Night": night.id}
    if key:
        headers[SIGNATURE] = "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
    said: list[str | None] = []

    def work() -> None:
        said.append(_posted(url, body, headers, sleep, timeout_s))

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(limit_s)
    problem = said[0] if said else f"no answer within {limit_s:.0f} s"
    return f"the webhook at {where(url)} was not told: {problem}" if problem else None


def where(url: str) -> str:
    """Scheme and host of an address: all of it that may be shown."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname}" if parts.hostname else "(no host)"
    except ValueError:
        return "(no host)"


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nothing: the next host was not named by anyone here."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        return None


def _posted(
    url: str, body: bytes, headers: dict[str, str], sleep: Callable[[float], None], timeout_s: float
) -> str | None:
    if not url.lower().startswith(("http://", "https://")):
        return "its address does not begin with http:// or https://"
    problem: str | None = None
    for attempt in range(1 + RETRIES):
        if attempt:
            sleep(4.0 ** (attempt - 1))
        problem, again = _once(url, body, headers, timeout_s)
        if not again:
            break
    return problem


def _once(url: str, body: bytes, headers: dict[str, str], timeout_s: float) -> tuple[str | None, bool]:
    """(what went wrong or None, whether another try may help). What an exception says is not shown: it may hold the
    address."""
    try:
        request = urllib.request.Request(url, data=body, headers=headers, method="POST")
        with urllib.request.build_opener(_Stay).open(request, timeout=timeout_s):
            return None, False
    except urllib.error.HTTPError as error:
        error.close()
        return f"it answered {error.code}", error.code >= 500
    except urllib.error.URLError as error:
        return _named(error.reason), True
    except (OSError, http.client.HTTPException) as error:
        # An address that can't be one stays so; all else is a broken connection.
        return _named(error), not isinstance(error, http.client.InvalidURL)
    except ValueError as error:
        return _named(error), False


def _named(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "it timed out"
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__
