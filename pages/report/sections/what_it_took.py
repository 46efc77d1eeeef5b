"""The sections on scores: those that failed, and the costs of the others."""

from __future__ import annotations

from molbuffer.pages.facts import SHORT_ID, CostFacts, list_costs, list_failures
from molbuffer.pages.report.blocks import (
    Block,
    Cell,
    Note,
    Number,
    Numbers,
    Section,
    Table,
    duration,
    number_cell,
    shown,
    text_cell,
)
from molbuffer.pages.report.context import Context


def failures(context: Context) -> Section:
    """Return the section on scores that failed or were lost."""
    rows = [
        [
            text_cell(each.component),
            text_cell(each.status),
            number_cell(each.molecules, ",d"),
            number_cell(each.recovered, ",d"),
            text_cell(each.error),
            text_cell("\n".join(shown(smiles, 120) for smiles in each.examples)),
        ]
        for each in list_failures(context.scope)
    ]
    columns = ("component", "status", "molecules", "scored since", "error", "examples")
    caption = "Scores without a value, by reason"
    blocks: list[Block] = [Table(caption, columns, rows, numeric=frozenset({2, 3}), long=frozenset({5}))]
    return Section(
        "failures",
        "Failed scores",
        "Molecules without a score: failed if the molecule is at fault, lost if the machine is; watch for one reason "
        "that grows, and for molecules of one kind among the examples. `molbuffer rescore` tries lost scores again, "
        "with --failed also failed ones.",
        blocks if rows else [],
        "No score of these runs failed or was lost.",
    )


def costs(context: Context) -> Section:
    """Return the section on the costs of scores."""
    found = list_costs(context.scope)
    blocks: list[Block] = []
    if found:
        saved, seconds = sum(each.saved_seconds for each in found), sum(each.seconds for each in found)
        blocks = [
            Numbers(
                [
                    Number("computed scores", f"{sum(each.computed for each in found):,}"),
                    Number("time of scoring", duration(seconds), "summed over parallel workers"),
                    Number("found in the store", f"{sum(each.known for each in found):,}", "scores not computed again"),
                    Number("saved", duration(saved), "at the mean time of a score"),
                ]
            ),
            _costs_table(found),
        ]
        if any(each.computed > each.asked for each in found):
            blocks.append(
                Note(
                    "The column asked counts the molecules of these runs whose reward is settled. The column "
                    "computed has more: it includes scores of other molecules, such as those of rows of other runs "
                    "that were relabelled."
                )
            )
    return Section(
        "costs",
        "Costs",
        "The scores that were computed and those that the store had already, and the time of each component; watch for "
        "the component that takes most of the time: a gate, a cheaper filter before it, or screening may spare calls.",
        blocks,
        "No score was computed or looked up yet.",
    )


def _costs_table(found: list[CostFacts]) -> Table:
    rows = [
        [
            text_cell(each.component),
            number_cell(each.asked, ",d"),
            number_cell(each.computed, ",d"),
            number_cell(each.known, ",d"),
            Cell(duration(each.seconds), each.seconds),
            number_cell(each.mean_seconds, ",.3g"),
            number_cell(each.slowest, ",.3g"),
            Cell(duration(each.saved_seconds), each.saved_seconds),
            text_cell(each.version[:SHORT_ID]),
        ]
        for each in found
    ]
    columns = ("component", "asked", "computed", "known", "time", "mean, s", "slowest, s", "saved", "version")
    return Table("Components by their costs", columns, rows, numeric=frozenset(range(1, 8)))
