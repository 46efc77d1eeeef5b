"""The sections on single molecules: the best ones, and their descent."""

from __future__ import annotations

from collections.abc import Iterator

from rdkit import Chem

from molbuffer.pages.charts import (
    short_labels,
)
from molbuffer.pages.facts import (
    SHORT_ID,
    Ancestor,
    BestMolecule,
    ObjectiveFacts,
    descent,
    first_rows,
    policy_descent,
)
from molbuffer.pages.pictures import common_core, core_of, picture
from molbuffer.pages.report.blocks import (
    MOST_SMILES,
    Block,
    Card,
    Cards,
    Note,
    Section,
    Table,
    number_cell,
    shown,
    text_cell,
)
from molbuffer.pages.report.context import Context
from molbuffer.pages.report.sections.how_it_went import SHORT_EVENTS, of_objectives

HEADER_CHARACTERS = 24
"""The most characters of the title of a column; a longer title would push other columns out of sight."""
_TARGETED = ("similarity", "rediscovery")


def best(context: Context) -> Section:
    """Return the section on the best molecules."""
    return Section(
        "molecules",
        "The best molecules",
        "The molecules with the best rewards, with the transformed value of each component and its raw value in "
        "brackets, and where each first came from; watch for pictures that all look alike, and for oddities that a "
        "score rewards and a chemist would not.",
        of_objectives(context, _best),
        "No molecule has a reward yet.",
    )


def _best(context: Context, objective: ObjectiveFacts) -> Iterator[Block]:
    options = context.options
    found = context.best_of(objective)
    if not found:
        return
    core, aligned = _core(context, objective, [molecule.smiles for molecule in found[: options.best]])
    yield Note(
        f"Pictures are aligned to {aligned}." if core is not None else "Pictures are not aligned to a reference."
    )
    yield Cards([_best_card(rank, molecule, core) for rank, molecule in enumerate(found[: options.best], 1)])
    yield _best_table(found[: options.listed], objective)


def _core(context: Context, objective: ObjectiveFacts, smiles: list[str]) -> tuple[Chem.Mol | None, str]:
    """Return the core that pictures are aligned to, and its description for readers."""
    if context.options.align is not None and (core := core_of(context.options.align)) is not None:
        return core, shown(context.options.align, 80)
    for kind, target in _targets(context, objective):
        if (core := core_of(target)) is not None:
            return core, f"the target of {kind}, {shown(target, 80)}"
    return common_core(smiles), "the scaffold that most of them have"


def _targets(context: Context, objective: ObjectiveFacts) -> Iterator[tuple[str, str]]:
    """Yield the kind and the target molecule of each component that compares with a target."""
    for run in context.runs_of(objective):
        components = run.setting("objective", "components")
        for component in components if isinstance(components, list) else ():
            kind, target = (component.get(key) for key in ("kind", "target")) if isinstance(component, dict) else (0, 0)
            if kind in _TARGETED and isinstance(target, str):
                yield str(kind), target


def _best_card(rank: int, molecule: BestMolecule, core: Chem.Mol | None) -> Card:
    labels = short_labels([each.component for each in molecule.components], 18)
    values = [
        (labels[each.component], _value(each.raw, each.transformed))
        for each in molecule.components
        if each.raw is not None or each.transformed is not None
    ]
    return Card(
        shown(molecule.smiles, MOST_SMILES),
        picture(molecule.smiles, core=core),
        f"{rank}.  {molecule.reward:.4f}",
        [*values, *_provenance(molecule)],
        {label: shown(name) for name, label in labels.items() if label != name},
    )


def _value(raw: float | None, transformed: float | None) -> str:
    if raw is None or transformed is None:
        return "" if transformed is None else f"{transformed:.3f} (gated)"
    return f"{raw:.3f}" if raw == transformed else f"{transformed:.3f} ({raw:.4g})"


