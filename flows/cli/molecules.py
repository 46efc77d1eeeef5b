"""Commands about molecules outside a campaign: ``score`` those of a file, ``sample`` new ones from a policy."""

from __future__ import annotations

import math
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molbuffer.flows.cli.errors import UsageError
from molbuffer.flows.cli.options import ColumnOption, FormatOption, OutOption, SmilesFile, chosen_format
from molbuffer.flows.cli.output import note, output_kept_for_results, progress_of, write_frame, write_text

if TYPE_CHECKING:
    import polars

    from molbuffer.flows.settings.settings import Settings
    from molbuffer.samplers.files.smiles_files import FileRow

LINE_FILES = (".smi", ".smiles", ".txt")


def add_commands(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command(epilog="Example: molbuffer score actives.smi --config campaign.toml --out scores.csv")(score)
    app.command(epilog="Example: molbuffer sample zinc-gru -n 1000 --out drawn.smi")(sample)


def score(
    smiles_file: SmilesFile,
    config: Annotated[Path, typer.Option("--config", metavar="FILE.toml", help="Its objective and filters are used.")],
    out: OutOption = None,
    form: FormatOption = None,
    store: Annotated[
        Path | None, typer.Option("--store", metavar="DIR", help="Look scores up in this store, and keep new ones.")
    ] = None,
    column: ColumnOption = None,
) -> None:
    """Score the molecules of a file: each component's raw and transformed value, the reward, and what refuses it."""
    written = chosen_format(form, out)
    from molbuffer.flows.settings.settings import load_settings

    with output_kept_for_results():
        settings = load_settings(config)
        from molbuffer.flows.tools.score_file import summary
        from molbuffer.samplers.files.smiles_files import read_smiles_file

        scored = _scored(settings, smiles_file, read_smiles_file(smiles_file, column), store)
    write_frame(scored, written, out)
    note(summary(scored))


def _scored(settings: Settings, source: Path, rows: list[FileRow], store: Path | None) -> polars.DataFrame:
    from molbuffer.flows.tools.score_file import FileScorer, scoring_run
    from molbuffer.storage import SampleStore

    with progress_of("scoring", len(rows)) as report:
        if store is None:
            return FileScorer.of(settings).score(rows, report)
        run_id = uuid.uuid4().hex
        with SampleStore.open_or_create(store) as opened, scoring_run(settings, opened, run_id, source):
            return FileScorer.of(settings, opened, run_id).score(rows, report)


def sample(
    policy: Annotated[
        str, typer.Argument(metavar="POLICY", help="A bundled policy, a folder, or a sha256 in --store.")
    ],
    n: Annotated[int, typer.Option("-n", min=1, help="How many molecules to draw.")] = 1000,
    out: OutOption = None,
    temperature: Annotated[
        float, typer.Option(help="Below 1 draws likelier molecules, above 1 more diverse ones.")
    ] = 1.0,
    top_k: Annotated[int, typer.Option(min=0, help="Draw tokens from the k likeliest only; 0 = from all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Draw tokens from the smallest set with this probability.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same molecules.")] = 0,
    store: Annotated[Path | None, typer.Option("--store", metavar="DIR", help="Where to look a sha256 up.")] = None,
) -> None:
    """Draw from a policy: SMILES as drawn, one a line; to a .csv, .json or .parquet file with log-likelihoods."""
    if not 0 < temperature < math.inf or not 0 < top_p <= 1:
        raise UsageError(
            f"expected a finite --temperature > 0 and --top-p in (0, 1], got {temperature:g} and {top_p:g}"
        )
    from molbuffer.flows.tools.sample_policy import draw, quality
    from molbuffer.samplers.models.distribution import Sampling

    drawn = draw(policy, n, Sampling(temperature, top_k, top_p), seed, store)
    if out is None or out.suffix.lower() in LINE_FILES:
        write_text("\n".join(drawn["smiles"].to_list()), out)
    else:
        write_frame(drawn, chosen_format(None, out), out)
    note(quality(drawn))
