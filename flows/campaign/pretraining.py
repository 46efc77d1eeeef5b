"""Make the parts of a pretraining from a request, and register its result in the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from molbuffer.flows.campaign.pretrain_request import PretrainRequest
from molbuffer.kinds import add_object, read_source
from molbuffer.lab import described_run
from molbuffer.samplers import (
    GRAMMARS,
    Policy,
    Vocabulary,
    check_policy_folder,
    derive_seed,
    find_device,
    find_policy,
    fingerprint,
    load_policy,
    open_policy,
    policy_files,
)
from molbuffer.samplers.models import MODELS, GenerativeModel, check_new_model, check_sizes
from molbuffer.storage import Commit, Metric, PolicyVersion, Run, RunConflictError, RunKind, SampleStore
from molbuffer.training import (
    BeforeTransfer,
    MoleculeLoss,
    PretrainData,
    RunCheckpoints,
    check_columns,
    data_of,
    pretraining_loss,
)

LONGEST_MARGIN = 20
"""The number of tokens by which a drawn molecule may exceed the longest one of the training file."""


@dataclass(frozen=True)
class Pretraining:
    """The parts of a pretraining.

    Attributes:
        store: the store that keeps the run, its checkpoints and its policy.
        run: the record of the run.
        parent: the policy that training starts from; None for random weights.
        model: the model in training.
        data: the tokenised rows of the file.
        loss: the loss that training lowers.
    """

    store: SampleStore
    run: Run
    parent: Policy | None
    model: GenerativeModel
    data: PretrainData
    loss: MoleculeLoss

    def before(self, request: PretrainRequest) -> BeforeTransfer | None:
        """Judge the policy that training starts from; None for random weights."""
        if self.parent is None:
            return None
        settings = request.settings
        return BeforeTransfer.of(self.parent, self.data, request.draws, settings.seed, settings.batch_size)

    @property
    def checkpoints(self) -> RunCheckpoints:
        """The checkpoints of the run."""
        return RunCheckpoints(self.store, self.run.run_id)


def check_request(request: PretrainRequest) -> PretrainData | None:
    """Check a request and read its file.

    Returns:
        The rows of the file; None if the request names a policy to start from, whose vocabulary must be read first.

    Raises:
        DeviceError: this machine has no such device.
    """
    find_device(request.device)
    if request.policy is not None:
        return None
    kind = _kind(request)
    check_new_model(kind, request.sizes)
    pretraining_loss(kind, request.loss)
    return _data(request, kind, None)


def check_before_a_run(request: PretrainRequest, store: SampleStore | None, run_id: str | None) -> None:
    """Check a request as far as possible before a server is started and the whole file is read.

    Args:
        request: what to train, with the policy that it starts from by its sha256, folder or bundled name.
        store: the store; None if it does not exist yet.
        run_id: the run to resume; None begins a new one.

    Raises:
        DeviceError: this machine has no such device.
        PolicyFormatError: the policy's files are broken.
        ModelSizeError: the model cannot have these sizes, or its loss these options.
        UnknownModelKindError: no model is of this kind.
        SmilesFileError: the file cannot be read, or lacks a column.
        RunConflictError: the run to resume was begun with another request.
    """
    find_device(request.device)
    if request.policy is None:
        kind = _kind(request)
        check_new_model(kind, request.sizes)
    else:
        folder = find_policy(request.policy, store)
        kind = check_policy_folder(folder) if isinstance(folder, Path) else load_policy(folder).kind
        check_sizes(kind, request.sizes)
    pretraining_loss(kind, request.loss)
    check_columns(kind, Path(request.smiles_file), request.columns)
    if store is not None and run_id is not None:
        _check_resumed(store.run(run_id), request, kind)


def _check_resumed(run: Run, request: PretrainRequest, kind: str) -> None:
    """Refuse to resume a run with a request that differs from the one that it began with."""
    if run.kind is not RunKind.PRETRAIN:
        raise RunConflictError(f"run {run.run_id} is of the kind {run.kind}, and cannot go on as {RunKind.PRETRAIN}")
    began, now = json.loads(run.config), _asked(request, kind)
    now["sizes"] = {**began["sizes"], **request.sizes}
    if request.policy is not None:
        # The sha256 of a bundled policy or of a folder is known only once it is loaded.
        now["policy"] = began["policy"]
    lines = [
        f"  {key}: the run has {began.get(key)!r}, now it is {now[key]!r}" for key in now if began.get(key) != now[key]
    ]
    if lines:
        raise RunConflictError("\n".join([f"run {run.run_id} cannot go on with other settings than it has:", *lines]))


def _asked(request: PretrainRequest, kind: str) -> dict[str, Any]:
    """Return the part of a run's record that comes from its request, without what follows from the model."""
    asked = {
        "smiles_file": request.smiles_file,
        "policy": None,
        "settings": asdict(request.settings),
        "model": kind,
        "loss": dict(request.loss),
    }
    return dict(json.loads(json.dumps(asked)))


