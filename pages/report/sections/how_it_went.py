"""The sections on the progress of runs: learning, the funnel, and the samplers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import polars as pl

from molbuffer.pages.charts import (
    calls_chart,
    metric_chart,
    outcomes_chart,
    reward_chart,
    sampler_chart,
    shares_chart,
    short_labels,
)
from molbuffer.pages.facts import (
    REWARDS,
    CallCurve,
    Funnel,
    ObjectiveFacts,
    batch_shares,
    drawn_rewards,
    funnel_of,
    funnel_over_time,
    learning_curve,
    rewards_by_calls,
    sampler_totals,
    samplers_over_time,
)
from molbuffer.pages.report.blocks import (
    Block,
    Cell,
    Charts,
    Heading,
    Note,
    Number,
    Numbers,
    Section,
    Table,
    number_cell,
    share_cell,
    text_cell,
)
from molbuffer.pages.report.context import Context

EVENTS = {"sample_batch": "drawn live", "build_buffer": "drawn for the buffer", "evaluation": "drawn to evaluate"}
METRICS = (
    ("loss", "Loss", "loss", False),
    ("validation_loss", "Loss of held-out rows", "loss", False),
    ("effective_sample_size", "Effective sample size", "share of the batch", True),
    ("policy_lag", "Policy lag of stored rows", "iterations", True),
    ("kl_prior", "Divergence from the prior", "KL, nats", True),
    ("gradient_norm", "Norm of the gradient", "norm", True),
)
"""The metrics of trainings with charts: name, title, unit, and whether the axis begins at 0."""
SHORT_EVENTS = {"sample_batch": "live", "build_buffer": "buffer", "evaluation": "evaluation"}


def of_objectives(context: Context, blocks: Callable[[Context, ObjectiveFacts], Iterator[Block]]) -> list[Block]:
    """Return the blocks of all objectives; with several objectives, those of each are under a heading."""
    found: list[Block] = []
    for objective in context.objectives:
        own = list(blocks(context, objective))
        if own and context.headings():
            found.append(Heading(f"Under objective {objective.label}"))
        found += own
    return found


def learning(context: Context) -> Section:
    """Return the section on the progress of learning."""
    return Section(
        "learning",
        "Learning",
        "The rewards of live and of stored rows, and the best molecules over oracle calls, with bands over runs of the "
        "same name; watch for live rewards that rise while the best ones do not, for an effective sample size near 0, "
        "and for a divergence from the prior that keeps growing.",
        of_objectives(context, _learning),
        "No row has a reward yet, so that no run has learned anything.",
    )


def _learning(context: Context, objective: ObjectiveFacts) -> Iterator[Block]:
    curves = rewards_by_calls(context.scope, objective.sha256)
    scored = [curve for curve in curves if curve.best is not None]
    if scored:
        yield Numbers(_numbers(scored))
    # The metrics of a training on pairs are rewards of pairs, which are under an objective of their own.
    of_pairs = {run.run_id for run in context.runs if run.setting("contrastive") is not None}
    groups, among = context.groups_of(objective), context.all_groups
    metrics = learning_curve(context.scope, [*REWARDS, *(name for name, *_ in METRICS)])
    rewards = reward_chart(metrics.filter(~pl.col("run_id").is_in(of_pairs)), groups, REWARDS, among)
    if rewards is None:
        drawn = drawn_rewards(context.scope, objective.sha256)
        named = drawn.select("run_id", "iteration", name="event", value="mean")
        rewards = reward_chart(named, context.groups, EVENTS, among) if named["iteration"].n_unique() > 1 else None
    charts = [rewards, calls_chart(curves, context.groups)]
    # The rows of an offline training are of other runs, so that its policy lag has no meaning.
    offline = pl.col("run_id").is_in([run.run_id for run in context.runs if run.kind == "offline"])
    metrics = metrics.filter(~((pl.col("name") == "policy_lag") & offline))
    charts += [metric_chart(metrics, groups, *metric, among) for metric in METRICS]
    if any(charts):
        yield Charts(charts)
    if curves:
        yield _runs_table(context, curves)


def _numbers(curves: list[CallCurve]) -> list[Number]:
    best = max(curves, key=lambda curve: curve.best or 0.0)
    area = max(curves, key=lambda curve: curve.auc_top_10)
    several = len(curves) > 1
    note = "of the best run" if several else ""
    return [
        Number("best reward", f"{best.best:.3f}", note),
        Number("mean of the ten best", f"{max(curve.top_10 or 0.0 for curve in curves):.3f}", note),
        Number("AUC top-10", f"{area.auc_top_10:.3f}", f"over {area.budget:,} calls"),
        Number("oracle calls", f"{sum(curve.calls for curve in curves):,}", f"{len(curves)} runs" if several else ""),
        Number("without a reward", f"{sum(curve.failed for curve in curves):,}", "calls whose score failed"),
    ]


def _runs_table(context: Context, curves: list[CallCurve]) -> Table:
    runs = {run.run_id: run for run in context.runs}
    rows = [
        [
            text_cell(runs[curve.run_id].label),
            number_cell(runs[curve.run_id].seed, "d"),
            number_cell(curve.best, ".4f"),
            number_cell(curve.top_10, ".4f"),
            number_cell(curve.auc_top_10, ".4f"),
            number_cell(curve.calls, ",d"),
            number_cell(curve.budget, ",d"),
            number_cell(curve.failed, ",d"),
        ]
        for curve in curves
    ]
    columns = ("run", "seed", "best", "ten best", "AUC top-10", "calls", "of", "without a reward")
    return Table("Runs by their rewards", columns, rows, numeric=frozenset(range(1, 8)))


def drawn_funnel(context: Context) -> Section:
    """Return the section on the outcomes of drawn rows."""
    outcomes = funnel_over_time(context.scope)
    blocks: list[Block] = []
    if not outcomes.is_empty():
        whole = funnel_of(outcomes)
        blocks = [Numbers(_steps(whole)), Charts([outcomes_chart(outcomes)], wide=True), _refusals(whole)]
    return Section(
        "funnel",
        "The funnel",
        "The outcome of every drawn row: whether it is a molecule, which filter refused it, and whether its reward is "
        "of stored scores or of new ones; watch for a filter that refuses most rows, and for growing shares of known "
        "molecules, since the policy then repeats itself.",
        blocks,
        "No row was drawn yet.",
    )


def _steps(whole: Funnel) -> list[Number]:
    def share(part: int, of: int, text: str) -> str:
        return f"{part / of:.1%} {text}" if of else ""

    return [
        Number("drawn", f"{whole.drawn:,}"),
        Number("molecules", f"{whole.parseable:,}", share(whole.parseable, whole.drawn, "of the drawn")),
        Number("kept", f"{whole.kept:,}", share(whole.kept, whole.parseable, "of the molecules")),
        Number("rewarded", f"{whole.rewarded:,}", share(whole.rewarded, whole.kept, "of the kept")),
        Number("of new scores", f"{whole.computed:,}", share(whole.computed, whole.rewarded, "of the rewarded")),
        Number("failed or lost", f"{whole.failed:,}", share(whole.failed, whole.kept, "of the kept")),
    ]


def _refusals(whole: Funnel) -> Block:
    if not whole.refused:
        return Note("No filter refused a row.")
    rows = [[text_cell(name), number_cell(n, ",d"), share_cell(n / whole.drawn)] for name, n in whole.refused.items()]
    return Table("Refused rows by filter", ("filter", "rows", "of the drawn"), rows, numeric=frozenset({1, 2}))


def drawn_samplers(context: Context) -> Section:
    """Return the section on the samplers."""
    totals = sampler_totals(context.scope)
    blocks: list[Block] = []
    if not totals.is_empty():
        over_time, shares = samplers_over_time(context.scope), batch_shares(context.scope)
        by_objective = _runs_by_objective(context)
        for title, run_ids in by_objective.items():
            own = totals.filter(pl.col("run_id").is_in(run_ids))
            if own.is_empty():
                continue
            if len(by_objective) > 1:
                blocks.append(Heading(title))
            blocks += _of_samplers(context, own, over_time.filter(pl.col("run_id").is_in(run_ids)))
            part = shares_chart(shares.filter(pl.col("run_id").is_in(run_ids)))
            blocks += [Charts([part], wide=True)] if part is not None else []
    return Section(
        "samplers",
        "Samplers",
        "The rows that each sampler drew for the buffer and live: their diversity, validity, rewards and share of new "
        "molecules, and the share of each sampler in the training batches; watch for a sampler whose molecules are no "
        "longer new, and for shares that differ from the configuration.",
        blocks,
        "No sampler has drawn a row yet.",
    )


def _runs_by_objective(context: Context) -> dict[str, list[str]]:
    titles = {each.sha256: f"Runs of objective {each.label}" for each in (*context.objectives, *context.others)}
    found: dict[str, list[str]] = {}
    for run in context.runs:
        title = titles.get(run.objective_sha256 or "", "Runs of other objectives")
        found.setdefault(title, []).append(run.run_id)
    return found


def _of_samplers(context: Context, totals: pl.DataFrame, over_time: pl.DataFrame) -> list[Block]:
    labels = _labels(totals)
    charts = [sampler_chart(over_time, name, *titles, labels) for name, titles in _TITLES.items()]
    several = over_time.is_empty() or over_time["iteration"].n_unique() > 1
    return [_samplers_table(context, totals), *([Charts(charts)] if several and any(charts) else [])]


_TITLES = {
    "rewards": ("Mean reward of the kept rows", "reward"),
    "valid": ("Kept rows of the drawn ones", "share"),
    "new": ("New molecules of the kept rows", "share"),
    "diversity": ("Different molecules of the parseable rows", "share"),
}


def _labels(totals: pl.DataFrame) -> Mapping[tuple[str, str], str]:
    keys = list(dict.fromkeys(totals.select("sampler", "event").iter_rows()))
    texts = [f"{sampler}, {SHORT_EVENTS.get(event, event)}" for sampler, event in keys]
    short = short_labels(texts)
    return {key: short[text] for key, text in zip(keys, texts, strict=True)}


def _samplers_table(context: Context, totals: pl.DataFrame) -> Table:
    labels = {run.run_id: run.label for run in context.runs}
    rows = [
        [
            text_cell(labels[row["run_id"]]),
            text_cell(row["sampler"]),
            text_cell(row["sampler_kind"]),
            Cell(SHORT_EVENTS.get(row["event"], row["event"])),
            number_cell(row["builds"], ",d"),
            number_cell(row["drawn"], ",d"),
            number_cell(row["kept"], ",d"),
            share_cell(row["valid"]),
            share_cell(row["diversity"]),
            share_cell(row["new"]),
            number_cell(row["rewards"], ".3f"),
            number_cell(row["shortfall"], ",d"),
            number_cell(row["seconds"], ",.1f"),
        ]
        for row in totals.to_dicts()
    ]
    columns = (
        *("run", "sampler", "kind", "event", "builds", "drawn", "kept", "kept of drawn", "different", "new"),
        *("reward", "missing", "seconds"),
    )
    return Table("Samplers; shares and rewards are means over builds", columns, rows, numeric=frozenset(range(4, 13)))
