"""Rules that concern several keys of a configuration at once.

The rules read plain data, so that they also work on a file in which other keys are wrong, and all problems of a file
are reported together. For the same reason they skip values of a wrong type, which are reported elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from molbuffer.flows.settings.base import DEFAULT_BATCH_SIZE, DEFAULT_ITERATIONS
from molbuffer.flows.settings.problems import Problem, shown
from molbuffer.samplers import BEST, TOLERANCE, batch_quotas

TAKEN_LABELS = ("budget", "choice", "improvement", "screening")
"""The names under which a run itself rejects rows, which its count of oracle calls uses (``TAKEN_NAMES`` of samplers);
no filter may have one of them as its label."""

NAME_OF_BUFFER = "buffer"
"""The name of stored rows in the metrics of a batch (``BUFFER`` of training); no sampler may have this name."""


def broken_rules(data: Mapping[str, Any]) -> list[Problem]:
    """Return every breach of a rule in a configuration."""
    return [problem for rule in _RULES for problem in rule(data)]


def stored_share(data: Mapping[str, Any]) -> float:
    """Return the largest share of a batch, in any iteration, that samplers leave to the buffer."""
    return max(1 - math.fsum(shares) for shares in _shares(data).values())


def _names_are_unique(data: Mapping[str, Any]) -> Iterator[Problem]:
    names: set[str] = set()
    for i, table in _tables(data, "samplers"):
        name = table.get("name")
        if name == NAME_OF_BUFFER:
            yield Problem(
                ("samplers", i, "name"), f"{shown(name)} is the name of stored rows in the metrics; change the name"
            )
        elif isinstance(name, str) and name in names:
            yield Problem(("samplers", i, "name"), f"two samplers have the name {shown(name)}; change one")
        elif isinstance(name, str):
            names.add(name)


def _labels_are_free(data: Mapping[str, Any]) -> Iterator[Problem]:
    for i, table in _tables(data, "filters"):
        if (label := table.get("label")) in TAKEN_LABELS:
            message = f"{shown(label)} is a reason for which a run itself rejects rows; change the label"
            yield Problem(("filters", i, "label"), message)


def _molecules_are_chosen_one_way(data: Mapping[str, Any]) -> Iterator[Problem]:
    if isinstance(data.get("screening"), Mapping) and _table(data, "objective").get("choose") is not None:
        yield Problem(
            ("objective", "choose"),
            "the table [screening] also chooses which molecules are scored; remove the key or the table",
        )


def _shares_fit_the_batch(data: Mapping[str, Any]) -> Iterator[Problem]:
    total = max(map(math.fsum, _shares(data).values()))
    if total > 1 + TOLERANCE:
        yield Problem(
            ("samplers",), f"the p_batch of all samplers add up to {total:.10g}, expected at most 1; lower some of them"
        )


def _shares_are_rows(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Refuse a share that is rounded to 0 rows, since its sampler would never draw live without any message."""
    batch_size: Any = _table(data, "campaign").get("batch_size", DEFAULT_BATCH_SIZE)
    if _is_offline(data) or not isinstance(batch_size, int) or batch_size < 1:
        return
    places = [i for i, _ in _tables(data, "samplers")]
    without: dict[int, float] = {}
    for shares in _shares(data).values():
        if math.fsum(shares) <= 1 + TOLERANCE:
            quotas = batch_quotas(batch_size, shares)
            without |= {i: share for i, share, rows in zip(places, shares, quotas, strict=True) if share and not rows}
    for i, share in sorted(without.items()):
        yield Problem(
            ("samplers", i, "p_batch"),
            f"{share:g} of a batch of {batch_size} is rounded to no row; raise it or the batch_size, or set it to 0",
        )


def _samplers_draw_at_some_time(data: Mapping[str, Any]) -> Iterator[Problem]:
    for i, table in _tables(data, "samplers"):
        begin, end = _begin(table), _end(table)
        if end <= begin:
            yield Problem(
                ("samplers", i, "until_iteration"),
                f"got {end:g}, expected more than from_iteration, which is {begin:g}",
            )


