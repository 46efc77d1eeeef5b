"""The settings of replay: how many updates an iteration has, and what they take from the buffer."""

from __future__ import annotations

from dataclasses import dataclass

from molbuffer.kinds import Count, NotNegative, checked
from molbuffer.storage import Mixture, Selection


@checked
@dataclass(frozen=True)
class Replay:
    """The updates of an iteration, and the rows that they take from the buffer.

    The first update is on the batch: live rows, and rows of the buffer that fill it up. Each later update is on a draw
    of its own from the buffer, which by then has the live rows of the batch, too. An update takes as many rows as the
    selection can give; an update without rows is left out.

    Attributes:
        updates: the number of gradient steps in an iteration, at least 1.
        update_size: the number of rows that each later update takes from the buffer; None is the batch size, less the
            live rows if these take part.
        live_in_updates: add the live rows of the batch to each later update; they join the buffer only after the
            updates.
        randomise: replace the SMILES of each row of the buffer by a random one of the same molecule, whose behaviour
            log-probabilities are unknown.
        max_policy_lag: the largest policy lag of a row of the buffer, in iterations; rows of other runs are then left
            out. None is no bound.

    Example:
        >>> mb.Replay(updates=4, randomise=True).update_size is None
        True
    """

    updates: Count = 1
    update_size: NotNegative | None = None
    live_in_updates: bool = False
    randomise: bool = False
    max_policy_lag: NotNegative | None = None

    def __post_init__(self) -> None:
        for name, least in (("updates", 1), ("update_size", 0), ("max_policy_lag", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")

    def rows_of_update(self, batch_size: int, live: int) -> int:
        """Return the number of rows that a later update takes from the buffer.

        Args:
            batch_size: the number of rows of a batch.
            live: the number of its live rows.
        """
        if self.update_size is not None:
            return self.update_size
        return batch_size - live if self.live_in_updates else batch_size


def blind_part(selection: Selection, *, own: bool) -> str | None:
    """Return an error text if a part of a mixture can never select the live rows of a run without builds; else None.

    The condition of a part is evaluated on a view of the store, which has the live rows of a run only after its next
    build of the buffer: without builds, the condition never finds them.

    Args:
        selection: the selection of the buffer.
        own: check only parts with rows of this run alone, which would get no row; false checks parts with rows of all
            runs, too.
    """
    for number, part in enumerate(selection.parts if isinstance(selection, Mixture) else ()):
        if part.where is not None and (part.runs == "own" or (part.runs == "all" and not own)):
            return (
                f"part {number} of the mixture takes rows where {part.where!r}, but a condition finds live rows of "
                "this run only after its next build of the buffer, and this run has no builds: give a sampler a "
                'buffer_size, leave the condition out, or set runs = "others"'
            )
    return None
