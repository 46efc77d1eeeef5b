"""One record for the rows of molecules, which a sampler draws, the store keeps and a learner receives.

The fields of ``Rows`` define the columns. A field states a column's name, its axis, its types, its fill value for a row
without a value, and whether segments keep it. Segments, the decoded cache, drawing, replay and batches use ``COLUMNS``,
so that a column that is added here passes through all of them.

Strings and the identifiers of rows are no columns: they are in the tables of the catalog and are never gathered.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Chosen = slice | Sequence[int] | NDArray[np.integer] | NDArray[np.bool_]
"""A choice of rows: a slice, positions, or a mask."""


@dataclass(frozen=True)
class Axis:
    """The second axis of a column.

    Attributes:
        name: the name of the axis; columns of one axis are equally wide.
        lengths: the column with the number of filled places of each row; None if every row is filled.
    """

    name: str
    lengths: str | None = None


TOKENS = Axis("tokens", lengths="lengths")
SOURCE_TOKENS = Axis("source_tokens", lengths="source_lengths")
LATENTS = Axis("latents")


@dataclass(frozen=True)
class Column:
    """The definition of a column.

    Attributes:
        name: the name of the field of ``Rows``, and of the array in a segment.
        dtypes: the types that the column can have, the smallest first.
        axis: the second axis of the column; None for one number a row.
        fill: the number for a row without a value, and for the places of the axis beyond the length of a row.
        required: whether all rows have the column.
        stored: whether segments keep the column.
        needs: the columns without which the column has no meaning.
    """

    name: str
    dtypes: tuple[np.dtype[Any], ...]
    axis: Axis | None
    fill: float
    required: bool
    stored: bool
    needs: tuple[str, ...]


def _column(
    *dtypes: str, axis: Axis | None = None, fill: float = 0, stored: bool = True, needs: Sequence[str] = ()
) -> Mapping[str, Any]:
    """Return the metadata of a field that is a column."""
    types = tuple(np.dtype(name) for name in dtypes)
    return {"dtypes": types, "axis": axis, "fill": fill, "stored": stored, "needs": tuple(needs)}


@dataclass(frozen=True, eq=False, kw_only=True)
class Rows:
    """The columns of n rows; entry i of every column belongs to row i.

    Attributes:
        tokens: [n, L], the token ids, 0 after the end of a row.
        lengths: [n], the number of tokens including END; 0 where the vocabulary lacks a token of the string.
        log_probs: [n, L], the log-probability of each token under the distribution that it was drawn from, 0 after the
            end; NaN for a sampler without a likelihood.
        latents: [n, d], the latent vector that each row was decoded from.
        latent_log_probs: [n], the log-density of each latent vector under the latent prior that drew it.
        source_tokens: [n, S], the tokens of the source molecule of each pair, in the vocabulary of ``tokens``.
        source_lengths: [n], the number of source tokens; 0 for a row without a source.
        rewards: [n], the rewards under the objective of the training. The catalog keeps them for each objective.
        truncated: [n], 1 for a row that was drawn with top_k or top_p, which make some rows impossible. The catalog
            keeps top_k and top_p of each build.
        weights: [n], the weight of each row in a mean over a batch, from the selection that drew it.
        penalties: [n], the factors in [0, 1] by which the diversity memory multiplies the rewards for the learner.
        bonuses: [n], the amounts that the diversity memory adds to the rewards before these factors.
        vocabulary_sha256: the vocabulary of the tokens; None for rows of several vocabularies.

    Raises:
        ValueError: a column has another type or shape than its definition, or lacks a column that it needs.
    """

    tokens: NDArray[np.unsignedinteger] = field(metadata=_column("uint8", "uint16", axis=TOKENS))
    lengths: NDArray[np.int32] = field(metadata=_column("int32"))
    log_probs: NDArray[np.float32] = field(metadata=_column("float32", axis=TOKENS))
    latents: NDArray[np.float32] | None = field(default=None, metadata=_column("float32", axis=LATENTS, fill=np.nan))
    latent_log_probs: NDArray[np.float32] | None = field(default=None, metadata=_column("float32", fill=np.nan))
    source_tokens: NDArray[np.unsignedinteger] | None = field(
        default=None, metadata=_column("uint8", "uint16", axis=SOURCE_TOKENS, needs=["source_lengths"])
    )
    source_lengths: NDArray[np.int32] | None = field(default=None, metadata=_column("int32", needs=["source_tokens"]))
    rewards: NDArray[np.float64] | None = field(default=None, metadata=_column("float64", fill=np.nan, stored=False))
    truncated: NDArray[np.uint8] | None = field(default=None, metadata=_column("uint8", stored=False))
    weights: NDArray[np.float32] | None = field(default=None, metadata=_column("float32", fill=1, stored=False))
    penalties: NDArray[np.float32] | None = field(default=None, metadata=_column("float32", fill=1, stored=False))
    bonuses: NDArray[np.float32] | None = field(default=None, metadata=_column("float32", stored=False))
    vocabulary_sha256: str | None = None

    def __post_init__(self) -> None:
        n, widths = len(self.lengths), dict[Axis, int]()
        for name, column in COLUMNS.items():
            array, axis = getattr(self, name), column.axis
            if array is None and not column.required:
                continue
            if array.dtype not in column.dtypes or array.shape[:1] != (n,) or array.ndim != (1 if axis is None else 2):
                raise ValueError(f"column {name!r} must be {_expected(column, n)}, got {array.dtype} {array.shape}")
            if axis is not None and widths.setdefault(axis, array.shape[1]) != array.shape[1]:
                raise ValueError(
                    f"column {name!r} has shape {array.shape}: the columns of the axis {axis.name!r} must be equally "
                    f"wide, and another column is {widths[axis]} wide"
                )
            for needed in column.needs:
                if getattr(self, needed) is None:
                    raise ValueError(_incomplete(name, needed))

    def __len__(self) -> int:
        return len(self.lengths)

    def columns(self) -> dict[str, Any]:
        """Return the columns that these rows have, by name."""
        return {name: array for name in COLUMNS if (array := getattr(self, name)) is not None}

    def optional_widths(self) -> dict[str, int]:
        """Return the width of each stored column of these rows that other rows may lack; 1 without an axis."""
        names = [name for name in self.columns() if name in STORED and not STORED[name].required]
        return {name: 1 if STORED[name].axis is None else getattr(self, name).shape[1] for name in names}

    def take(self, chosen: Chosen) -> Rows:
        """Return the chosen rows: views for a slice, copies otherwise."""
        return replace(self, **{name: array[chosen] for name, array in self.columns().items()})

    def trimmed(self) -> Rows:
        """Return views of the rows in which each axis with lengths is as wide as the longest row, and at least 1."""
        return replace(self, **trimmed(self.columns()))

    @staticmethod
    def blank(n: int, vocabulary_sha256: str | None) -> Rows:
        """Return n rows that have the required columns alone, with their fill values."""
        return replace(Rows.placed(n, []), vocabulary_sha256=vocabulary_sha256)

    @staticmethod
    def concat(parts: Sequence[Rows]) -> Rows:
        """Return the rows of all parts, one part after another, joined as ``placed`` does."""
        if len(parts) == 1:
            return parts[0]
        ends = np.cumsum([0, *map(len, parts)]).tolist()
        starts = zip(ends[:-1], ends[1:], parts, strict=True)
        return Rows.placed(ends[-1], [(slice(start, stop), part) for start, stop, part in starts])

    @staticmethod
    def placed(n: int, parts: Sequence[tuple[slice | NDArray[np.integer], Rows]]) -> Rows:
        """Return n rows with the rows of some parts at given positions; all other rows are blank.

        A column exists if a part has it. It is as wide as the widest part, has a type that holds the numbers of all
        parts, and has the fill value where a part is narrower or lacks it. The vocabulary is that of the parts if they
        share one, and otherwise None.

        Args:
            n: the number of rows.
            parts: the positions of the rows of each part, and the rows. Where parts overlap, the last one counts.
        """
        columns: dict[str, Any] = {}
        for name, column in COLUMNS.items():
            arrays = [getattr(rows, name) for _, rows in parts]
            there = [array for array in arrays if array is not None]
            if not there and not column.required:
                continue
            dtypes = {array.dtype for array in there} or {column.dtypes[0]}
            dtype = dtypes.pop() if len(dtypes) == 1 else np.result_type(*dtypes)
            joined = np.full((n, *_widest(column, [rows for _, rows in parts])), column.fill, dtype)
            for (where, _), array in zip(parts, arrays, strict=True):
                put(joined, where, array, column.fill)
            columns[name] = joined
        vocabularies = {rows.vocabulary_sha256 for _, rows in parts}
        return Rows(**columns, vocabulary_sha256=vocabularies.pop() if len(vocabularies) == 1 else None)


COLUMNS: Mapping[str, Column] = {
    each.name: Column(each.name, required=each.default is MISSING, **each.metadata)
    for each in fields(Rows)
    if each.metadata
}
"""The columns of rows, by name."""
STORED: Mapping[str, Column] = {name: column for name, column in COLUMNS.items() if column.stored}
"""The columns that segments and the decoded cache keep."""
BY_AXIS: Mapping[Axis | None, Sequence[str]] = {
    axis: [name for name, column in COLUMNS.items() if column.axis == axis]
    for axis in {column.axis for column in COLUMNS.values()}
}
"""The names of the columns of each axis, which are equally wide."""


def put(array: NDArray[Any], where: slice | NDArray[np.integer], values: NDArray[Any] | None, fill: float) -> None:
    """Write values [m] or [m, width] into m rows of an array, and ``fill`` into the rest of these rows.

    Args:
        array: the array to write to, [n] or [n, width or more].
        where: the positions of the m rows.
        values: the values; None writes ``fill`` everywhere in these rows.
        fill: the fill value of the column.
    """
    if values is None:
        array[where] = fill
    elif array.ndim == 1:
        array[where] = values
    else:
        array[where, : values.shape[1]] = values
        if values.shape[1] < array.shape[1]:
            array[where, values.shape[1] :] = fill


def trimmed(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return views of columns by name, cut to the longest row as by ``Rows.trimmed``."""
    narrow = dict(columns)
    for axis, names in BY_AXIS.items():
        if axis is not None and axis.lengths is not None and axis.lengths in columns:
            width = int(columns[axis.lengths].max(initial=1))
            narrow |= {name: columns[name][:, :width] for name in names if name in columns}
    return narrow


def check_complete(names: Collection[str]) -> None:
    """Refuse names of columns that lack a column which one of them needs.

    Raises:
        ValueError: a needed column is missing; the error names both columns.
    """
    for name in names:
        for needed in COLUMNS[name].needs:
            if needed not in names:
                raise ValueError(_incomplete(name, needed))


def _incomplete(name: str, needed: str) -> str:
    return f"the columns {name!r} and {needed!r} belong together: got the first without the other"


def _expected(column: Column, n: int) -> str:
    kinds = " or ".join(str(dtype) for dtype in column.dtypes)
    return f"{kinds} [{n}]" if column.axis is None else f"{kinds} [{n}, {column.axis.name}]"


def _widest(column: Column, parts: Sequence[Rows]) -> tuple[int, ...]:
    """Return the shape of one row of a column that is wide enough for the rows of all parts."""
    if column.axis is None:
        return ()
    arrays = [getattr(rows, name) for rows in parts for name in BY_AXIS[column.axis]]
    return (max((array.shape[1] for array in arrays if array is not None), default=1),)
