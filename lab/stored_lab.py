"""The reading methods of a lab, which also work on a store that is open for reading only.

A method imports what it needs when it is called.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from molbuffer.lab.torch_threads import limit_threads
from molbuffer.storage import SampleStore, Selection, Uniform

if TYPE_CHECKING:
    import polars
    import pyarrow

    from molbuffer.lab.arguments import RowProgress
    from molbuffer.samplers import Policy
    from molbuffer.scoring import Objective
    from molbuffer.training import StoredBatches


class StoredLab:
    """A store with methods to read tables, policies, draws and batches from it.

    Attributes:
        store: the store, for operations without a method of the lab.
    """

    def __init__(self, store: SampleStore) -> None:
        self.store = store

    def __repr__(self) -> str:
        return f"<lab {self.store.path}{', read only' if self.store.read_only else ''}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the store; a second call does nothing."""
        self.store.close()

    def policy(self, name: str, *, device: str = "cpu") -> Policy:
        """Return a policy by its name.

        Args:
            name: the name of a bundled policy, the folder of a policy, the sha256 of a policy in the store or its
                start, or "run:RUN_ID" for the last policy of a run.
            device: the device of the policy, on which a run with it computes: "auto", "cpu", "mps", "cuda", or one of
                several GPUs, such as "cuda:1".

        Raises:
            UnknownPolicyNameError: no policy has the name.
            UnknownRunError: there is no such run.
            DeviceError: there is no such device on this machine.
        """
        prepare_torch()
        from molbuffer.samplers import find_device, find_policy, load_policy

        return load_policy(find_policy(name, self.store), find_device(device))

    def _policy(self, policy: Policy | str) -> Policy:
        from molbuffer.samplers import Policy

        if not isinstance(policy, Policy | str):
            raise TypeError(f"policy: expected a Policy, or the name of one, got {policy!r}")
        return self.policy(policy) if isinstance(policy, str) else policy

    def sample(
        self,
        policy: Policy | str = "zinc-gru",
        n: int = 1000,
        *,
        seed: int = 0,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        progress: RowProgress = lambda done, total: None,
    ) -> polars.DataFrame:
        """Draw molecules from a policy; nothing is stored.

        Args:
            policy: the policy, or its name as in ``policy``.
            n: the number of rows.
            seed: the seed; the same seed gives the same rows.
            temperature: the temperature; below 1 draws likelier molecules, above 1 more diverse ones.
            top_k: draw each token from the k likeliest tokens only; 0 draws from all.
            top_p: draw each token from the smallest set of likeliest tokens with this probability, in (0, 1].
            progress: called with the number of rows drawn and the number of all, after each portion.

        Returns:
            A table with a row for each draw: ``smiles`` as drawn; ``molecule``, the canonical SMILES, null if the
            string is not a molecule; ``log_likelihood`` in nats, under the distribution of the draws.
        """
        from molbuffer.lab.molecules import draw_molecules
        from molbuffer.samplers.models import Sampling

        check_count("n", n, least=0)
        opened = self._policy(policy)
        return draw_molecules(opened, n, Sampling(temperature, top_k, top_p), seed, progress)

    def dataset(
        self,
        objective: Objective,
        *,
        batch_size: int = 64,
        policy: Policy | str = "zinc-gru",
        selection: Selection | str = Uniform(),
        where: str | None = None,
        snapshot: int | None = None,
        batches: int | None = None,
        seed: int = 0,
        start: int = 0,
    ) -> StoredBatches:
        """Return batches of stored rows for a training of one's own, as torch's DataLoader takes them.

        Args:
            objective: the objective whose rewards count.
            batch_size: the number of rows of a batch.
            policy: the policy that learns from the rows, an object or its name; rows are encoded in its vocabulary.
            selection: the rule that chooses the rows of a batch, or the name of a kind, with its defaults.
            where: an SQL condition on ``sample_history``; None is all rows.
            snapshot: the snapshot to read; None is the present one.
            batches: the number of batches; None is one pass over the rows, or all passes of ``consume_once``.
            seed: the seed of all choices.
            start: the number of the first batch, to go on after earlier batches.

        Raises:
            BatchShortError: too few rows have a reward under the objective.
        """
        from molbuffer.lab.arguments import as_selection
        from molbuffer.lab.recording import check_objective
        from molbuffer.storage import check_predicate
        from molbuffer.training import BufferView, StoredBatches

        check_objective(objective)
        check_count("batch_size", batch_size)
        check_count("start", start, least=0)
        if batches is not None:
            check_count("batches", batches)
        opened = self._policy(policy)
        view = BufferView(objective.sha256, snapshot=snapshot, where=None if where is None else check_predicate(where))
        return StoredBatches(
            self.store,
            view,
            as_selection(selection),
            opened.vocabulary,
            batch_size=batch_size,
            seed=seed,
            batches=batches,
            start=start,
        )

    def query(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = (), **limits: Any) -> polars.DataFrame:
        """Return the result of one SELECT over the tables and views of the store.

        Args:
            sql: the statement; ``sample_history``, ``top_molecules``, ``runs`` and ``metrics`` are the views and tables
                to begin with.
            parameters: the values of the parameters, in order for ``?``, or by name for ``$name``.
            limits: ``snapshot``, ``timeout_seconds`` and ``memory_limit``, as for ``SampleStore.query``.

        Raises:
            QueryError: the text is not one reading statement, or DuckDB cannot execute it within the limits.
        """
        return self.store.query(sql, parameters, **limits)

    def query_table(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = (), **limits: Any) -> pyarrow.Table:
        """Return the result of ``query`` as an Arrow table, which pandas, polars and others read without a copy."""
        return self.store.query_table(sql, parameters, **limits)

    def history(self, *, snapshot: int | None = None) -> polars.LazyFrame:
        """Return the history as a lazy polars frame, which reads only the selected columns and filtered rows.

        Args:
            snapshot: the snapshot to read; None is the present one.
        """
        return self.store.history(snapshot=snapshot)

    def runs(self) -> polars.DataFrame:
        """Return a table with a row for each run, the newest first: its id, name, kind, status, and numbers of rows."""
        from molbuffer.lab.run_list import list_runs

        return list_runs(self.store)

    def report(
        self,
        out: str | Path,
        *,
        runs: str | Sequence[str] = (),
        snapshot: int | None = None,
        objective: str | None = None,
        reference: str | Path | None = None,
        **options: Any,
    ) -> Path:
        """Write a report on runs as one HTML file, which needs no network.

        Args:
            out: the file.
            runs: the runs, each by its name or the start of its id; empty is all.
            snapshot: the snapshot to read; None is the present one.
            objective: the only objective to report on: the start of its sha256 or of a run's id, or the name of a run;
                None is all.
            reference: a SMILES file of molecules to compare with, such as the training set of the prior.
            options: further options of ``ReportOptions``: ``title``, ``best``, ``align`` and ``molecule``.

        Returns:
            The path of the file.

        Raises:
            UnknownRunError: the store has no such run, or not exactly one objective of this name.
            UnknownSnapshotError: the store has no such snapshot.
            OSError: the file cannot be written.
        """
        from molbuffer.pages import Reference, ReportOptions, make_report
        from molbuffer.samplers import read_smiles_file

        compared = None
        if reference is not None:
            path = Path(reference)
            compared = Reference(path.name, [row.smiles for row in read_smiles_file(path)])
        named = [runs] if isinstance(runs, str) else runs
        asked = ReportOptions(reference=compared, **options)
        page = make_report(self.store, runs=named, snapshot=snapshot, objective=objective, options=asked)
        written = Path(out)
        written.write_text(page, encoding="utf-8")
        return written


def prepare_torch() -> None:
    """Limit the threads of torch in this process, unless torch is imported: then its user has set them."""
    if "torch" not in sys.modules:
        limit_threads()


def check_count(name: str, value: object, least: int = 1) -> None:
    """Check that an argument is a whole number of at least ``least``.

    Raises:
        TypeError: the value is not a whole number.
        ValueError: the value is below ``least``.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name}: expected a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name}: expected at least {least}, got {value}")


def as_texts(smiles: object) -> list[str]:
    """Return an iterable of strings as a list.

    Raises:
        TypeError: the argument is a single string, is not iterable, or has an item that is not a string.
    """
    if isinstance(smiles, str):
        raise TypeError(f"expected several SMILES, got the text {smiles!r}: write [{smiles!r}]")
    if not isinstance(smiles, Iterable):
        raise TypeError(f"expected several SMILES, got {smiles!r}")
    texts = list(smiles)
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"expected SMILES, got {text!r} at position {number} of {len(texts)}")
    return texts
