"""Rules that concern several keys of a configuration at once.

They read plain data, so that they can be checked on a file in which other keys are wrong: all problems of a file are
then reported together. For the same reason they pass over values of the wrong type, which are reported elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flows.config_errors import Problem, shown
from flows.config_lines import KeyPath
from flows.settings_latents import ORIGIN_KEYS, ORIGINS
from flows.settings_paths import INNER_SAMPLER
from flows.settings_samplers import CHOICE_KEYS
from flows.settings_training import SELECTION_KEYS

SHARE_TOLERANCE = 1e-9
"""How far the shares of a batch may add up beyond 1: 0.1 ten times is not exactly 1 in floating point."""


def broken_rules(data: Mapping[str, Any]) -> list[Problem]:
    """Every breach of a rule in a configuration."""
    return [problem for rule in _RULES for problem in rule(data)]


def _names_are_unique(data: Mapping[str, Any]) -> Iterator[Problem]:
    names: set[str] = set()
    for i, table in _tables(data, "samplers"):
        name = table.get("name")
        if isinstance(name, str) and name in names:
            yield Problem(("samplers", i, "name"), f"two samplers have the name {shown(name)}; change one")
        elif isinstance(name, str):
            names.add(name)


def _shares_fit_the_batch(data: Mapping[str, Any]) -> Iterator[Problem]:
    total = _total_share(data)
    if total > 1 + SHARE_TOLERANCE:
        yield Problem(
            ("samplers",), f"the p_batch of all samplers add up to {total:g}, expected at most 1; lower some of them"
        )


def _samplers_draw_at_some_time(data: Mapping[str, Any]) -> Iterator[Problem]:
    for i, table in _tables(data, "samplers"):
        begin, end = _iteration(table, "from_iteration", 0), _iteration(table, "until_iteration", math.inf)
        if end <= begin:
            yield Problem(
                ("samplers", i, "until_iteration"),
                f"got {end:g}, expected more than from_iteration, which is {begin:g}",
            )


def _somebody_draws(data: Mapping[str, Any]) -> Iterator[Problem]:
    samplers = [table for _, table in _tables(data, "samplers")]
    if not _is_offline(data) and not any(_draws_live(table) or _fills_buffer(table) for table in samplers):
        advice = "give a sampler a buffer_size or p_batch greater than 0, or set campaign.offline = true"
        yield Problem(("samplers",), f"no sampler draws anything; {advice}")


def _buffer_can_be_filled(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Refuses a run that would stop at its first batch: a buffer of its own rows that nobody fills."""
    samplers = [table for _, table in _tables(data, "samplers")]
    share = 1 - _total_share(data)
    filled = any(map(_fills_buffer, samplers))
    drawing = any(map(_draws_live, samplers))
    if not _is_offline(data) and _only_own_rows(data) and share > SHARE_TOLERANCE and drawing and not filled:
        advice = "give a sampler a buffer_size, let the p_batch add up to 1, or use the rows of all runs"
        yield Problem(
            ("buffer", "runs"),
            f'with "own" the buffer stays empty, but {share:.3g} of each batch comes from it; {advice}',
        )


def _offline_has_rows(data: Mapping[str, Any]) -> Iterator[Problem]:
    if _is_offline(data) and _only_own_rows(data):
        yield Problem(("buffer", "runs"), 'got "own", expected "all": an offline campaign draws no rows of its own')


def _selection_keys_belong(data: Mapping[str, Any]) -> Iterator[Problem]:
    for section, default in [("buffer", "consume_once"), ("offline", "uniform")]:
        table = _table(data, section)
        chosen = table.get("selection", default)
        if chosen not in SELECTION_KEYS:
            continue
        for selection, key in SELECTION_KEYS.items():
            if key and table.get(key) is not None and selection != chosen:
                problem = f'this key belongs to selection = "{selection}", but the selection is "{chosen}"'
                yield Problem((section, key), f"{problem}; remove the key or change the selection")


def _choice_keys_belong(data: Mapping[str, Any]) -> Iterator[Problem]:
    for path, table in _draws(data):
        chosen = table.get("select", "uniform")
        if table.get("kind") != "history" or not isinstance(chosen, str) or chosen not in CHOICE_KEYS:
            continue
        for choice, key in CHOICE_KEYS.items():
            if key and table.get(key) is not None and choice != chosen:
                problem = f'this key belongs to select = "{choice}", but the rows are selected by "{chosen}"'
                yield Problem((*path, key), f"{problem}; remove the key or change select")


