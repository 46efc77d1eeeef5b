"""What may change in the configuration of a run that is gone on with: ``--resume RUN`` with another file, or ``--set``.

The rows that a run has stored stay as they are, so that only what decides on rows to come may change, and of that only
what leaves the run one experiment: how long it goes on, how much its builds add, what it keeps, and how its scores are
computed, as long as their values are the same. All else needs a new run, which may start from the policy of this one
(``policy.agent = "run:RUN_ID"``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from molbuffer.flows.settings.problems import ConfigurationError, Problem, shown
from molbuffer.flows.settings.settings import Settings
from molbuffer.flows.settings.toml_lines import KeyPath

MAY_CHANGE: Mapping[str, str] = {
    "actors.local": "from now on",
    "actors.repin_every": "from now on",
    "actors.wait_minutes": "from now on; of actors that are started from now on",
    "campaign.authors": "from now on",
    "campaign.device": "from now on, and the same up to rounding",
    "campaign.iterations": "the run is extended, or ends earlier, but not before the last iteration it has done",
    "campaign.license": "from now on",
    "campaign.keep_checkpoints": "from now on",
    "campaign.keep_policies": "from now on",
    "campaign.max_failed_share": "from now on",
    "campaign.max_minutes": "the run goes on for longer, or ends earlier",
    "campaign.max_oracle_calls": "the run goes on for longer, or ends earlier; it keeps the calls that it has made",
    "campaign.patience": "from now on",
    "campaign.patience_top": "from now on",
    "campaign.offline": "the kind of a run is kept, whatever a file says of further ones",
    "runner": "from now on; the rows are the same",
    "runner.*": "from now on; the rows are the same",
    "logging.*": "from now on; a log has what the run has committed before, too",
    "training.checkpoint_every": "from now on",
    "buffer.build_every": "from now on",
    "buffer.pending_timeout": "from now on",
    "objective.mode": "for builds from now on; rows that wait for their scores wait on",
    "samplers.buffer_size": "from the next build on",
    "offline.steps": "an offline training is extended, or ends earlier",
    "offline.evaluation.draws": "from now on; a finished run is evaluated by as many",
    "offline.evaluation.every": "from now on",
    "offline.evaluation.max_oracle_calls": "from now on; the calls of evaluations on the way count",
    "offline.evaluation.expensive": "from now on",
    "offline.evaluation.min_effective_sample_size": "for the estimate at the end",
    **{
        f"objective.components.{key}": "how scores are computed, and not which"
        for key in (
            "auth",
            "auth_header",
            "auth_scheme",
            "batch_size",
            "connections",
            "cost",
            "cpu",
            "headers",
            "in_process",
            "mode",
            "most_patience",
            "parallel",
            "pause",
            "retries",
            "timeout",
            "urls",
        )
    },
    "*.folder": "where modules of the user are; their source must be the same, and is compared when the run starts",
}
"""The keys that may differ in a run that is gone on with, without the positions in lists, and what the change does. An
asterisk stands for any tables."""


@dataclass(frozen=True)
class Change:
    """A key that has another value than a run began with.

    Attributes:
        path: the path of the key.
        before: the value of the run; None where it had none.
        after: the value of the new configuration; None where it has none.
    """

    path: KeyPath
    before: Any
    after: Any

    @property
    def key(self) -> str:
        """The key without the positions in lists, as ``MAY_CHANGE`` has it."""
        return ".".join(part for part in self.path if isinstance(part, str))

    @property
    def allowed(self) -> bool:
        """Whether a run can go on with it."""
        return any(fnmatchcase(self.key, pattern) for pattern in MAY_CHANGE)

    def __str__(self) -> str:
        return f"{Problem(self.path, '').key}: the run has {_value(self.before)}, now it is {_value(self.after)}"


def changes(before: str, after: Settings) -> list[Change]:
    """Return the keys in which a stored configuration and a new one differ, in the order of the configuration."""
    return list(_changes((), _with_defaults(before), json.loads(after.to_json())))


def _with_defaults(stored: str) -> Any:
    """Return a stored configuration with the defaults of keys that are newer than it, if it still is one: a file that
    it names may be gone.
    """
    try:
        return json.loads(Settings.from_json(stored).to_json())
    except ConfigurationError:
        return json.loads(stored)


def _changes(path: KeyPath, before: Any, after: Any) -> Iterator[Change]:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict) and before.get("kind") == after.get("kind"):
        for key in dict.fromkeys([*before, *after]):
            yield from _changes((*path, key), before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for position, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _changes((*path, position), old, new)
    else:
        yield Change(path, before, after)


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return f"{len(value)} of them"
    return shown(value) if not isinstance(value, dict) or "kind" not in value else f"the kind {shown(value['kind'])}"
