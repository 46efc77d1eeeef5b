"""The component that calls a service of the user over HTTP."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from annotated_types import Ge, Gt

from molbuffer.kinds import Count, NotNegative, Text, Typed, checked
from molbuffer.scoring.components.base import Cost
from molbuffer.scoring.components.joint_call import Answer, Outputs
from molbuffer.scoring.components.joint_component import JointCalls
from molbuffer.scoring.errors import ScoringConfigurationError
from molbuffer.scoring.identity import sha256_of

_SECRET_HEADERS = ("authorization", "cookie", "proxy-authorization", "x-api-key")


@checked
@dataclass(frozen=True)
class HTTPService(JointCalls):
    """Raw values from a service, which receives molecules and answers with a value for each.

    A request is a POST of ``{"molecules": [{"id": ..., "smiles": ...}], "parameters": {...}}``; the answer is a list of
    objects with an id and values, or an object with such a list under ``results``. An object with a text under
    ``error`` says that the molecule has no value. Components that differ only in `output` and `name` share their
    requests. While the service is not available, scores are lost, and tried again in the next run.

    Attributes:
        urls: the endpoints of the service, which all give the same values. They take turns; a failed request is
            repeated at the next one.
        revision: a text to change when the service changes in something that the values depend on.
        output: the name of the value in the answer; it may be left out if there is only one.
        std: the name of the standard deviation of the value in the answer, for components with `pessimism`; by default
            there is none.
        id_column: the name of the id in the answer.
        parameters: JSON values that are sent with the molecules.
        headers: further headers of the requests. They are stored with the run; a secret belongs to `auth`.
        auth: the environment variable with the secret of the service, which is not stored.
        auth_header: the header with the secret.
        auth_scheme: the word before the secret.
        cost: high: each score is committed as soon as its request is answered, and no two processes ask for the same.
        batch_size: the largest number of molecules of a request.
        connections: the largest number of simultaneous requests.
        timeout: the longest time that a request waits for the service, in seconds.
        retries: how often a request is repeated after no response, or the status 408, 425, 429, 500, 502, 503 or 504.
        pause: the seconds before the first repetition; the pause doubles with each further one. Retry-After of the
            service overrides it, and a repetition at an endpoint that has not failed yet needs none.
        most_patience: the longest pause that the service may ask for, in seconds; with a longer one, scores are lost.
        deterministic: whether the same molecule has the same value each time.
        name: the component's name in the history, ``http:`` and the output or the host by default.

    Example:
        >>> service = mb.HTTPService(["http://127.0.0.1:1/score"], revision="model 3", output="affinity", retries=0)
        >>> service.values(["CCO"])[0].lost
        True
    """

    urls: Annotated[Sequence[str], Typed(tuple[Text, ...])]
    revision: Text
    output: str = ""
    std: str = ""
    id_column: Text = "id"
    parameters: Annotated[Mapping[str, Any], Typed(dict[str, Any])] = field(default_factory=dict)
    headers: Annotated[Mapping[str, str], Typed(dict[str, str])] = field(default_factory=dict)
    auth: str = ""
    auth_header: Text = "Authorization"
    auth_scheme: str = "Bearer"
    cost: Cost = "high"
    batch_size: Count = 64
    connections: Count = 1
    timeout: Annotated[float, Gt(0)] = 60.0
    retries: NotNegative = 4
    pause: Annotated[float, Ge(0)] = 1.0
    most_patience: Annotated[float, Ge(0)] = 300.0
    deterministic: bool = True
    name: str = ""

    kind: ClassVar[str] = "http"
    bounded: ClassVar[bool] = True
    parallel: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("parameters", "headers"):
            object.__setattr__(self, name, dict(getattr(self, name)))
        object.__setattr__(self, "urls", tuple(self.urls))
        if not self.urls:
            raise ScoringConfigurationError("urls: expected the endpoints of a service, got none")
        for url in self.urls:
            _check_url(url)
        if secret := [name for name in self.headers if name.lower() in _SECRET_HEADERS]:
            raise ScoringConfigurationError(
                f"headers are stored with the run, and {secret[0]} has a secret: put it into an environment variable, "
                "and name the variable in `auth`"
            )
        object.__setattr__(self, "name", self.name or f"{self.kind}:{self.output or urlsplit(self.urls[0]).hostname}")
        try:
            _ = self.version
        except (TypeError, ValueError) as error:
            raise ScoringConfigurationError(
                f"the parameters of {self.name!r} must be JSON values, got {self.parameters!r}: {error}"
            ) from None

    @cached_property
    def call(self) -> str:
        """The sha256 of everything that the answers depend on; components with the same one share their requests."""
        return sha256_of(
            {
                "kind": self.kind,
                "revision": self.revision,
                "id_column": self.id_column,
                "parameters": self.parameters,
            }
        )

    @cached_property
    def version(self) -> str:
        return sha256_of({"call": self.call, "output": self.output, "std": self.std})

    @property
    def processes(self) -> int:
        """The largest number of simultaneous requests."""
        return self.connections

    def work(self, outputs: Outputs) -> tuple[Callable[..., list[Answer]], tuple[Any, ...]]:
        """Return the function that makes a call in another process, and its arguments.

        Raises:
            ScoringConfigurationError: the environment does not have the secret.
        """
        # Imported here, since a process that only reads a configuration does not need an HTTP client.
        from molbuffer.scoring.components import http_call

        # Read now: the process that makes the call may have been started before the variable was set.
        secret = self._secret() if self.auth else ""
        authorised = {self.auth_header: f"{self.auth_scheme} {secret}".strip()} if secret else {}
        call = http_call.ServiceCall(
            urls=self.urls,
            parameters=self.parameters,
            headers={**self.headers, **authorised},
            secret=secret,
            timeout=self.timeout,
            retries=self.retries,
            pause=self.pause,
            most_patience=self.most_patience,
            outputs=outputs,
        )
        return http_call.score, (call,)

    def _secret(self) -> str:
        secret = os.environ.get(self.auth, "").strip()
        if not secret:
            raise ScoringConfigurationError(
                f"the environment variable {self.auth} with the secret of {self.name!r} is not set"
            )
        if not (secret.isascii() and secret.isprintable()):
            raise ScoringConfigurationError(f"the secret in {self.auth} has characters that HTTP headers cannot have")
        return secret


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ScoringConfigurationError(
            f"expected the URL of an endpoint, such as https://host:8000/score, got {url!r}"
        )
    if parts.username or parts.password:
        raise ScoringConfigurationError(
            f"the URL at {parts.hostname} has a password, which would be stored with the run: put it into an "
            "environment variable, and name the variable in `auth`"
        )
    try:
        _ = parts.port
    except ValueError as error:
        raise ScoringConfigurationError(f"{url!r} is no URL: {error}") from None
