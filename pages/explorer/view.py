"""A view of a store to which other processes may write; it is always read at one snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from molbuffer.pages.facts import SHORT_ID, ObjectiveFacts, Scope, list_objectives, list_run_facts, scope_of
from molbuffer.storage import SampleStore, is_archive, trusted_archive

MOST_LABEL = 60


@dataclass(frozen=True)
class Choices:
    """The runs and objectives of a store, from which a reader chooses.

    Attributes:
        runs: the id of each run by its label, the newest first.
        objectives: the sha256 of each objective by its label, the last used first.
    """

    runs: dict[str, str]
    objectives: dict[str, str]


class StoreView:
    """A store that is open for reading. Several threads must not share a view.

    Args:
        path: the folder of a store, or an archive: a folder or a tar file, which is verified first.

    Raises:
        StoreError: there is no store, or the archive is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self._open = ExitStack()
        self.path = Path(path)
        self.store = self._open.enter_context(_opened(self.path))
        self._objectives: tuple[tuple[str, ...], list[ObjectiveFacts]] | None = None

    def close(self) -> None:
        """Close the store."""
        self._open.close()

    def newest(self) -> int:
        """Return the number of the newest snapshot."""
        return self.store.snapshot()

    def scope(self, snapshot: int, run_ids: Sequence[str] = ()) -> Scope:
        """Return the scope of some runs at a snapshot; without ids, of all runs.

        Raises:
            UnknownRunError: the snapshot has no run of an id.
        """
        return scope_of(self.store, run_ids, snapshot=snapshot)

    def objectives(self, scope: Scope) -> list[ObjectiveFacts]:
        """Return the objectives of a scope; they are read again only when a run has a new objective."""
        known = tuple(sorted({run.objective_sha256 or "" for run in list_run_facts(scope)}))
        if self._objectives is None or self._objectives[0] != known:
            self._objectives = (known, list_objectives(scope))
        return self._objectives[1]

    def choices(self, snapshot: int) -> Choices:
        """Return the runs and objectives of a snapshot."""
        scope = self.scope(snapshot)
        runs = {_label(run.label, run.run_id): run.run_id for run in reversed(list_run_facts(scope))}
        objectives = {_objective_label(each): each.sha256 for each in self.objectives(scope)}
        return Choices(runs, objectives)


def _label(text: str, identity: str) -> str:
    """Return a label for a list of choices that contains the start of the id, and so is unique."""
    short = " ".join(text.split())[:MOST_LABEL]
    return short if identity[:SHORT_ID] in short else f"{short} ({identity[:SHORT_ID]})"


def _objective_label(objective: ObjectiveFacts) -> str:
    names = " + ".join(component.name for component in objective.components) or "rewards of pairs"
    return _label(names, objective.sha256)


@contextmanager
def _opened(path: Path) -> Iterator[SampleStore]:
    if path.is_file() or is_archive(path):
        with trusted_archive(path) as (archive, _):
            yield archive
    else:
        with SampleStore.open(path, read_only=True) as store:
            yield store
