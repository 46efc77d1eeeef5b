"""Commands on molecules outside a campaign: ``score``, ``pairs``, ``sample`` and ``objectives``."""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molbuffer.flows.cli.common.first_imports import first_imports
from molbuffer.flows.cli.common.formats import EVERY, Format, chosen_format
from molbuffer.flows.cli.common.notes import note
from molbuffer.flows.cli.common.options import (
    ColumnOption,
    FormatOption,
    JsonOption,
    ModelDeviceOption,
    OutOption,
    SmilesFile,
    file_or_preset,
)
from molbuffer.flows.cli.common.output import as_json, output_kept_for_results, progress_of, write_frame, write_text
from molbuffer.flows.cli.common.run_notes import told_how_to_go_on
from molbuffer.flows.errors import UsageError

if TYPE_CHECKING:
    import polars

    from molbuffer.flows.settings import Settings
    from molbuffer.samplers import FileRow


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog="Example: molbuffer score actives.smi --config campaign.toml --out scores.csv")(score)
    app.command(epilog="Example: molbuffer sample zinc-gru -n 1000 --out drawn.smi")(sample)
    app.command(epilog="Example: molbuffer objectives")(objectives)
    app.command(epilog="Example: molbuffer pairs actives.smi --min-similarity 0.5 --out pairs.csv")(pairs)


def score(
    smiles_file: SmilesFile,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE.toml",
            help="The configuration whose objective and filters are used; default: that of --objective.",
            callback=file_or_preset,
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A named objective, such as pmo:qed, instead of that of a configuration; it scores the molecules as "
            "they are written; `molbuffer objectives` lists the names; default: that of --config.",
        ),
    ] = None,
    out: OutOption = None,
    form: FormatOption = None,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store", metavar="DIR", help="Find scores in this store, and keep new ones there; default: none."
        ),
    ] = None,
    column: ColumnOption = None,
) -> None:
    """Score the molecules of a file under the objective of a configuration, or under a named objective.

    A row has the raw and the transformed value of each component, the reward, the rejecting filter, and the other
    columns of the file. A column of the file whose name is taken gets the suffix _input; the name after a SMILES in a
    .smi file becomes the column name. Rows without a molecule are left out.

    The exit code is 1 if more molecules have no score than campaign.max_failed_share allows.
    """
    if (config is None) == (objective is None):
        raise UsageError("expected exactly one of --config FILE.toml and --objective NAME, for the objective")
    written = chosen_format(form, out)
    from molbuffer.flows.settings import load_settings, named_settings

    with output_kept_for_results():
        settings = named_settings(objective or "") if config is None else load_settings(config)
        with first_imports():
            from molbuffer.flows.tools import check_share, summary, with_columns_of_file
            from molbuffer.samplers import read_molecule_table

        table = read_molecule_table(smiles_file, column)
        scored = _scored(settings, smiles_file, table.rows, store)
    write_frame(with_columns_of_file(scored, table), written, out)
    note(summary(scored))
    check_share(scored, settings.campaign.max_failed_share)


def objectives(json: JsonOption = False) -> None:
    """List the named objectives, for the key `named` of the table [objective] and for score --objective."""
    import polars

    from molbuffer.scoring import NAMED_OBJECTIVES

    rows = [{"name": each.name, "about": each.about} for each in NAMED_OBJECTIVES.values()]
    if json:
        write_text(as_json(rows))
    else:
        write_frame(polars.DataFrame(rows), Format.TABLE)


def _scored(settings: Settings, source: Path, rows: Sequence[FileRow], store: Path | None) -> polars.DataFrame:
    from molbuffer.flows.tools import FileScorer, scoring_run
    from molbuffer.storage import SampleStore

    with progress_of("scoring", len(rows)) as report:
        if store is None:
            return FileScorer.of(settings).score(rows, report)
        run_id = uuid.uuid4().hex
        with (
            told_how_to_go_on(store, resumable=False),
            SampleStore.open_or_create(store) as opened,
            scoring_run(settings, opened, run_id, source),
        ):
            return FileScorer.of(settings, opened, run_id).score(rows, report)


