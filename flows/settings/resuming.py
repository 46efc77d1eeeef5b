"""The keys of a configuration that may change when a run is resumed, by ``--resume`` with another file or ``--set``.

The stored rows of a run do not change, so that only keys about future rows may change, and of these only keys that keep
the run one experiment: how long it goes on, how much its builds add, what it keeps, and how its scores are computed, as
long as their values stay the same. Any other change needs a new run, which may start from the policy of the old one
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
    "actors.wait_minutes": "from now on, for the learner and for actors that start from now on",
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
    "campaign.offline": "a run keeps its kind, whatever the file says",
    "runner": "from now on; the rows are the same",
    "runner.*": "from now on; the rows are the same",
    "logging.*": "from now on; a new log also gets what the run committed before",
    "training.checkpoint_every": "from now on",
    "buffer.build_every": "from now on",
    "buffer.pending_timeout": "from now on",
    "objective.mode": "for builds from now on; pending rows stay pending",
    "samplers.buffer_size": "from the next build on",
    "offline.steps": "an offline training is extended, or ends earlier",
    "offline.evaluation.draws": "from now on; a finished run is evaluated with this number",
    "offline.evaluation.every": "from now on",
    "offline.evaluation.max_oracle_calls": "from now on; the calls of earlier evaluations count",
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
    "*.folder": "the folder of the user's modules; their source must be the same, and is compared when the run starts",
}
"""The keys that may change when a run is resumed, without positions in lists, each with the effect of the change. An
asterisk stands for any text, also across tables."""


@dataclass(frozen=True)
class Change:
    """A key whose value differs from the one that a run began with.

    Attributes:
        path: the path of the key.
        before: the value of the run; None if it had none.
        after: the value of the new configuration; None if it has none.
    """

    path: KeyPath
    before: Any
    after: Any

    @property
    def key(self) -> str:
        """The key without positions in lists, in the form of ``MAY_CHANGE``."""
        return ".".join(part for part in self.path if isinstance(part, str))

    @property
    def allowed(self) -> bool:
        """Whether a run can be resumed with this change."""
        return any(fnmatchcase(self.key, pattern) for pattern in MAY_CHANGE)

    def __str__(self) -> str:
        return f"{Problem(self.path, '').key}: the run has {_value(self.before)}, now it is {_value(self.after)}"


def changes(before: str, after: Settings) -> list[Change]:
    """Return the keys in which a stored configuration and a new one differ, in the order of the configuration."""
    return list(_changes((), _with_defaults(before), json.loads(after.to_json())))


def _with_defaults(stored: str) -> Any:
    """Return a stored configuration with the defaults of newer keys.

    If the configuration is no longer valid, since a file that it names is missing, return it unchanged.
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
        return f"{len(value)} items"
    return shown(value) if not isinstance(value, dict) or "kind" not in value else f"the kind {shown(value['kind'])}"
