"""The file ``scores.csv`` of MolScore: a row for each molecule of each step.

    ,model,task,step,batch_idx,absolute_time,smiles,valid,valid_score,unique,occurrences,RAW...,MODIFIER_RAW...,METHOD,
    filter,filtered_METHOD,passes_diversity_filter,score_time

The column of the score is called as the method of its aggregation, such as ``gmean``, and the one after it ``filter``.
``filtered_METHOD`` is what is left of it after a diversity filter, which depends on what was drawn before: it is not
the molecule's score, and is not taken for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from molbuffer.exchange.errors import IngestError
from molbuffer.exchange.ingest.columns import FileColumns, check_column, first_of

_KIND = "a file of MolScore"
_FILTERED = "filtered_"
_OWN = frozenset(
    {
        "",
        "model",
        "task",
        "step",
        "batch_idx",
        "absolute_time",
        "valid",
        "valid_score",
        "unique",
        "occurrences",
        "filter",
    }
    | {"passes_diversity_filter", "score_time"}
)


def molscore_columns(names: Sequence[str], reward: str | None = None) -> FileColumns:
    """Return what the columns of a file of MolScore are.

    Raises:
        IngestError: it has no column of the score that can be told, or lacks the one that is named.
    """
    found = check_column(_KIND, names, reward) if reward else _score(names)
    modified = {name for name in names if any(name.endswith(f"_{other}") for other in names if other not in _OWN)}
    left_out = _OWN | modified | {found, f"{_FILTERED}{found}"}
    return FileColumns(found, first_of(names, ("step",)), {name: name for name in names if name not in left_out})


def _score(names: Sequence[str]) -> str:
    filtered = [name.removeprefix(_FILTERED) for name in names if name.startswith(_FILTERED)]
    if len(filtered) == 1 and filtered[0] in names:
        return filtered[0]
    if "filter" in names[1:]:
        return names[list(names).index("filter") - 1]
    raise IngestError(
        f"{_KIND} has its score before the column 'filter', got the columns {', '.join(map(repr, names)) or 'none'}; "
        "name that of the score with --reward"
    )