def _somebody_draws(data: Mapping[str, Any]) -> Iterator[Problem]:
    samplers = [table for _, table in _tables(data, "samplers")]
    if not _is_offline(data) and not any(_draws_live(table) or _fills_buffer(table) for table in samplers):
        advice = "give a sampler a buffer_size or p_batch greater than 0; `molbuffer offline` needs none"
        yield Problem(("samplers",), f"no sampler draws anything; {advice}")


def _buffer_can_be_filled(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Refuse a run that uses only its own rows and needs some for a batch before any sampler fills the buffer."""
    samplers = [table for _, table in _tables(data, "samplers")]
    if _is_offline(data) or not _only_own_rows(data) or not any(map(_draws_live, samplers)):
        return
    filled_from = min((_begin(table) for table in samplers if _fills_buffer(table)), default=math.inf)
    for iteration, shares in _shares(data).items():
        left = 1 - math.fsum(shares)
        if left > TOLERANCE and iteration < filled_from:
            advice = "give a sampler a buffer_size, let the p_batch add up to 1, or use the rows of all runs"
            yield Problem(
                ("buffer", "runs"),
                f'with "own" the buffer is still empty in iteration {iteration:g}, but {left:.3g} of the batch comes '
                f"from it; {advice}",
            )
            return


def warnings_of_rules(data: Mapping[str, Any], deliveries: int | None) -> list[str]:
    """Return warnings about settings that are valid, but probably a mistake.

    Args:
        data: the configuration.
        deliveries: how often the selection of the buffer gives each row to a training; None is no limit.
    """
    too_often = [] if deliveries is None else list(_builds_come_too_often(data, deliveries))
    others = (
        _guard_sees_nothing,
        _best_agent_stays,
        _evaluations_exceed_their_budget,
        _pessimism_has_no_deviation,
        _imported_scores_are_of_no_draw,
    )
    return [*too_often, *(text for rule in others for text in rule(data))]


def _imported_scores_are_of_no_draw(data: Mapping[str, Any]) -> Iterator[str]:
    names = [
        table["scores"] for table in _table(data, "objective").get("components", ()) if table["kind"] == "imported"
    ]
    if names and not _is_offline(data):
        yield (
            f"the scores {', '.join(map(shown, names))} were imported, and nothing computes them: molecules that a run "
            "draws have no reward. `molbuffer offline` learns from the imported molecules; to score new ones, train a "
            "model on the scores and use it as a component"
        )


_EXACT_KINDS = frozenset(
    {"onnx", "pmo", "property", "qed", "rediscovery", "sa_score", "similarity", "substructure", "vina"}
)
"""The kinds of components whose values have no standard deviation."""


def _pessimism_has_no_deviation(data: Mapping[str, Any]) -> Iterator[str]:
    for table in _table(data, "objective").get("components", ()):
        if table.get("pessimism") and (table["kind"] in _EXACT_KINDS or table.get("std") == ""):
            why = "gives none" if table["kind"] in _EXACT_KINDS else "needs the key std for it, which is missing"
            yield (
                f"pessimism is a number of standard deviations, and a component of kind {table['kind']} {why}: no "
                "molecule would have a reward"
            )


def _evaluations_exceed_their_budget(data: Mapping[str, Any]) -> Iterator[str]:
    offline = _table(data, "offline")
    evaluation = _table(offline, "evaluation")
    draws, every, most = (evaluation.get(key) for key in ("draws", "every", "max_oracle_calls"))
    if not draws or most is None:
        return
    number = 1 + ((offline["steps"] - 1) // every if every else 0)
    if number * draws > most:
        yield (
            f"{number} evaluations of {draws} draws may need {number * draws} oracle calls, and "
            f"offline.evaluation.max_oracle_calls allows {most}: {min(draws, most)} are kept for the evaluation at the "
            f"end, and earlier evaluations have no draws when the rest is used up; {number * draws} would suffice"
        )


def _guard_sees_nothing(data: Mapping[str, Any]) -> Iterator[str]:
    if data.get("guard") is None or _is_offline(data):
        return
    if not _agent_draws_live(data):
        yield (
            "the guard watches the live draws of the policy in training, and no sampler with the policy agent has a "
            "p_batch, so that the guard sees nothing: give one a p_batch"
        )


def _best_agent_stays(data: Mapping[str, Any]) -> Iterator[str]:
    best = [table["name"] for _, table in _tables(data, "samplers") if table.get("policy") == BEST]
    if best and not _is_offline(data) and not _agent_draws_live(data):
        yield (
            f"the sampler {best[0]!r} draws from the best agent of the run, which is chosen by the live draws of the "
            "policy in training, and no sampler with the policy agent has a p_batch, so that the best agent stays the "
            "policy that training started from: give one a p_batch"
        )


def _agent_draws_live(data: Mapping[str, Any]) -> bool:
    tables = [table for _, table in _tables(data, "samplers")]
    return any(_draws_live(table) and "agent" in (table.get("policy"), table.get("output_model")) for table in tables)


def _builds_come_too_often(data: Mapping[str, Any], deliveries: int) -> Iterator[str]:
    """Warn of builds whose rows are used up before the next build is due, so that builds come more often."""
    if _is_offline(data) or _table(data, "training")["mode"] == "async":  # Actors build as the rate limit says.
        return
    campaign = _table(data, "campaign")
    every, batch_size = _table(data, "buffer")["build_every"], campaign["batch_size"]
    for iteration, shares in _shares(data).items():
        tables = [table for _, table in _tables(data, "samplers") if _draws_at(table, iteration)]
        built = sum(table["buffer_size"] for table in tables if _fills_buffer(table)) * deliveries
        live = sum(batch_quotas(batch_size, shares))
        taken = batch_size - live + _rows_of_updates(data, batch_size, live)
        if built and taken and built // taken < min(every, campaign["iterations"]):
            lasts = f"every {built // taken} iterations" if built // taken > 1 else "in each iteration"
            yield (
                f"a build gives {built} rows and each iteration takes {taken} of them, so that the buffer is built "
                f"{lasts} from iteration {iteration:g} on, unless rows of earlier runs fill it, and not every {every} "
                f"(buffer.build_every): samplers with a buffer_size of "
                f"{math.ceil(taken * every / deliveries)} in all would suffice"
            )
            return


def _rows_of_updates(data: Mapping[str, Any], batch_size: int, live: int) -> int:
    """Return the number of rows that the updates of an iteration after the first one take from the buffer."""
    training, buffer = _table(data, "training"), _table(data, "buffer")
    size = batch_size - live if training["live_in_updates"] else batch_size
    return int((training["updates"] - 1) * (buffer["update_size"] or size))


def _backlog_has_rows(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Refuse a backlog that stays empty, since only builds of the buffer fill it, and the run has none that it uses."""
    objective = _table(data, "objective")
    modes = [
        (("objective", "components", i, "mode"), table.get("mode")) for i, table in _tables(objective, "components")
    ]
    keys = [path for path, mode in ((("objective", "mode"), objective.get("mode")), *modes) if mode == "backlog"]
    if not keys or _is_offline(data):
        return
    updates: Any = _table(data, "training").get("updates", 1)
    if stored_share(data) <= TOLERANCE and updates == 1:
        live = ", ".join(shown(table.get("name")) for _, table in _tables(data, "samplers") if _draws_live(table))
        yield Problem(
            keys[0],
            f"the samplers {live} draw the whole batch live, and live rows are scored at once, so that the backlog "
            "stays empty; lower their p_batch and give one a buffer_size, or set inline",
        )
    elif not any(_fills_buffer(table) for _, table in _tables(data, "samplers")):
        advice = "no sampler has a buffer_size, and only builds of the buffer have a backlog; give one a buffer_size"
        yield Problem(keys[0], advice)


def _pairs_can_be_kept(data: Mapping[str, Any]) -> Iterator[Problem]:
    objective = _table(data, "objective")
    modes = (objective.get("mode"), *(table.get("mode") for _, table in _tables(objective, "components")))
    if "backlog" in modes and _table(data, "contrastive").get("min_improvement") is not None:
        message = "pairs cannot be rejected by scores that the backlog computes later; remove the key, or set inline"
        yield Problem(("contrastive", "min_improvement"), message)


def _agents_train_online(data: Mapping[str, Any]) -> Iterator[Problem]:
    agents = _table(data, "campaign").get("agents", 1)
    if not isinstance(agents, int) or agents <= 1:
        return
    if _is_offline(data):
        message = f"got {agents}, but an offline training has one agent, since nothing is drawn; set it to 1"
        yield Problem(("campaign", "agents"), message)
    elif _table(data, "training").get("mode") == "async":
        message = f'got {agents}, but actors draw for a single learner; set it to 1, or training.mode to "sync"'
        yield Problem(("campaign", "agents"), message)


_RULES: tuple[Callable[[Mapping[str, Any]], Iterator[Problem]], ...] = (
    _agents_train_online,
    _names_are_unique,
    _labels_are_free,
    _molecules_are_chosen_one_way,
    _shares_fit_the_batch,
    _shares_are_rows,
    _samplers_draw_at_some_time,
    _somebody_draws,
    _buffer_can_be_filled,
    _backlog_has_rows,
    _pairs_can_be_kept,
)


def _table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = data.get(key)
    return table if isinstance(table, Mapping) else {}


def _tables(data: Mapping[str, Any], key: str) -> list[tuple[int, Mapping[str, Any]]]:
    """Return the tables of a list of tables, with their positions."""
    items = data.get(key)
    if not isinstance(items, list | tuple):
        return []
    return [(i, item) for i, item in enumerate(items) if isinstance(item, Mapping)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shares(data: Mapping[str, Any]) -> dict[float, list[float]]:
    """Return the batch shares of all samplers, by each iteration in which a sampler begins or ends.

    The share of a sampler that does not draw live in an iteration is 0.
    """
    samplers = [table for _, table in _tables(data, "samplers")]
    iterations: Any = _table(data, "campaign").get("iterations", DEFAULT_ITERATIONS)
    last = iterations if _is_number(iterations) else math.inf
    changes = {at for table in samplers for at in (_begin(table), _end(table)) if at < last}
    return {
        at: [_share(table) if _draws_at(table, at) else 0.0 for table in samplers] for at in sorted({0.0, *changes})
    }


def _draws_live(table: Mapping[str, Any]) -> bool:
    return bool(table.get("p_batch")) and table.get("sample_batch") is not False


def _fills_buffer(table: Mapping[str, Any]) -> bool:
    return bool(table.get("buffer_size")) and table.get("build_buffer") is not False


def _share(table: Mapping[str, Any]) -> float:
    share: Any = table.get("p_batch", 0) if table.get("sample_batch") is not False else 0
    # Shares outside [0, 1] are reported elsewhere; counting them here would report them twice.
    return float(share) if _is_number(share) and 0 <= share <= 1 else 0.0


def _draws_at(table: Mapping[str, Any], iteration: float) -> bool:
    return _begin(table) <= iteration < _end(table)


def _begin(table: Mapping[str, Any]) -> float:
    return _iteration(table, "from_iteration", 0)


def _end(table: Mapping[str, Any]) -> float:
    return _iteration(table, "until_iteration", math.inf)


def _iteration(table: Mapping[str, Any], key: str, default: float) -> float:
    value: Any = table.get(key)
    return float(value) if _is_number(value) else default


def _is_offline(data: Mapping[str, Any]) -> bool:
    return _table(data, "campaign").get("offline") is True


def _only_own_rows(data: Mapping[str, Any]) -> bool:
    return _table(data, "buffer").get("runs") == "own"
