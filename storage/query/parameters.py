"""The parameters of a user's query."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import UTC, date, datetime
from typing import Any

from molbuffer.storage.errors import QueryError

TIMESTAMP, DATE = "timestamp", "date"
"""The keys that mark times in the JSON for the process of the query; ``query.worker`` uses the same two."""

Parameters = Sequence[Any] | Mapping[str, Any]
"""Values for each ``?`` in the order of the text, or for each ``$name`` by its name."""


def as_json(parameters: Parameters) -> list[Any] | dict[str, Any]:
    """Return parameters as JSON values for the process of the query.

    Raises:
        QueryError: a parameter has a type that is not supported.
    """
    if isinstance(parameters, Mapping):
        return {str(name): _value(f"${name}", value) for name, value in parameters.items()}
    if isinstance(parameters, (str, bytes, Set)) or not isinstance(parameters, Iterable):
        raise QueryError(f"parameters are a list, or a mapping of names, got {parameters!r}: write [{parameters!r}]")
    return [_value(f"number {number}", value) for number, value in enumerate(parameters, 1)]


def _value(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        # Timestamps are stored in UTC, without a zone.
        value = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo is not None else value
        return {TIMESTAMP: value.isoformat()}
    if isinstance(value, date):
        return {DATE: value.isoformat()}
    if isinstance(value, (list, tuple)):
        return [_value(name, each) for each in value]
    # ``item`` converts scalars of numpy and the like to Python numbers.
    value = value.item() if hasattr(value, "item") and not isinstance(value, type) else value
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise QueryError(
        f"the parameter {name} of the query must be a finite number, a text, a truth value, a date, None or a list of "
        f"these, got {value!r} of type {type(value).__name__}"
    )
