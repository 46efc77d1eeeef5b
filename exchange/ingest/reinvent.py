"""The CSV file of a staged learning of REINVENT: a row for each molecule of each step.

    Agent,Prior,Target,Score,SMILES,SMILES_state,QED,QED (raw),...,step

``Score`` is the reward, in [0, 1], and ``NAME (raw)`` the raw value of a component. A molecule that is drawn again has
another row with the score 0 (``SMILES_state`` 2): only the first row of a molecule, which has its score, is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from molbuffer.exchange.ingest.columns import FileColumns, check_column, first_of

RAW = " (raw)"
_KIND = "a file of REINVENT"


def reinvent_columns(names: Sequence[str], reward: str | None = None) -> FileColumns:
    """Return the roles of the columns of a file of REINVENT.

    Raises:
        IngestError: the file lacks the column of the score, or the column ``reward``.
    """
    found = reward or first_of(names, ("score", "total_score")) or "Score"
    scores = {name.removesuffix(RAW): name for name in names if name.endswith(RAW)}
    return FileColumns(check_column(_KIND, names, found), first_of(names, ("step",)), scores)
