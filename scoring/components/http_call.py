"""Requests to a service for molecules, in the worker process that sends them."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Any

import httpx

from molbuffer.scoring.components.joint_call import (
    Answer,
    CallError,
    Fault,
    Outputs,
    answers_of,
    json_of,
    matched,
    table_of_json,
)

MOST_BYTES = 64 * 2**20
"""The largest size of an answer, in bytes."""
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""The HTTP statuses after which a request is repeated."""
OF_MOLECULES = frozenset({400, 413, 422, 500})
"""The HTTP statuses that depend on the molecules: fewer are tried. With any other, no molecule has an answer."""
REFUSED = frozenset({400, 413, 422})
"""The HTTP statuses by which a service refuses the only molecule of a request: its score is failed."""
LONGEST_PAUSE = 60.0
"""The longest pause between two requests, in seconds, unless the service asks for more."""

_SHOWN = 200
_TURNS = count(random.SystemRandom().randrange(1000))
"""The number of the next endpoint: endpoints take turns, and processes begin with different ones."""


@dataclass(frozen=True)
class ServiceCall:
    """The settings of the requests to a service.

    Attributes:
        urls: the endpoints of the service, which all give the same values.
        parameters: JSON values that are sent with the molecules.
        headers: the headers of the requests.
        secret: the secret that is removed from error messages; empty without one.
        timeout: the longest time of a request, in seconds.
        retries: how often a failed request is repeated.
        pause: seconds before the first repetition; the pause doubles with each further one.
        most_patience: the longest pause that the service may ask for, in seconds.
        outputs: the values to read from the answer.
    """

    urls: Sequence[str]
    parameters: Mapping[str, Any]
    headers: Mapping[str, str] = field(repr=False)
    secret: str = field(repr=False)
    timeout: float
    retries: int
    pause: float
    most_patience: float
    outputs: Outputs


class _RequestError(Exception):
    """A request failed.

    Attributes:
        status: the HTTP status of the response; None without a response.
        after: the seconds that the service asks to wait; None if it does not ask.
    """

    def __init__(self, message: str, status: int | None = None, after: float | None = None) -> None:
        self.status, self.after = status, after
        super().__init__(message)


def score(molecules: Sequence[str], call: ServiceCall) -> list[Answer]:
    """Return the answer for each molecule."""
    with httpx.Client(timeout=call.timeout, headers=dict(call.headers)) as client:
        return answers_of(lambda part: _answers(part, call, client), molecules, len(call.outputs.names))


def _answers(molecules: Sequence[str], call: ServiceCall, client: httpx.Client) -> list[Answer]:
    more = {"parameters": dict(call.parameters)} if call.parameters else {}
    body = json_of(molecules, **more).encode()
    return matched(table_of_json(_text(body, call, client)), molecules, call.outputs)


def _text(body: bytes, call: ServiceCall, client: httpx.Client) -> str:
    """Return the answer to a request; a failed request is repeated at the next endpoint.

    Raises:
        CallError: no request had an answer.
    """
    first = next(_TURNS)
    for attempt in count():
        url = call.urls[(first + attempt) % len(call.urls)]
        try:
            return _without_secret(_ask(url, body, client, call.timeout), call)
        except _RequestError as error:
            reason = _without_secret(str(error), call)
            again = error.status is None or error.status in AGAIN
            if again and error.after is not None and error.after > call.most_patience:
                reason += (
                    f"; it asks to wait {error.after:.4g} seconds by Retry-After, and most_patience allows "
                    f"{call.most_patience:.4g}"
                )
                raise CallError(reason, _fault_of(error.status)) from None
            if not again or attempt >= call.retries:
                raise CallError(reason, _fault_of(error.status)) from None
            # There is no pause before a request to another endpoint, only after all of them have failed.
            if error.after is not None or (attempt + 1) % len(call.urls) == 0:
                time.sleep(_pause(attempt // len(call.urls), error.after, call))
    raise AssertionError("unreachable")


def _fault_of(status: int | None) -> Fault:
    if status in REFUSED:
        return Fault.ALONE
    return Fault.LOST if status in OF_MOLECULES else Fault.GONE


def _pause(turn: int, after: float | None, call: ServiceCall) -> float:
    """Return the seconds to wait: those that the service asks for, else a doubling pause with random jitter."""
    if after is not None:
        return after
    spread: float = random.SystemRandom().uniform(0.75, 1.25)
    return min(LONGEST_PAUSE, call.pause * 2.0**turn) * spread


def _ask(url: str, body: bytes, client: httpx.Client, timeout: float) -> str:
    late = CallError(f"{url} gave no answer within {timeout:g} seconds", Fault.TIMEOUT)
    deadline, content = time.monotonic() + timeout, bytearray()
    try:
        with client.stream("POST", url, content=body, headers={"Content-Type": "application/json"}) as response:
            for part in response.iter_bytes():
                content += part
                if len(content) > MOST_BYTES:
                    raise CallError(f"{url} answered with more than {MOST_BYTES // 2**20} MiB")
                if time.monotonic() > deadline:
                    raise late
    except httpx.ReadTimeout:
        raise late from None
    except httpx.HTTPError as error:
        raise _RequestError(f"{url} did not answer: {type(error).__name__}: {error}") from None
    if not response.is_success:
        said = content[:_SHOWN].decode("utf-8", "replace").strip()
        message = f"{url} answered {response.status_code} {response.reason_phrase}" + (f": {said}" if said else "")
        raise _RequestError(message, response.status_code, _retry_after(response.headers.get("Retry-After")))
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CallError(f"the answer of {url} is no UTF-8: {error}") from None


def _retry_after(text: str | None) -> float | None:
    """Return the seconds to wait by a header Retry-After, a number of seconds or a date; None without a header."""
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _without_secret(text: str, call: ServiceCall) -> str:
    """Return a text with the secret masked, which a service may repeat in its answer."""
    return text.replace(call.secret, "***") if call.secret else text