def _latents_have_one_origin(data: Mapping[str, Any]) -> Iterator[Problem]:
    for path, table in _draws(data):
        if table.get("kind") != "latent":
            continue
        given = [key for key in ORIGINS if table.get(key) is not None]
        if not given:
            yield Problem(path, f"this sampler has no latent vectors; give it one of {', '.join(ORIGINS)}")
        for key in given[1:]:
            yield Problem((*path, key), f"latent vectors come from {given[0]} already; remove one of the keys")
        for key, origin in ORIGIN_KEYS.items():
            if table.get(key) and given and origin not in given:
                yield Problem((*path, key), f"this key belongs to {origin}, but latent vectors come from {given[0]}")


def _prior_keys_belong(data: Mapping[str, Any]) -> Iterator[Problem]:
    for path, table in _draws(data):
        if table.get("kind") != "prior":
            continue
        if table.get("prior") == "spherical" and table.get("components", 1) != 1:
            yield Problem((*path, "components"), "this key belongs to a normal prior, but the prior is spherical")
        if table.get("learnt_prior") is not None and (
            table.get("prior") is not None or table.get("components", 1) != 1
        ):
            yield Problem((*path, "learnt_prior"), "a prior that was learnt is what it is; remove prior and components")


_RULES: tuple[Callable[[Mapping[str, Any]], Iterator[Problem]], ...] = (
    _names_are_unique,
    _shares_fit_the_batch,
    _samplers_draw_at_some_time,
    _somebody_draws,
    _buffer_can_be_filled,
    _offline_has_rows,
    _selection_keys_belong,
    _choice_keys_belong,
    _latents_have_one_origin,
    _prior_keys_belong,
)


def _table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = data.get(key)
    return table if isinstance(table, Mapping) else {}


def _tables(data: Mapping[str, Any], key: str) -> list[tuple[int, Mapping[str, Any]]]:
    """The tables of a list of tables, with their positions."""
    items = data.get(key)
    if not isinstance(items, list | tuple):
        return []
    return [(i, item) for i, item in enumerate(items) if isinstance(item, Mapping)]


def _draws(data: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    """Every table that draws: the samplers, and those inside them."""
    for i, sampler in _tables(data, "samplers"):
        path: KeyPath = ("samplers", i)
        table: Any = sampler
        while isinstance(table, Mapping):
            yield path, table
            path, table = (*path, INNER_SAMPLER), table.get(INNER_SAMPLER)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _total_share(data: Mapping[str, Any]) -> float:
    """The most that the shares of one iteration's batch add up to."""
    samplers = [table for _, table in _tables(data, "samplers") if table.get("sample_batch") is not False]
    # Shares only grow where a sampler begins to draw.
    begins = {0, *(_iteration(table, "from_iteration", 0) for table in samplers)}
    return max(math.fsum(_share(table) for table in samplers if _draws_at(table, begin)) for begin in begins)


def _draws_live(table: Mapping[str, Any]) -> bool:
    return bool(table.get("p_batch")) and table.get("sample_batch") is not False


def _fills_buffer(table: Mapping[str, Any]) -> bool:
    return bool(table.get("buffer_size")) and table.get("build_buffer") is not False


def _share(table: Mapping[str, Any]) -> float:
    share: Any = table.get("p_batch", 0)
    # Shares outside [0, 1] are reported as such; counting them here would report them twice.
    return float(share) if _is_number(share) and 0 <= share <= 1 else 0.0


def _draws_at(table: Mapping[str, Any], iteration: float) -> bool:
    return _iteration(table, "from_iteration", 0) <= iteration < _iteration(table, "until_iteration", math.inf)


def _iteration(table: Mapping[str, Any], key: str, default: float) -> float:
    value: Any = table.get(key)
    return float(value) if _is_number(value) else default


def _is_offline(data: Mapping[str, Any]) -> bool:
    return _table(data, "campaign").get("offline") is True


def _only_own_rows(data: Mapping[str, Any]) -> bool:
    return _table(data, "buffer").get("runs") == "own"
