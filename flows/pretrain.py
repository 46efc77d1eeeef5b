"""pretrain: a prior from a file of molecules, registered in the store as a policy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from prefect import flow

from molbuffer.flows.campaign.progress import step_bar
from molbuffer.flows.campaign.provenance import code_version, current_run_id, host_and_user, library_versions
from molbuffer.samplers.models.protocol import GenerativeModel
from molbuffer.samplers.models.registry import MODELS, check_sizes
from molbuffer.samplers.policies.policy import Policy, fingerprint, open_policy, policy_files
from molbuffer.samplers.seeds import derive_seed
from molbuffer.samplers.tokens.grammars import GRAMMARS, SMILES
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.storage import SampleStore
from molbuffer.storage.records import Commit, Metric, PolicyVersion, Run, RunKind, RunStatus
from molbuffer.training.pretraining.corpus import Corpus
from molbuffer.training.pretraining.data import Columns, data_of
from molbuffer.training.pretraining.objectives import pretraining_loss
from molbuffer.training.pretraining.pretrain import PretrainSettings, pretrain

EVALUATION_DRAWS = 10_000
"""Molecules drawn at the end to judge a prior."""
LONGEST_MARGIN = 20
"""Tokens that a drawn molecule may be longer than the longest one trained on."""
DEFAULT_MODEL = "gru"


@flow(name="pretrain", validate_parameters=False)
def pretrain_prior(
    smiles_file: str,
    store: str,
    column: str | None = None,
    model: str = DEFAULT_MODEL,
    policy: str | None = None,
    sizes: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    draws: int = EVALUATION_DRAWS,
    run_id: str | None = None,
    source_column: str | None = None,
    target_column: str | None = None,
    grammar: str = SMILES.name,
    loss: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Trains a generative model on the molecules or pairs of a file, from random weights or from those of a policy.

    Args:
        smiles_file: .smi, .csv or .parquet, the text ones optionally .gz; column: of the molecules in a table.
        store: the folder of the store; made when it does not exist.
        model: a kind of ``molbuffer.samplers.models.registry``.
        policy: a bundled policy, a folder, or a sha256 in the store, whose weights, kind, sizes and vocabulary the
            training goes on from; by default it begins with random weights.
        sizes: of the model, as its kind has them; only ``dropout`` may differ from a policy's.
        settings: of the training, as of ``PretrainSettings``.
        draws: molecules drawn at the end to judge the prior.
        run_id: a training to go on with; by default a new one, which a retry of this flow run resumes.
        source_column, target_column: of the pairs in a table, for a model that learns pairs; by default called so.
        grammar: "smiles" or "selfies", the notation that a model learns; that of a policy stays.
        loss: options of the model's loss, as its kind has them in ``molbuffer.training.pretraining.objectives``.

    Returns:
        ``policy`` (sha256), ``run_id``, ``molecules`` or ``pairs``, ``rejected``, ``held_out_nll`` (nats per molecule),
        and the quality of fresh draws, as of ``draw_quality``; of a latent model ``reconstruction``
        too, the share of held-out molecules that it gives back, and its ``held_out_nll`` is the negative evidence
        lower bound with one draw of each posterior; of a model that learns pairs the quality of
        one draw for each of at most ``draws`` held-out pairs, as of ``pair_quality``.
    """
    chosen = PretrainSettings(**settings or {})
    if policy is None:
        check_sizes(model, sizes or {})
        pretraining_loss(model, loss or {})
    columns = Columns(column, source_column, target_column)
    # A file that is of no use is told before a store is made.
    data = data_of(model, Path(smiles_file), columns, None, chosen, GRAMMARS[grammar]) if policy is None else None
    with SampleStore.open_or_create(Path(store)) as sample_store:
        parent = open_policy(policy, sample_store) if policy is not None else None
        if parent is not None:
            data = data_of(parent.kind, Path(smiles_file), columns, parent.vocabulary, chosen)
        assert data is not None
        corpus, vocabulary = data.corpus, data.vocabulary
        lowered = pretraining_loss(model if parent is None else parent.kind, loss or {})
        trained = _model(parent, model, corpus, vocabulary, sizes or {}, chosen.seed)
        parent_sha256 = parent.sha256 if parent is not None else None
        config = {
            "smiles_file": smiles_file,
            "policy": parent_sha256,
            "settings": asdict(chosen),
            "model": trained.kind,
            "sizes": dict(trained.architecture()),
            "loss": dict(loss or {}),
        }
        run = _start(sample_store, run_id or current_run_id(), smiles_file, config, chosen.seed)
        checkpoint = sample_store.path / "pretraining" / run
        with step_bar("pretraining") as report:
            nll = pretrain(trained, corpus, chosen, loss=lowered, checkpoint=checkpoint, progress=report)
        judged = Policy(trained, vocabulary, fingerprint(trained, vocabulary))
        figures = {**data.counts, "held_out_nll": nll, **data.judge(judged, draws, chosen.seed)}
        sha256 = sample_store.policies.add(policy_files(trained, vocabulary))
        version = PolicyVersion(sha256, trained.kind, parent_sha256, run, iteration=0, weights_kept=True)
        _commit(sample_store, version, parent, run, figures)
        shutil.rmtree(checkpoint, ignore_errors=True)
        sample_store.finish_run(run, RunStatus.FINISHED)
    return {"policy": sha256, "run_id": run, **figures}


def _model(
    parent: Policy | None, kind: str, corpus: Corpus, vocabulary: Vocabulary, sizes: Mapping[str, Any], seed: int
) -> GenerativeModel:
    """A model of a kind with random weights, or one with those of ``parent``."""
    torch.manual_seed(derive_seed(seed, "weights"))
    longest = int(corpus.lengths.max()) + LONGEST_MARGIN
    defaults = {"max_length": longest} if parent is None else dict(parent.model.architecture())
    if parent is not None:
        check_sizes(kind := parent.kind, sizes)
    model = MODELS[kind].make({**defaults, "vocabulary_size": len(vocabulary), **sizes})
    if parent is not None:
        model.as_module().load_state_dict(parent.model.as_module().state_dict())
    return model


def _start(store: SampleStore, run_id: str, name: str, config: Mapping[str, Any], seed: int) -> str:
    host, user = host_and_user()
    run = Run(
        run_id,
        Path(name).name,
        RunKind.PRETRAIN,
        json.dumps(config, sort_keys=True),
        seed,
        code_version=code_version(),
        libraries=library_versions(),
        host=host,
        user=user,
    )
    store.start_run(run)
    return run_id


def _commit(
    store: SampleStore,
    version: PolicyVersion,
    parent: Policy | None,
    run_id: str,
    figures: Mapping[str, float | None],
) -> None:
    versions = [version] if parent is None else [PolicyVersion(parent.sha256, parent.kind, weights_kept=True), version]
    metrics = [(0, Metric(name, value)) for name, value in figures.items()]
    store.commit(
        Commit(policies=versions, consumed_by=run_id, run_metrics=metrics, message=f"prior of pretraining {run_id}")
    )
