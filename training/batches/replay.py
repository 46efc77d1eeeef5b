"""How often, and in what form, stored rows are learned from."""

from __future__ import annotations

from dataclasses import dataclass

from molbuffer.kinds import Count, NotNegative, checked
from molbuffer.storage import Mixture, Selection


@checked
@dataclass(frozen=True)
class Replay:
    """The updates of an iteration, and the rows that they take from the buffer.

    The first update is on the batch: live rows, and what these leave from the buffer. Each later update has a draw of
    its own from the buffer, in which the live rows of the batch are, too, from then on. An update takes what the
    selection can give; one for which there is no row is left out.

    Attributes:
        updates: the number of gradient steps in an iteration, at least 1.
        update_size: the number of rows that each later update takes from the buffer; None: that of a batch, less the
            live rows if these take part.
        live_in_updates: have the live rows of the batch take part in later updates as well, in which case draws from
            the buffer are without them.
        randomise: give each row of the buffer as another random SMILES of its molecule, whose likelihood when it was
            drawn is unknown.
        max_policy_lag: the most iterations since the run drew a row of the buffer; rows of other runs are then left
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
    """Return what is wrong with a part of a mixture that asks for rows by a condition, in a run without builds.

    A condition is one on a view of the store, in which rows that a run draws live are after its next build of the
    buffer: a run that builds none never sees them.

    Args:
        selection: the selection of the buffer.
        own: look at parts with rows of the run alone, which get nothing; false: at those with rows of all runs, too.
    """
    for number, part in enumerate(selection.parts if isinstance(selection, Mixture) else ()):
        if part.where is not None and (part.runs == "own" or (part.runs == "all" and not own)):
            return (
                f"part {number} of the mixture takes rows where {part.where!r}, and a condition sees what this run "
                "draws live only after its next build of the buffer, of which there is none: give a sampler a "
                'buffer_size, leave the condition out, or set runs = "others"'
            )
    return None
