"""The CSV that REINVENT writes of a staged learning: a row for each molecule of each step.

    Agent,Prior,Target,Score,SMILES,SMILES_state,QED,QED (raw),...,step

``Score`` is the reward, in [0, 1], and ``NAME (raw)`` the raw value of a component. A molecule that was drawn before is
there again with the score 0 (``SMILES_state`` 2): the first row of a molecule counts, which has its score.
"""

from __future__ import annotations

from collections.abc import Sequence

from molbuffer.exchange.ingest.columns import FileColumns, check_column, first_of

RAW = " (raw)"
_KIND = "a file of REINVENT"


def reinvent_columns(names: Sequence[str], reward: str | None = None) -> FileColumns:
    """Return what the columns of a file of REINVENT are.

    Raises:
        IngestError: it lacks its score, or the column that is named.
    """
    found = reward or first_of(names, ("score", "total_score")) or "Score"
    scores = {name.removesuffix(RAW): name for name in names if name.endswith(RAW)}
    return FileColumns(check_column(_KIND, names, found), first_of(names, ("step",)), scores)
