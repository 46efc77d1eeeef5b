"""The statements of a run from Python: the builds and trainings of its ``with`` block.

The record of a run is written when it starts; each build and training is recorded later, as an event. When a run is
resumed, its statements are executed again: each must have the same arguments as before, except those that
``MAY_CHANGE`` lists. A statement that has not committed anything yet may be changed freely.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from molbuffer.kinds import Description
from molbuffer.samplers import Policy, Sampler
from molbuffer.storage import RunConflictError, SampleStore, UnknownRunError
from molbuffer.training import BestAgent

MAY_CHANGE: Mapping[str, str] = {
    "iterations": "the run is extended, but cannot end before the last iteration that it has done",
    "checkpoint_every": "from now on",
    "build_every": "from now on",
    "samplers.*.buffer_size": "from the next build on",
    "judging.evaluation.draws": "from now on; a finished run is evaluated again, by this number",
    "judging.evaluation.every": "from now on",
    "judging.evaluation.max_oracle_calls": "from now on; the calls of earlier evaluations count",
    "judging.evaluation.expensive": "from now on",
    "judging.evaluation.least_sample_size": "for the estimate at the end",
}
"""The arguments that may differ in a training that is resumed, with the effect of a change."""

_SHOWN = 200
"""The most characters of a value in a message."""

Statement = Mapping[str, Any]


class Given:
    """The recorded builds and trainings of a run.

    Attributes:
        store: the store of the run.
        run_id: the run.
    """

    def __init__(self, store: SampleStore, run_id: str) -> None:
        self.store, self.run_id = store, run_id
        self._known = [json.loads(text) for text in store.given(run_id)]

    def build(self, statement: Statement, *, iteration: int, number: int, name: str, made: bool) -> None:
        """Record a build, or check that it has the same arguments as the recorded build in its place.

        Args:
            statement: the arguments of the build.
            iteration: the iteration of the run.
            number: the place of the build among those of its sampler in this iteration.
            name: the name of the sampler.
            made: whether a part of the build was committed before.

        Raises:
            RunConflictError: a build with other arguments was made in its place.
        """
        place = {"event": "build", "iteration": iteration, "number": number, "name": name}
        known = self._find(place)
        if known is not None and made:
            what = f"build {number} of the sampler {name!r} in iteration {iteration}"
            self._refuse(what, [each for each in _changes((), known, {**place, **statement}) if each[0] not in place])
        else:
            self._record(known, {**place, **statement})

    def training(self, statement: Statement, *, number: int, done: int) -> None:
        """Record a training, or check that it differs from the recorded training in its place only as it may.

        Args:
            statement: the arguments of the training, with ``iterations``.
            number: the place of the training among those of the block.
            done: the number of iterations of the run up to its last checkpoint.

        Raises:
            RunConflictError: a training with other arguments was made in its place, or the run has done more than
                ``iterations``.
        """
        place = {"event": "training", "number": number}
        known = self._find(place)
        later = self.followed(number)
        wanted = {**place, "since": done if known is None else known["since"], **statement}
        if known is not None and done > known["since"]:
            changes = [each for each in _changes((), known, wanted) if not (_may_change(each[0]) and not later)]
            self._refuse(f"training {number}", changes)
        if statement["iterations"] < done and not later:
            raise RunConflictError(
                f"run {self.run_id} has done {done} iterations, and cannot go on to {statement['iterations']}: "
                f"expected iterations >= {done}"
            )
        self._record(known, wanted)

    def followed(self, number: int) -> bool:
        """Return whether another training follows a training in the record, which has therefore ended.

        Args:
            number: the place of the training among those of the block.
        """
        return self._find({"event": "training", "number": number + 1}) is not None

    def ended(self, number: int, reason: str | None) -> None:
        """Record why a training ended before its last iteration.

        Args:
            number: the place of the training among those of the block.
            reason: the reason; None if it has done its last iteration, as after it was extended.
        """
        if reason != self.reason(number):
            self._record(None, {"event": "ended", "number": number, "reason": reason})

    def reason(self, number: int) -> str | None:
        """Return why a training ended before its last iteration; None if it did not end early, or has not ended."""
        known = self._find({"event": "ended", "number": number})
        return None if known is None else known["reason"]

    def _find(self, place: Statement) -> dict[str, Any] | None:
        """Return the newest record of a place; None if it has none."""
        there: Iterator[dict[str, Any]] = (
            each for each in reversed(self._known) if all(each.get(key) == value for key, value in place.items())
        )
        return next(there, None)

    def _record(self, known: Statement | None, wanted: Statement) -> None:
        text = json.dumps(wanted, sort_keys=True)
        wanted = json.loads(text)
        if known != wanted:
            self.store.record_given(self.run_id, text)
            self._known.append(dict(wanted))

    def _refuse(self, what: str, changes: Sequence[tuple[str, Any, Any]]) -> None:
        if not changes:
            return
        lines = "\n".join(f"  {key}: it was {_shown(before)}, got {_shown(now)}" for key, before, now in changes)
        raise RunConflictError(
            f"{what} of run {self.run_id} cannot go on with other arguments than it began with:\n{lines}\nA resumed "
            f"training may change {', '.join(MAY_CHANGE)}. For other changes begin a new run; with "
            f'agent="run:{self.run_id}" it starts from the policy of this run'
        )


def described_sampler(sampler: Sampler, own: Callable[[Policy], bool], sources: dict[str, str]) -> Any:
    """Return a description of a sampler without its size, as JSON values.

    Args:
        sampler: the sampler.
        own: returns whether a policy is one of the run itself, which changes while the run trains.
        sources: the sha256 of the sources of classes that are not molbuffer's, by name, which are added.
    """

    def known(name: str, value: Any) -> Any:
        if isinstance(value, BestAgent):
            return "best of the run"
        if name not in ("policy", "output_model") or not callable(value) or isinstance(value, type):
            return None
        policy = value()
        if not isinstance(policy, Policy):
            return None
        return "of the run" if own(policy) else policy.sha256

    found = Description("samplers", known, sources).of(sampler)
    if isinstance(found, dict):
        found.pop("size", None)
    return found


def described(family: str, value: Any, sources: dict[str, str]) -> Any:
    """Return a description of an object of a family, as JSON values; add the sources of classes of other packages."""
    return Description(family, sources=sources).of(value)


def refuse_other_sources(store: SampleStore, run_id: str, sources: Mapping[str, str]) -> None:
    """Check that the sources of classes have not changed since a run began, so that its samples are of one origin.

    Raises:
        RunConflictError: a source has changed since the run began.
    """
    try:
        began = store.run(run_id).libraries
    except UnknownRunError:
        return
    for name, sha256 in sources.items():
        if began.get(name, sha256) != sha256:
            raise RunConflictError(
                f"the source of the kind {name} has changed since run {run_id} began (sha256 {began[name][:12]}, now "
                f"{sha256[:12]}): start a new run, or bring back the source that it began with"
            )


def _changes(path: tuple[str, ...], before: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the keys in which two descriptions differ, with both values."""
    if isinstance(before, dict) and isinstance(now, dict) and before.get("class") == now.get("class"):
        for key in dict.fromkeys([*before, *now]):
            yield from _changes((*path, key), before.get(key), now.get(key))
    elif before != now:
        yield ".".join(path), before, now


def _may_change(key: str) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in MAY_CHANGE)


def _shown(value: object) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
