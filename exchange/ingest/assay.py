"""A table of measured or computed values, such as that of an assay: a row for each molecule."""

from __future__ import annotations

from collections.abc import Sequence

from molbuffer.exchange.errors import IngestError
from molbuffer.exchange.ingest.columns import FileColumns, check_column

_KIND = "the table"


def assay_columns(names: Sequence[str], reward: str | None = None) -> FileColumns:
    """Return the roles of the columns of a table of values.

    Args:
        names: the columns beside that of the molecules.
        reward: the column of the reward; None is the only column.

    Raises:
        IngestError: the table lacks the column, or has several columns and ``reward`` is None.
    """
    if reward is None:
        if len(names) != 1:
            raise IngestError(
                f"{_KIND} has the columns {', '.join(map(repr, names)) or 'none'} beside the molecules; name the "
                "column of the values with --reward"
            )
        reward = names[0]
    return FileColumns(check_column(_KIND, names, reward))
