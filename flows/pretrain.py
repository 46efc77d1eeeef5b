"""pretrain: a prior from a file of molecules, registered in the store as a policy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from prefect import flow

from molbuffer.flows.campaign.progress import step_bar
from molbuffer.flows.campaign.provenance import current_run_id, described_run
from molbuffer.flows.tasks.torch_threads import limit_threads
from molbuffer.samplers.models.protocol import GenerativeModel
from molbuffer.samplers.models.registry import MODELS, check_sizes
from molbuffer.samplers.policies.policy import Policy, fingerprint, open_policy, policy_files
from molbuffer.samplers.seeds import derive_seed
from molbuffer.samplers.tokens.grammars import GRAMMARS, SMILES
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.storage import SampleStore
from molbuffer.storage.records import Commit, Metric, PolicyVersion, Run, RunKind
from molbuffer.training.checkpoint import RunCheckpoints
from molbuffer.training.pretraining.data import Columns, PretrainData, data_of
from molbuffer.training.pretraining.objectives import pretraining_loss
from molbuffer.training.pretraining.pretrain import PretrainSettings, pretrain

EVALUATION_DRAWS = 10_000
"""Molecules drawn at the end to judge a prior."""
LONGEST_MARGIN = 20
"""Tokens that a drawn molecule may be longer than the longest one trained on."""
DEFAULT_MODEL = "gru"


@dataclass(frozen=True)
class PretrainRequest:
    """What to train, and on what.

    Attributes:
        smiles_file: .smi, .csv or .parquet, the text ones optionally .gz.
        store: the folder of the store; made when it does not exist.
        columns: of the molecules, or of the ends of pairs, in a table.
        model: a kind of ``molbuffer.samplers.models.registry``.
        policy: a bundled policy, a folder, or a sha256 in the store, whose weights, kind, sizes and vocabulary the
            training goes on from; without one it begins with random weights.
        sizes: of the model, as its kind has them; only ``dropout`` may differ from a policy's.
        settings: of the training.
        draws: molecules drawn at the end to judge the prior.
        grammar: "smiles" or "selfies", the notation that a model learns; that of a policy stays.
        loss: options of the model's loss, as its kind has them in ``molbuffer.training.pretraining.objectives``.
    """

    smiles_file: str
    store: str
    columns: Columns = Columns()
    model: str = DEFAULT_MODEL
    policy: str | None = None
    sizes: Mapping[str, Any] = field(default_factory=dict)
    settings: PretrainSettings = PretrainSettings()
    draws: int = EVALUATION_DRAWS
    grammar: str = SMILES.name
    loss: Mapping[str, float] = field(default_factory=dict)


@flow(name="pretrain")
def pretrain_prior(request: PretrainRequest, run_id: str | None = None) -> dict[str, Any]:
    """Train a generative model on the molecules or pairs of a file, and register it in the store as a policy.

    Args:
        request: what to train; a deployment gives it as JSON.
        run_id: a training to go on with; by default a new one, which a retry of this flow run resumes.

    Returns:
        ``policy`` (sha256), ``run_id``, ``molecules`` or ``pairs``, ``rejected``, ``held_out_nll`` (nats per molecule),
        and the quality of fresh draws, as of ``draw_quality``; of a latent model ``reconstruction`` too, the share of
        held-out molecules that it gives back, and its ``held_out_nll`` is the negative evidence lower bound with one
        draw of each posterior; of a model that learns pairs the quality of one draw for each of at most ``draws``
        held-out pairs, as of ``pair_quality``.
    """
    limit_threads()
    data = None
    if request.policy is None:
        check_sizes(request.model, request.sizes)
        pretraining_loss(request.model, request.loss)
        # A file that is of no use is told before a store is made.
        data = _data(request, request.model, None)
    with SampleStore.open_or_create(Path(request.store)) as store:
        parent = open_policy(request.policy, store) if request.policy is not None else None
        if parent is not None:
            data = _data(request, parent.kind, parent.vocabulary)
        assert data is not None
        model = _model(parent, request, data)
        run = _run(request, run_id or current_run_id(), model, parent)
        with store.recorded_run(run):
            loss = pretraining_loss(model.kind, request.loss)
            checkpoints = RunCheckpoints(store, run.run_id)
            with step_bar("pretraining") as report:
                nll = pretrain(
                    model, data.corpus, request.settings, loss=loss, checkpoints=checkpoints, progress=report
                )
            policy = Policy(model, data.vocabulary, fingerprint(model, data.vocabulary))
            quality = data.judge(policy, request.draws, request.settings.seed)
            metrics = {**data.counts, "held_out_nll": nll, **quality}
            sha256 = _register(store, policy, parent, run.run_id, metrics)
    return {"policy": sha256, "run_id": run.run_id, **metrics}


def _data(request: PretrainRequest, kind: str, vocabulary: Vocabulary | None) -> PretrainData:
    grammar = GRAMMARS[request.grammar]
    return data_of(kind, Path(request.smiles_file), request.columns, vocabulary, request.settings, grammar)


def _model(parent: Policy | None, request: PretrainRequest, data: PretrainData) -> GenerativeModel:
    """A model of the kind asked for with random weights, or one with those of ``parent``."""
    torch.manual_seed(derive_seed(request.settings.seed, "weights"))
    longest = int(data.corpus.lengths.max()) + LONGEST_MARGIN
    kind, defaults = request.model, {"max_length": longest}
    if parent is not None:
        kind, defaults = parent.kind, dict(parent.model.architecture())
        check_sizes(kind, request.sizes)
    model = MODELS[kind].make({**defaults, "vocabulary_size": len(data.vocabulary), **request.sizes})
    if parent is not None:
        model.load_state_dict(parent.model.state_dict())
    return model


def _run(request: PretrainRequest, run_id: str, model: GenerativeModel, parent: Policy | None) -> Run:
    config = {
        "smiles_file": request.smiles_file,
        "policy": parent.sha256 if parent is not None else None,
        "settings": asdict(request.settings),
        "model": model.kind,
        "sizes": dict(model.architecture()),
        "loss": dict(request.loss),
    }
    name, seed = Path(request.smiles_file).name, request.settings.seed
    return described_run(run_id, name, RunKind.PRETRAIN, json.dumps(config, sort_keys=True), seed)


def _register(
    store: SampleStore, policy: Policy, parent: Policy | None, run_id: str, metrics: Mapping[str, float | None]
) -> str:
    """Keep a policy, its lineage and its metrics in the store; gives its sha256 there."""
    sha256 = store.policies.add(policy_files(policy.model, policy.vocabulary))
    versions = [] if parent is None else [PolicyVersion(parent.sha256, parent.kind, weights_kept=True)]
    parent_sha256 = parent.sha256 if parent is not None else None
    versions.append(PolicyVersion(sha256, policy.kind, parent_sha256, run_id, iteration=0, weights_kept=True))
    values = [(0, Metric(name, value)) for name, value in metrics.items()]
    message = f"prior of pretraining {run_id}"
    store.commit(Commit(policies=versions, run_id=run_id, run_metrics=values, message=message))
    return sha256
