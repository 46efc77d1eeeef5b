"""R18, R23: campaigns that draw from priors and given latent vectors, put together from their settings."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from molbuffer.flows.campaign.campaign import Campaign, campaign_run
from molbuffer.flows.campaign.training import prepare_online
from molbuffer.flows.settings.problems import ConfigurationError
from molbuffer.flows.settings.settings import Settings, load_settings
from molbuffer.flows.tasks.chunks import chunk_builder, made_here
from molbuffer.lab.training import Training
from molbuffer.samplers.errors import LatentsError
from molbuffer.samplers.latent import LatentSampler
from molbuffer.samplers.latents.initial import stored_latents
from molbuffer.samplers.latents.priors import NormalPrior, SphericalPrior
from molbuffer.samplers.latents.source import LatentState, latent_files
from molbuffer.samplers.models.autoencoders.vae_gru import VAE, VAEArchitecture
from molbuffer.samplers.policies.policy import policy_files
from molbuffer.samplers.prior import PriorSampler
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.storage import SampleStore
from molbuffer.storage.history.index import IndexScope
from molbuffer.storage.records import RunKind
from molbuffer.training.fit.loop import fit_policy

CHAINS = Vocabulary((*RESERVED, "C", "N", "O"))
CAMPAIGN = """
[campaign]
name = "latents"
iterations = {iterations}
batch_size = 8
[policy]
prior = "vae"
[[objective.components]]
kind = "qed"
[buffer]
build_every = 2
runs = "own"
[training]
checkpoint_every = 2
"""
PRIOR = """
[[samplers]]
kind = "prior"
name = "of-prior"
buffer_size = 8
p_batch = 0.5
"""
LATENT = """
[[samplers]]
kind = "latent"
name = "given"
buffer_size = 6
p_batch = 0.25
"""
OF_FILE = 'molecules = "sources.smi"\n'
LEARNING = "optimise = true\nlearning_rate = 0.05\n"


@pytest.fixture
def folder(tmp_path: Path, empty_store: Path) -> Path:
    """Three latent policies, a policy without latents is bundled, files that latent vectors come from, and a store."""
    shutil.copytree(empty_store, tmp_path / "lab")
    for seed, (name, geometry) in enumerate({"vae": "normal", "sphere": "spherical", "stranger": "normal"}.items()):
        torch.manual_seed(seed)
        sizes = VAEArchitecture(
            len(CHAINS),
            latent_size=3,
            geometry=geometry,
            concentration=20.0,
            embedding_size=8,
            encoder_size=8,
            hidden_size=16,
            max_length=8,
        )
        (tmp_path / name).mkdir()
        for file, content in policy_files(VAE(sizes), CHAINS).items():
            (tmp_path / name / file).write_bytes(content)
    (tmp_path / "sources.smi").write_text("CCN\nCCO\nC[Se]\nCNCC\n")
    np.save(tmp_path / "vectors.npy", np.eye(3))
    return tmp_path


def settings(folder: Path, samplers: str, iterations: int = 2) -> Settings:
    path = folder / "campaign.toml"
    path.write_text(CAMPAIGN.format(iterations=iterations) + samplers)
    return load_settings(path)


@contextmanager
def running(
    folder: Path, samplers: str, monkeypatch: pytest.MonkeyPatch, run_id: str = "run", iterations: int = 2
) -> Iterator[tuple[Campaign, Training]]:
    """A campaign whose build tasks are done in this process, from what the requests say."""
    with (
        SampleStore.open(folder / "lab") as store,
        campaign_run(settings(folder, samplers, iterations), store, RunKind.TRAIN, run_id) as campaign,
    ):
        training = prepare_online(campaign)
        training.loader.build_buffer = chunk_builder(campaign, training, campaign.failures(), made_here(campaign))
        yield campaign, training


def run(training: Training, every: int = 2) -> None:
    with training.writer:
        fit_policy(
            training.learner, training.loader, training.writer,
            trainables=training.trainables, checkpoint_every=every,
        )  # fmt: skip


def versions(campaign: Campaign, sampler: str) -> list[tuple[int, str, str]]:
    """Iteration, event and version of each build of a sampler in a run."""
    sql = "SELECT iteration, event, latent_sha256, sampler, run_id FROM {builds} ORDER BY ALL"
    rows = campaign.store.read_arrow(sql).to_pylist()
    return [
        (row["iteration"], row["event"], row["latent_sha256"])
        for row in rows
        if (row["sampler"], row["run_id"]) == (sampler, campaign.run_id)
    ]


@pytest.mark.parametrize("samplers", [PRIOR, LATENT + OF_FILE], ids=["prior", "latent"])
def test_r23_what_is_not_to_learn_stays_as_it_began(
    folder: Path, samplers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(folder, samplers, monkeypatch, iterations=3) as (campaign, training):
        run(training)
        name = "of-prior" if samplers == PRIOR else "given"
        drawn = versions(campaign, name)
        assert {event for _, event, _ in drawn} == {"build_buffer", "sample_batch"}
        assert len({sha256 for _, _, sha256 in drawn}) == 1
        assert training.learner.policy().sha256 != campaign.prior.sha256
        assert not campaign.store.verify().errors


def test_r23_priors_and_vectors_learn_and_tasks_draw_with_the_present_version(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samplers = PRIOR + LEARNING + LATENT + OF_FILE + LEARNING
    with running(folder, samplers, monkeypatch, iterations=3) as (campaign, training):
        run(training)
        store = campaign.store
        for name, kind in (("of-prior", "normal_prior"), ("given", "latents")):
            by_iteration: dict[int, set[str]] = {}
            for iteration, _, sha256 in versions(campaign, name):
                by_iteration.setdefault(iteration, set()).add(sha256)
            assert [len(shas) for shas in by_iteration.values()] == [1] * 3, "both events draw with one version"
            assert len(set.union(*by_iteration.values())) == 3
            known = store.read_arrow("SELECT sha256, kind, weights_kept FROM {policies}").to_pylist()
            kept = {row["sha256"] for row in known if row["kind"] == kind and row["weights_kept"]}
            assert by_iteration[0] | by_iteration[2] <= kept, "what tasks drew with is in the store"
            loss = store.read_arrow(f"SELECT value FROM {{metrics}} WHERE name = 'latent_loss_{name}'").to_pylist()
            assert len(loss) == 3 and all(row["value"] is not None for row in loss)
        assert not store.verify().errors


@pytest.mark.parametrize("clip", [None, 1.5])
def test_r23_a_prior_learns_from_its_earlier_rows_only_if_it_is_told_to(
    folder: Path, monkeypatch: pytest.MonkeyPatch, clip: float | None
) -> None:
    samplers = PRIOR + LEARNING + ("" if clip is None else f"replay_ratio_clip = {clip}\n")
    with running(folder, samplers, monkeypatch) as (campaign, training):
        run(training)
        sql = "SELECT name, iteration, value FROM {metrics} WHERE name LIKE 'latent_repl%' ORDER BY ALL"
        found = {(row["name"], row["iteration"]): row["value"] for row in campaign.store.read_arrow(sql).to_pylist()}
    if clip is None:
        assert not found
        return
    replayed, weights = (
        [found[f"{name}_of-prior", i] for i in range(2)] for name in ("latent_replayed", "latent_replay_weight")
    )
    assert (replayed[0], weights[0]) == (0, None), "what is built in an iteration is new in it"
    assert replayed[1] == 4 and 0 < weights[1] <= clip


class StoppedError(Exception):
    """What stops a training in these tests."""


def test_r16_a_resumed_campaign_goes_on_with_what_was_learnt(
    folder: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samplers = PRIOR + LEARNING + LATENT + OF_FILE + LEARNING
    with running(folder, samplers, monkeypatch, iterations=4) as (campaign, training):
        run(training)
        whole = versions(campaign, "of-prior"), versions(campaign, "given"), training.learner.policy().sha256
    (folder / "lab").rename(folder / "whole")
    shutil.copytree(empty_store, folder / "lab")

    def stop(report: Any) -> None:
        if report.iteration == 3:
            raise StoppedError

    with (
        pytest.raises(StoppedError),
        running(folder, samplers, monkeypatch, iterations=4) as (_, training),
        training.writer,
    ):
        parts = (training.learner, training.loader, training.writer)
        fit_policy(*parts, trainables=training.trainables, checkpoint_every=2, progress=stop)
    with running(folder, samplers, monkeypatch, iterations=4) as (campaign, training):
        run(training)
        found = versions(campaign, "of-prior"), versions(campaign, "given"), training.learner.policy().sha256
    assert found == whole


def samplers_of(campaign: Campaign) -> list[Any]:
    return campaign.samplers(lambda: campaign.prior, lambda: 0)


def test_vectors_come_from_molecules_files_the_history_and_earlier_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt = PRIOR + LEARNING + LATENT + OF_FILE + LEARNING
    with running(folder, learnt, monkeypatch) as (campaign, training):
        (prior, given) = samplers_of(campaign)
        assert isinstance(prior, PriorSampler) and isinstance(given, LatentSampler)
        assert given.vectors.shape == (3, 3), "one of the four molecules cannot be expressed"
        run(training)
        shas = {name: training.trainables.members[i].version("run", 9).sha256 for i, name in enumerate("pv")}
        best = campaign.store.read_arrow(
            "SELECT s.smiles, max(r.value) AS value FROM {rewards} r JOIN {samples} s USING (build_id, row) "
            "GROUP BY ALL ORDER BY value DESC"
        ).to_pylist()
    origins = {
        'vectors = "vectors.npy"\n': 3,
        "best = 2\n": 2,
        "best = 4\nstored_latents = true\n": 4,
        f'learnt_latents = "{shas["v"][:10]}"\n': 3,
    }
    for number, (keys, rows) in enumerate(origins.items()):
        with running(folder, LATENT + keys, monkeypatch, f"run-{number}") as (campaign, _):
            (sampler,) = samplers_of(campaign)
            assert len(sampler.vectors) == rows, keys
            if keys == "best = 2\n":
                expected = [row["smiles"] for row in best[:2]]
                tokens, lengths = CHAINS.encode_many(expected)
                encoded = campaign.prior.model.encode(torch.from_numpy(tokens).long(), torch.from_numpy(lengths).long())
                assert_close(sampler.vectors.detach(), encoded.detach())
            if "learnt" in keys:
                assert sampler.latent_sha256 == shas["v"]
    with running(folder, PRIOR + f'learnt_prior = "{shas["p"]}"\n', monkeypatch, "again") as (campaign, training):
        (sampler,) = samplers_of(campaign)
        assert sampler.latent_sha256 == shas["p"]
        assert LatentState(stored_latents(shas["p"], campaign.store)).sha256 == shas["p"]
        run(training)
        assert {sha256 for _, _, sha256 in versions(campaign, "of-prior")} == {shas["p"]}


def test_stored_vectors_are_those_of_the_same_vae_and_of_what_was_trained_from_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = LATENT + "best = 100\nstored_latents = true\n"
    # Under one name, both samplers would draw the same vectors.
    of_stranger = PRIOR.replace("of-prior", "of-stranger") + 'policy = "stranger"\n'
    with running(folder, of_stranger, monkeypatch, "stranger") as (campaign, training):
        run(training)
        stranger = read_latents(campaign)
    with (
        pytest.raises(LatentsError, match=r"'given'.*\b0\b.*\b3\b"),
        running(folder, best, monkeypatch, "none"),
    ):
        pass
    with running(folder, PRIOR, monkeypatch, "own") as (campaign, training):
        run(training)
        trained, own = training.learner.policy().sha256, read_latents(campaign) - stranger
        assert own and stranger
    for number, (keys, expected) in enumerate({"": own, 'policy = "stranger"\n': stranger}.items()):
        with running(folder, best + keys, monkeypatch, f"best-{number}") as (campaign, _):
            (sampler,) = samplers_of(campaign)
            assert {row.tobytes() for row in sampler.vectors.detach().numpy()} == expected
    # The versions before it drew what a trained policy may take.
    with running(folder, best + f'policy = "{trained}"\n', monkeypatch, "trained") as (campaign, _):
        (sampler,) = samplers_of(campaign)
        assert {row.tobytes() for row in sampler.vectors.detach().numpy()} == own


def read_latents(campaign: Campaign) -> set[bytes]:
    """The different vectors of the stored rows that have a reward."""
    index = campaign.store.index(IndexScope(objective_sha256=campaign.store.run(campaign.run_id).objective_sha256))
    return {row.tobytes() for row in index.gather(index.best_first).latents}


def test_the_prior_is_that_of_the_latent_space(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(folder, PRIOR + 'policy = "sphere"\n', monkeypatch) as (campaign, _):
        (sampler,) = samplers_of(campaign)
        assert isinstance(sampler.prior, SphericalPrior)
    samplers = PRIOR + LATENT + 'vectors = "vectors.npy"\n' + "policy = 'sphere'\n" + LEARNING
    with running(folder, samplers, monkeypatch, "other") as (campaign, training):
        run(training)
        (_, given) = training.loader.live.samplers
        assert_close(given.vectors.norm(dim=1).detach(), torch.ones(3))
    key = 'prior = "spherical"\n'
    with (
        pytest.raises(LatentsError, match=r"'of-prior'.*spherical.*normal"),
        running(folder, PRIOR + key, monkeypatch, "no-prior"),
    ):
        pass
    with (
        pytest.raises(ConfigurationError) as raised,
        running(folder, PRIOR + 'policy = "zinc-gru"\n', monkeypatch, "no-latents"),
    ):
        pass
    assert [problem.key for problem in raised.value.problems] == ["samplers[0].policy"]


def test_a_prior_of_another_space_and_vectors_off_the_sphere_are_refused_at_the_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(folder, PRIOR, monkeypatch) as (campaign, _):
        shas = [campaign.store.policies.add(latent_files(prior)) for prior in (NormalPrior(3), NormalPrior(4))]
    np.save(folder / "long.npy", np.diag([1.0, 3.0, 0.0]))
    refused = [
        (PRIOR + f'policy = "sphere"\nlearnt_prior = "{shas[0]}"\n', r"normal.*\b3\b.*spherical.*\b3\b"),
        (PRIOR + f'learnt_prior = "{shas[1]}"\n', r"normal.*\b4\b.*normal.*\b3\b"),
        (LATENT + 'policy = "sphere"\nvectors = "long.npy"\n', r"'given'.*\b2 of\b.*\b3\b.*\b1\b.*\b3\b"),
    ]
    for number, (samplers, message) in enumerate(refused):
        with pytest.raises(LatentsError, match=message), running(folder, samplers, monkeypatch, f"no-{number}"):
            pass
    with running(folder, LATENT + 'vectors = "long.npy"\n', monkeypatch, "normal") as (campaign, _):
        (sampler,) = samplers_of(campaign)
        assert_close(sampler.vectors.detach(), torch.diag(torch.tensor([1.0, 3.0, 0.0])))


@pytest.mark.parametrize(
    ("samplers", "key", "named"),
    [
        (LATENT, "", "molecules, vectors, best, learnt_latents"),
        (LATENT + OF_FILE + "best = 3\n", ".best", "molecules"),
        (LATENT + "best = 3\ncolumn = 'a'\n", ".column", "molecules"),
        (LATENT + OF_FILE + "stored_latents = true\n", ".stored_latents", "best"),
        (LATENT + 'molecules = "absent.smi"\n', ".molecules", "absent.smi"),
        (PRIOR + 'prior = "spherical"\ncomponents = 2\n', ".components", "spherical"),
        (PRIOR + 'prior = "normal"\nlearnt_prior = "ab"\n', ".learnt_prior", "components"),
        (PRIOR + 'policy = "zinc-gur"\n', ".policy", "zinc-gru"),
        (PRIOR + "replay_ratio_clip = 1.0\n", ".replay_ratio_clip", "optimise = true"),
        (PRIOR + LEARNING + "replay_ratio_clip = 0\n", ".replay_ratio_clip", "got 0"),
        (LATENT + OF_FILE + LEARNING + "replay_ratio_clip = 1.0\n", ".replay_ratio_clip", "not known"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(folder: Path, samplers: str, key: str, named: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        settings(folder, samplers)
    (problem,) = raised.value.problems
    assert problem.key == f"samplers[0]{key}"
    assert named in problem.message
