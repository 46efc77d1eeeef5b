"""The file ``scores.csv`` of MolScore: a row for each molecule of each step.

    ,model,task,step,batch_idx,absolute_time,smiles,valid,valid_score,unique,occurrences,RAW...,MODIFIER_RAW...,METHOD,
    filter,filtered_METHOD,passes_diversity_filter,score_time

The column of the score has the name METHOD of its aggregation, such as ``gmean``, and the column after it is
``filter``. ``filtered_METHOD`` is the score after a diversity filter, which depends on the molecules drawn before: it
is not a property of the molecule, and is not imported.
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
    """Return the roles of the columns of a file of MolScore.

    Raises:
        IngestError: the column of the score cannot be found, or the file lacks the column ``reward``.
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
        "name the column of the score with --reward"
    )
