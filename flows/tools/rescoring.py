"""Compute scores again that failed or were lost, under the objective of a configuration."""

from __future__ import annotations

from collections.abc import Collection

from molbuffer.flows.campaign import build_objective, build_template
from molbuffer.flows.errors import UsageError
from molbuffer.flows.settings import Settings
from molbuffer.lab import described_run
from molbuffer.samplers import Scorer, SecondAttempt, score_again
from molbuffer.storage import RunKind, SampleStore, ScoreStatus


def rescore(
    settings: Settings, store: SampleStore, run_id: str, *, failed: bool, components: Collection[str] = ()
) -> SecondAttempt:
    """Compute lost scores again, and complete the rewards that lacked them, as a recorded run.

    Args:
        settings: the configuration, whose objective the scores belong to.
        store: the store.
        run_id: the id of the new run.
        failed: whether failed scores are computed again, too.
        components: the names of the components; all by default.

    Raises:
        UsageError: the objective has no component of a name.
    """
    objective = build_objective(settings)
    names = [weighted.component.name for weighted in objective.components]
    unknown = [name for name in components if name not in names]
    if unknown:
        raise UsageError(f"expected --component to be one of {', '.join(names)}, got {', '.join(unknown)}")
    run = described_run(
        run_id,
        "rescore",
        RunKind.SCORE,
        settings.to_json(),
        settings.campaign.seed,
        objective=objective,
    )
    statuses = [ScoreStatus.LOST, *([ScoreStatus.FAILED] if failed else [])]
    with store.recorded_run(run):
        return score_again(
            Scorer(objective, store, run_id),
            run_id,
            statuses=statuses,
            names=components,
            template=build_template(settings),
        )


def newest_settings(store: SampleStore) -> Settings:
    """Return the configuration of the newest run with an objective; runs from Python have no configuration.

    Raises:
        UsageError: the store has no such run.
    """
    found = store.read_arrow(
        "SELECT config FROM {runs} WHERE objective_sha256 IS NOT NULL AND json_exists(config, '$.campaign') "
        "ORDER BY created DESC, run_id LIMIT 1"
    )
    if not found.num_rows:
        raise UsageError(
            f"{store.path} has no run of a configuration with an objective; name one with --config FILE.toml"
        )
    return Settings.from_json(found["config"][0].as_py())