def _kind(request: PretrainRequest) -> str:
    """Return the kind of model to train, and register it first if it is a class in a file of the working folder."""
    return add_object(MODELS, request.model, str(Path.cwd())) if ":" in request.model else request.model


def prepare_pretraining(
    request: PretrainRequest, store: SampleStore, run_id: str, data: PretrainData | None
) -> Pretraining:
    """Make the parts of a pretraining.

    Args:
        request: what to train.
        store: the store for the run and the policy.
        run_id: the id of the run.
        data: the rows of the file; None reads them in the vocabulary of the request's policy.
    """
    parent = open_policy(request.policy, store) if request.policy is not None else None
    if parent is not None:
        data = _data(request, parent.kind, parent.vocabulary)
    assert data is not None
    model = _model(parent, request, data)
    run = _run(request, run_id, model, parent)
    return Pretraining(
        store=store, run=run, parent=parent, model=model, data=data, loss=pretraining_loss(model.kind, request.loss)
    )


def register(
    training: Pretraining, request: PretrainRequest, metrics: Mapping[str, float]
) -> tuple[str, dict[str, Any]]:
    """Judge the trained model, and commit it as a policy with its lineage and metrics.

    Args:
        training: a pretraining that has ended.
        request: its request, with the number of draws to judge the model by.
        metrics: metrics of the training.

    Returns:
        The sha256 of the policy in the store, and all metrics: counts of rows, those of the training, and the quality.
    """
    model, store, run_id = training.model, training.store, training.run.run_id
    vocabulary = training.data.vocabulary
    policy = Policy(model, vocabulary, fingerprint(model, vocabulary))
    quality = training.data.judge(policy, request.draws, request.settings.seed)
    every = {**training.data.counts, **metrics, **quality}
    sha256 = store.policies.add(policy_files(model, vocabulary))
    parent = training.parent
    versions = [] if parent is None else [PolicyVersion(parent.sha256, parent.kind, weights_kept=True)]
    parent_sha256 = parent.sha256 if parent is not None else None
    versions.append(PolicyVersion(sha256, policy.kind, parent_sha256, run_id, iteration=0, weights_kept=True))
    values = [(0, Metric(name, value)) for name, value in every.items()]
    message = f"prior of pretraining {run_id}"
    store.commit(Commit(policies=versions, run_id=run_id, run_metrics=values, message=message))
    return sha256, every


def _data(request: PretrainRequest, kind: str, vocabulary: Vocabulary | None) -> PretrainData:
    return data_of(
        kind,
        Path(request.smiles_file),
        request.settings,
        columns=request.columns,
        known=vocabulary,
        grammar=GRAMMARS[request.grammar],
    )


def _model(parent: Policy | None, request: PretrainRequest, data: PretrainData) -> GenerativeModel:
    """Make a model of the requested kind with random weights, or one of the parent's kind with the parent's weights."""
    torch.manual_seed(derive_seed(request.settings.seed, "weights"))
    longest = int(data.corpus.lengths.max()) + LONGEST_MARGIN
    if parent is not None:
        kind, defaults = parent.kind, dict(parent.model.architecture())
        check_sizes(kind, request.sizes)
    else:
        kind, defaults = _kind(request), {"max_length": longest}
    model: GenerativeModel = MODELS[kind].make({**defaults, "vocabulary_size": len(data.vocabulary), **request.sizes})
    if parent is not None:
        model.load_state_dict(parent.model.state_dict())
    return model.to(find_device(request.device))


def _run(request: PretrainRequest, run_id: str, model: GenerativeModel, parent: Policy | None) -> Run:
    config = _asked(request, model.kind)
    config |= {"policy": None if parent is None else parent.sha256, "sizes": dict(model.architecture())}
    name, seed = Path(request.smiles_file).name, request.settings.seed
    run = described_run(run_id, name, RunKind.PRETRAIN, json.dumps(config, sort_keys=True), seed)
    return replace(run, libraries={**run.libraries, **_source(request.model, model.kind)})


def _source(asked: str, kind: str) -> dict[str, str]:
    """Return the sha256 of the source of a model kind that is not molbuffer's own, by its name; else no entry."""
    if ":" in asked:
        return {f"models {asked}": read_source(asked.partition(":")[0], str(Path.cwd())).sha256}
    of = MODELS.kinds[kind]
    return {} if of.is_own or of in MODELS.added else {f"models {kind} of {of.source}": of.source_sha256}