def _provenance(molecule: BestMolecule) -> Iterator[tuple[str, str]]:
    yield "run", shown(molecule.run_name, 60)
    yield "first drawn", f"iteration {molecule.iteration}, {SHORT_EVENTS.get(molecule.event, molecule.event)}"
    yield "by", shown(molecule.sampler, 60)
    if molecule.policy_sha256 is not None:
        yield "policy", molecule.policy_sha256[:SHORT_ID]
    if molecule.made_of:
        yield "made of", " and ".join(shown(smiles, 80) for smiles in molecule.made_of)
    if molecule.file is not None:
        yield "file", shown(molecule.file, 80)
    if molecule.times_drawn > 1:
        yield "drawn", f"{molecule.times_drawn:,} times"


def _best_table(found: list[BestMolecule], objective: ObjectiveFacts) -> Table:
    names = [component.name for component in objective.components]
    rows = []
    for rank, molecule in enumerate(found, 1):
        raw = {each.component: each.raw for each in molecule.components}
        rows.append(
            [
                number_cell(rank, "d"),
                number_cell(molecule.reward, ".4f"),
                text_cell(shown(molecule.smiles, MOST_SMILES)),
                *(number_cell(raw.get(name)) for name in names),
                number_cell(molecule.iteration, "d"),
                text_cell(molecule.sampler),
                text_cell(molecule.run_name),
            ]
        )
    labels = short_labels(names, HEADER_CHARACTERS)
    columns = ("rank", "reward", "SMILES", *labels.values(), "iteration", "sampler", "run")
    numeric = frozenset(range(4 + len(names))) - {2}
    caption = f"The best {len(found)} molecules, with raw values"
    whole = {label: shown(name) for name, label in labels.items() if label != name}
    return Table(caption, columns, rows, numeric=numeric, long=frozenset({2}), whole=whole)


def lineage(context: Context) -> Section:
    """Return the section on the lineage of a molecule."""
    return Section(
        "lineage",
        "Lineage",
        "The origin of one molecule, by default the best: the molecules that it was made of, back to one without a "
        "source, and the versions of the policy that drew it; --molecule SMILES names another molecule.",
        _named(context) if context.options.molecule is not None else of_objectives(context, _of_best),
        "No molecule with a reward has a descent yet."
        if context.options.molecule is None
        else f"No run of this report has drawn {shown(context.options.molecule, 200)} in this form.",
    )


def _named(context: Context) -> list[Block]:
    return list(_descent(context, context.options.molecule or ""))


def _of_best(context: Context, objective: ObjectiveFacts) -> Iterator[Block]:
    for molecule in context.best_of(objective)[:1]:
        yield from _descent(context, molecule.smiles)


def _descent(context: Context, smiles: str) -> Iterator[Block]:
    steps = descent(context.scope, smiles)
    if not steps:
        return
    core = core_of(steps[-1].smiles)
    yield Cards([_step_card(step, core) for step in steps], chain=True)
    if len(steps) == 1:
        yield Note("Its sampler names no source: the molecule was drawn as a whole, by a policy or from a file.")
    policy = next((row["policy_sha256"] for row in first_rows(context.scope, [smiles])), None)
    versions = [] if policy is None else policy_descent(context.scope, policy)
    if versions:
        rows = [
            [
                text_cell(version.sha256[:12]),
                text_cell(version.kind),
                text_cell(version.run_name or "brought in"),
                number_cell(version.iteration, "d"),
                text_cell("kept" if version.weights_kept else "not kept"),
                text_cell(version.created.strftime("%Y-%m-%d %H:%M")),
            ]
            for version in versions
        ]
        columns = ("policy", "kind", "made by run", "iteration", "weights", "made (UTC)")
        caption = f"The policy that drew the molecule, and the {len(versions) - 1} versions before it"
        yield Table(caption, columns, rows, numeric=frozenset({3}))


def _step_card(step: Ancestor, core: Chem.Mol | None) -> Card:
    title = "the molecule" if step.generation == 0 else f"{step.generation} before"
    lines = [("run", shown(step.run_name, 60))] if step.run_name else [("run", "not drawn by a run of this report")]
    if step.iteration is not None:
        lines.append(("first drawn", f"iteration {step.iteration}"))
    if step.sampler is not None:
        lines.append(("by", shown(step.sampler, 60)))
    if step.file is not None:
        lines.append(("file", shown(step.file, 80)))
    return Card(shown(step.smiles, MOST_SMILES), picture(step.smiles, core=core), title, lines)
