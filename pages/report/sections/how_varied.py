"""The sections on all molecules together: their diversity, trade-offs between components, and chemical space."""

from __future__ import annotations

from collections.abc import Iterator

from rdkit import Chem

from molbuffer.pages.charts import (
    map_chart,
    neighbour_chart,
    reward_histogram,
    scaffold_chart,
    tradeoff_chart,
)
from molbuffer.pages.facts import (
    Cluster,
    MoleculeSample,
    Neighbour,
    ObjectiveFacts,
    map_space,
    nearest_of,
)
from molbuffer.pages.facts.diversity import diversity
from molbuffer.pages.facts.tradeoffs import tradeoffs
from molbuffer.pages.pictures import common_core, core_of, picture
from molbuffer.pages.report.blocks import (
    MOST_SMILES,
    Block,
    Card,
    Cards,
    Charts,
    Note,
    Number,
    Numbers,
    Section,
    shown,
)
from molbuffer.pages.report.context import Context, Reference
from molbuffer.pages.report.sections.how_it_went import of_objectives

MOST_COMPARED = 1_000
NEAREST_SHOWN = 6


def variety(context: Context) -> Section:
    """Return the section on diversity."""
    return Section(
        "diversity",
        "Diversity",
        "How many different scaffolds were found, the largest clusters of molecules that share one, and how near the "
        "molecules are to known ones; watch for a curve of scaffolds that has become flat, and for a single cluster "
        "that takes most of the molecules.",
        of_objectives(context, _variety),
        "No molecule has a reward yet.",
    )


def _variety(context: Context, objective: ObjectiveFacts) -> Iterator[Block]:
    options = context.options
    sample = context.sample_of(objective)
    if sample.total == 0:
        return
    found = diversity(sample)
    share = found.scaffolds / len(sample.molecules)
    yield Note(_sampled(sample, options.seed))
    yield Numbers(
        [
            Number("different molecules", f"{sample.total:,}", "with a reward"),
            Number("scaffolds", f"{found.scaffolds:,}", f"{share:.1%} of the molecules"),
            Number("of one molecule only", f"{found.singletons:,}", "scaffolds"),
            Number("internal diversity", "–" if found.internal is None else f"{found.internal:.3f}", "1 − similarity"),
        ]
    )
    yield Charts([scaffold_chart(found), reward_histogram(sample.molecules)])
    core = common_core([cluster.best for cluster in found.clusters])
    yield Note("The largest clusters, each by its best molecule:")
    yield Cards([_cluster_card(cluster, len(sample.molecules), core) for cluster in found.clusters])
    if options.reference is None:
        yield Note(
            "Similarity to known molecules is shown with --reference FILE, such as the training set of the prior."
        )
    else:
        yield from _known(sample, options.reference)


def _sampled(sample: MoleculeSample, seed: int) -> str:
    if sample.is_whole:
        return f"Of all {sample.total:,} different molecules with a reward."
    return (
        f"Of {len(sample.molecules):,} of the {sample.total:,} different molecules, chosen by a hash with seed {seed}."
    )


def _cluster_card(cluster: Cluster, molecules: int, core: Chem.Mol | None) -> Card:
    return Card(
        shown(cluster.best, MOST_SMILES),
        picture(cluster.best, core=core),
        f"{cluster.molecules:,} molecule{'' if cluster.molecules == 1 else 's'} ({cluster.molecules / molecules:.1%})",
        [("scaffold", shown(cluster.scaffold, 120) or "no ring"), ("best reward", f"{cluster.reward:.4f}")],
    )


def _known(sample: MoleculeSample, reference: Reference) -> Iterator[Block]:
    every = max(1, -(-len(sample.molecules) // MOST_COMPARED))
    found = nearest_of(sample.molecules["smiles"].to_list()[::every], reference.smiles)
    best_ones = sample.molecules.sort("reward", descending=True)["smiles"].head(NEAREST_SHOWN).to_list()
    yield Note(
        f"Compared with {len(reference.smiles):,} molecules of {reference.name}: {len(found):,} of the sample, and "
        "below the nearest known molecule of the best ones."
    )
    yield Charts([neighbour_chart(found)])
    yield Cards([card for neighbour in nearest_of(best_ones, reference.smiles) for card in _pair_cards(neighbour)])


def _pair_cards(neighbour: Neighbour) -> Iterator[Card]:
    core = core_of(neighbour.nearest)
    said = [("similarity", f"{neighbour.similarity:.3f}")]
    yield Card(shown(neighbour.smiles, MOST_SMILES), picture(neighbour.smiles, core=core), "drawn", said)
    yield Card(shown(neighbour.nearest, MOST_SMILES), picture(neighbour.nearest, core=core), "nearest known", said)


def trade_offs(context: Context) -> Section:
    """Return the section on trade-offs between components."""
    return Section(
        "trade-offs",
        "Trade-offs",
        "The transformed values of two components, with their Pareto front; watch for an empty upper right corner: the "
        "two components then prefer different molecules, and their weights decide.",
        of_objectives(context, _trade_offs),
        "No objective has two components with scores.",
    )


def _trade_offs(context: Context, objective: ObjectiveFacts) -> Iterator[Block]:
    names = [component.name for component in objective.components]
    if len(names) < 2:
        return
    found = tradeoffs(context.scope, objective.sha256, names, most=context.options.traded)
    if found is not None:
        if len(found.points) < found.total:
            yield Note(
                f"{len(found.points):,} of {found.total:,} molecules are drawn: the best third, those of the fronts, "
                "and others chosen by a hash. The fronts are those of all."
            )
        yield Charts([tradeoff_chart(found)], wide=True)


def chemical_space(context: Context) -> Section:
    """Return the section on chemical space."""
    return Section(
        "space",
        "Chemical space over time",
        "Molecules as points, which are close if they share features of their fingerprints; watch for how the "
        "colour moves: if late molecules are in one corner only, the run has settled there.",
        of_objectives(context, _chemical_space),
        "Fewer than three different molecules have a reward: too few for a map.",
    )


def _chemical_space(context: Context, objective: ObjectiveFacts) -> Iterator[Block]:
    sample = context.sample_of(objective)
    space = map_space(sample)
    charts = [map_chart(space, "iteration"), map_chart(space, "reward")]
    if any(charts):
        yield Note(
            f"{_sampled(sample, context.options.seed)} The axes are the two principal components of "
            f"Morgan fingerprints (radius 2, 1,024 bits), with {sum(space.explained):.1%} of the variance: distances "
            "are a rough guide."
        )
        yield Charts(charts)