def sample(
    policy: Annotated[
        str, typer.Argument(metavar="POLICY", help="A bundled policy, a folder, a sha256 in --store, or run:RUN_ID.")
    ],
    n: Annotated[int, typer.Option("-n", min=1, help="How many molecules to draw.")] = 1000,
    out: OutOption = None,
    temperature: Annotated[
        float, typer.Option(help="Temperature: below 1 draws likelier molecules, above 1 more diverse ones.")
    ] = 1.0,
    top_k: Annotated[int, typer.Option(min=0, help="Draw each token from the k likeliest only; 0: from all.")] = 0,
    top_p: Annotated[
        float, typer.Option(help="Draw each token from the smallest set of tokens with this probability.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same molecules.")] = 0,
    store: Annotated[
        Path | None,
        typer.Option("--store", metavar="DIR", help="The store that may have the policy; default: none."),
    ] = None,
    device: ModelDeviceOption = None,
) -> None:
    """Draw molecules from a policy, and write one SMILES a line, as it was drawn.

    A .csv, .json or .parquet file also has the log-likelihoods.
    """
    written = chosen_format(None, out, default=Format.SMILES, of_text=Format.SMILES)
    if not 0 < temperature < math.inf or not 0 < top_p <= 1:
        raise UsageError(
            f"expected a finite --temperature > 0 and --top-p in (0, 1], got {temperature:g} and {top_p:g}"
        )
    with first_imports():
        from molbuffer.flows.tools import draw, quality
        from molbuffer.samplers.models import Sampling

    drawn = draw(
        policy=policy, n=n, sampling=Sampling(temperature, top_k, top_p), seed=seed, store=store, device=device or "cpu"
    )
    write_frame(drawn, written, out)
    note(quality(drawn))


def pairs(
    smiles_file: SmilesFile,
    min_similarity: Annotated[
        float, typer.Option(min=0, max=1, help="The least Tanimoto similarity of a pair, inclusive.")
    ] = 0.5,
    max_similarity: Annotated[
        float, typer.Option(min=0, max=1, help="The greatest Tanimoto similarity of a pair, inclusive.")
    ] = 1.0,
    per_molecule: Annotated[
        int, typer.Option(min=1, help="The most targets of one source; the most similar ones are kept.")
    ] = 10,
    fingerprint: Annotated[str, typer.Option(help="The fingerprint: morgan, fcfp or atom_pair.")] = "morgan",
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE.toml",
            help="Add the rewards of both ends under the objective of this configuration; default: none.",
        ),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store", metavar="DIR", help="Find scores in this store, and keep new ones there; default: none."
        ),
    ] = None,
    improve: Annotated[
        str | None,
        typer.Option(
            metavar="PROPERTY", help="Add a property of both ends as their rewards, such as qed; default: none."
        ),
    ] = None,
    same_scaffold: Annotated[
        bool, typer.Option("--same-scaffold", help="Keep only pairs whose ends have the same Bemis-Murcko scaffold.")
    ] = False,
    min_improvement: Annotated[
        float | None,
        typer.Option(
            help="The least improvement, the reward of the target less that of the source; needs --config or "
            "--improve; default: any."
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=2, help="Use only this many of the file's molecules, drawn at random; default: all."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The seed of --limit.")] = 0,
    column: ColumnOption = None,
    out: OutOption = None,
    form: FormatOption = None,
    json: JsonOption = False,
) -> None:
    """Find the pairs of similar molecules in a file: source, target and similarity."""
    if config is not None and improve is not None:
        raise UsageError("--config and --improve both define the reward: give one of them")
    if min_improvement is not None and config is None and improve is None:
        raise UsageError(
            "--min-improvement needs a reward: add --config FILE.toml, for its objective, or --improve PROPERTY"
        )
    if store is not None and config is None:
        raise UsageError("--store needs an objective, whose scores it keeps: add --config FILE.toml")
    if json and out is None:
        raise UsageError("--json prints only a summary: add --out FILE for the pairs")
    written = chosen_format(form, out, allowed=EVERY - {Format.SMILES, Format.SDF})
    from molbuffer.flows.settings import load_settings

    with output_kept_for_results():
        settings = None if config is None else load_settings(config)
        from molbuffer.flows.tools import PairSearch, pairs_of_file, rewards_of_objective, rewards_of_property
        from molbuffer.scoring import Fingerprint, SimilarityBounds

        if fingerprint not in tuple(Fingerprint):
            raise UsageError(f"expected --fingerprint to be one of {', '.join(Fingerprint)}, got {fingerprint!r}")
        bounds = SimilarityBounds(min_similarity, max_similarity, Fingerprint(fingerprint))
        search = PairSearch(
            bounds,
            per_molecule=per_molecule,
            most_molecules=limit,
            seed=seed,
            min_improvement=min_improvement,
            same_scaffold=same_scaffold,
        )
        rewards = None if settings is None else rewards_of_objective(settings, smiles_file, store)
        if improve is not None:
            rewards = rewards_of_property(improve)
        with progress_of("comparing", 100) as show:
            found = pairs_of_file(
                smiles_file, column, search, rewards, lambda done, total: show(100 * done // max(1, total))
            )
    write_frame(found, written, out)
    sources = found["source"].n_unique()
    if json:
        write_text(as_json({"pairs": len(found), "sources": sources, "out": str(out)}))
    note(f"{len(found)} pairs of {sources} sources")
