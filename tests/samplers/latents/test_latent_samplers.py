"""PriorSampler and LatentSampler: what they draw, and where given vectors come from."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch.testing import assert_close

from molbuffer.samplers.base import Sampler, concatenate
from molbuffer.samplers.errors import LatentsError
from molbuffer.samplers.latent import LatentSampler
from molbuffer.samplers.latents.lineage import latent_relatives
from molbuffer.samplers.latents.priors import LatentPrior, NormalPrior, SphericalPrior
from molbuffer.samplers.latents.source import LatentState, LatentTable
from molbuffer.samplers.latents.vectors import best_latents, best_molecules, encode_molecules, read_vectors
from molbuffer.samplers.models.autoencoders.vae_gru import VAE, VAEArchitecture
from molbuffer.samplers.models.condition import Condition
from molbuffer.samplers.models.distribution import Sampling
from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.policies.policy import Policy, fingerprint
from molbuffer.samplers.prior import PriorSampler
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.storage import SampleStore
from molbuffer.storage.history.index import IndexScope
from molbuffer.storage.records import Build, Commit, Event, PolicyVersion, Reward, Run, RunKind, Samples
from molbuffer.storage.rows import Rows


@pytest.fixture(scope="module")
def policy(vocabulary: Vocabulary) -> Policy:
    torch.manual_seed(0)
    vae = VAE(
        VAEArchitecture(
            len(vocabulary),
            latent_size=4,
            geometry="normal",
            concentration=1.0,
            embedding_size=8,
            encoder_size=8,
            hidden_size=16,
            max_length=20,
        )
    ).eval()
    with torch.no_grad():
        vae.head.weight.mul_(8)
    return Policy(vae, vocabulary, fingerprint(vae, vocabulary))


def table(policy: Policy, m: int) -> LatentSampler:
    vectors = torch.randn(m, 4, generator=torch.Generator().manual_seed(1))
    return LatentSampler("latent", lambda: policy, LatentState(LatentTable.of(vectors)), sampling=Sampling(1.3))


@pytest.mark.parametrize("prior", [NormalPrior(4, 2), SphericalPrior(4)], ids=["normal", "spherical"])
@pytest.mark.parametrize("n", [0, 1, 600])
def test_a_prior_sampler_draws_latents_and_decodes_them(policy: Policy, prior: LatentPrior, n: int) -> None:
    sampler = PriorSampler("prior", lambda: policy, LatentState(prior), sampling=Sampling(1.4))
    drawn = sampler.draw(n, seed=3)
    assert len(drawn) == len(drawn.rows.lengths) == n
    if not n:
        return
    assert drawn.rows.latents is not None and drawn.rows.latent_log_probs is not None
    latents = torch.from_numpy(drawn.rows.latents)
    assert len(np.unique(drawn.rows.latents, axis=0)) == n
    assert_close(torch.from_numpy(drawn.rows.latent_log_probs), prior.log_prob(latents).detach())
    found = policy.model.log_probs(
        torch.from_numpy(drawn.rows.tokens.astype(np.int64)),
        torch.from_numpy(drawn.rows.lengths).long(),
        condition=Condition(latents=latents),
        sampling=Sampling(1.4),
    )
    assert_close(torch.from_numpy(drawn.rows.log_probs), found.detach(), atol=1e-4, rtol=0)
    again = sampler.draw(n, seed=3)
    assert again.raw == drawn.raw and np.array_equal(again.rows.latents, drawn.rows.latents)
    assert not np.array_equal(sampler.draw(n, seed=4).rows.latents, drawn.rows.latents)


def test_both_say_which_policy_and_which_latents_draw(policy: Policy) -> None:
    state = LatentState(NormalPrior(4))
    for sampler in (PriorSampler("prior", lambda: policy, state), table(policy, 3)):
        assert isinstance(sampler, Sampler)
        assert sampler.policy_sha256 == policy.sha256
        assert len(sampler.latent_sha256) == 64
    assert PriorSampler("other", lambda: policy, state).latent_sha256 == state.sha256


@pytest.mark.parametrize(("m", "n"), [(5, 5), (5, 12), (1, 1), (1, 7), (5, 1), (5, 3), (700, 650)])
def test_a_latent_sampler_draws_each_vector_as_often_as_the_others(policy: Policy, m: int, n: int) -> None:
    sampler = table(policy, m)
    drawn = sampler.draw(n, seed=2)
    assert len(drawn) == n and drawn.rows.latents is not None
    assert drawn.rows.latent_log_probs is None
    times = Counter(row.tobytes() for row in drawn.rows.latents)
    assert set(times) <= {row.tobytes() for row in sampler.vectors.detach().numpy()}
    assert len(times) == min(m, n)
    assert set(times.values()) <= {n // m, -(-n // m)}


def test_every_vector_is_reached_one_at_a_time(policy: Policy) -> None:
    sampler = table(policy, 6)
    parts = [sampler.draw(1, seed) for seed in range(60)]
    drawn = concatenate(parts)
    assert drawn.rows.latents is not None
    assert len({row.tobytes() for row in drawn.rows.latents}) == 6


def test_sizes_and_policies_that_do_not_fit_are_refused(policy: Policy, vocabulary: Vocabulary) -> None:
    narrow = PriorSampler("p", lambda: policy, LatentState(NormalPrior(3)))
    with pytest.raises(LatentsError, match=r"'p'.* 3 .* 4"):
        narrow.draw(2, 0)
    wrong = replace(table(policy, 2), latents=LatentState(LatentTable.of(torch.ones(2, 5))))
    with pytest.raises(LatentsError, match=r"'latent'.* 5 .* 4"):
        wrong.draw(2, 0)
    gru = GRULanguageModel(GRUArchitecture(len(vocabulary), embedding_size=8, hidden_size=8, layers=1))
    other = Policy(gru, vocabulary, "a" * 64)
    with pytest.raises(LatentsError, match=r"'latent'.*aaaaaaaaaaaa.*'gru'"):
        replace(table(policy, 2), policy=lambda: other).draw(2, 0)


VECTORS = np.array([[0.5, -1.0], [2.0, 0.25], [0.0, 3.0]], np.float32)


def write(path: Path) -> Path:
    columns = pl.DataFrame(VECTORS, schema=["a", "b"])
    match path.name:
        case "v.npy":
            np.save(path, VECTORS.astype(np.float64))
        case "header.csv":
            columns.write_csv(path)
        case "plain.csv":
            columns.write_csv(path, include_header=False)
        case "v.parquet":
            columns.write_parquet(path)
        case "lists.parquet":
            pl.DataFrame({"latent": VECTORS.tolist()}).write_parquet(path)
    return path


@pytest.mark.parametrize("name", ["v.npy", "header.csv", "plain.csv", "v.parquet", "lists.parquet"])
def test_vectors_of_a_file(tmp_path: Path, name: str) -> None:
    assert_close(read_vectors(write(tmp_path / name)), torch.from_numpy(VECTORS))


def test_one_vector_may_be_an_array_of_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", VECTORS[0])
    assert read_vectors(tmp_path / "one.npy").tolist() == [[0.5, -1.0]]


def test_files_that_hold_no_vectors_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "nan.npy", np.array([[1.0, 2.0], [np.nan, 0.0]]))
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2)))
    (tmp_path / "words.csv").write_text("a,b\n1,x\n")
    (tmp_path / "gap.csv").write_text("a,b\n1,2\n3,\n")
    (tmp_path / "v.txt").write_text("1 2\n")
    for name, message in [
        ("objects.npy", "allow_pickle=False"),
        ("nan.npy", "vector 1"),
        ("cube.npy", r"\[m, d\].*\[2, 2, 2\]"),
        ("words.csv", r"words\.csv"),
        ("gap.csv", "vector 1"),
        ("v.txt", r"\.npy, \.csv"),
        ("absent.npy", r"absent\.npy"),
    ]:
        with pytest.raises(LatentsError, match=message):
            read_vectors(tmp_path / name)


def test_molecules_are_encoded_in_their_canonical_form(policy: Policy) -> None:
    assert isinstance(policy.model, VAE)
    found = encode_molecules(policy, ["OCC", "no molecule", "CCO", "C[Se]C", "CC"], "s")
    tokens, lengths = policy.vocabulary.encode_many(["CCO", "CCO", "CC"])
    expected = policy.model.encode(torch.from_numpy(tokens.astype(np.int64)), torch.from_numpy(lengths).long())
    assert_close(found, expected.detach())
    with pytest.raises(LatentsError, match="'s'"):
        encode_molecules(policy, ["[Se]"], "s")


def test_the_best_of_the_history(store: SampleStore, policy: Policy) -> None:
    store.start_run(Run("run", "test", RunKind.BUILD, "{}", 0))
    smiles, rewards = ["C", "CC", "CCC", "CC", "CO"], [0.1, 0.9, 0.5, 0.8, 0.7]
    tokens, lengths = policy.vocabulary.encode_many(smiles)
    latents = np.arange(20, dtype=np.float32).reshape(5, 4)

    def build(name: str, latents: np.ndarray | None, policy_sha256: str | None = "ours") -> Build:
        rows = Rows(
            tokens=tokens, lengths=lengths, log_probs=np.zeros(tokens.shape, np.float32),
            latents=latents, vocabulary_sha256=policy.vocabulary.sha256,
        )  # fmt: skip
        samples = Samples(smiles, smiles, [None] * 5, rows)
        given = [Reward(row, "o", reward) for row, reward in enumerate(rewards)]
        return Build(
            "run", 0, Event.BUILD_BUFFER, name, "prior", samples,
            policy_sha256=policy_sha256, objective_sha256="o", rewards=given,
        )  # fmt: skip

    ours = {"ours", "trained"}
    strangers = [build("theirs", latents + 100, "theirs"), build("nobodys", latents + 200, None)]
    store.commit(Commit([build("none", None), *strangers]))
    index = store.index(IndexScope(objective_sha256="o"))
    with pytest.raises(LatentsError, match=r"'s': .* 15 .* 5, .* 4 .*stored_latents"):
        best_latents(index, 2, 4, ours, "s")
    with pytest.raises(LatentsError, match=r"'s': .* 0, "):
        best_latents(index, 2, 4, {"trained"}, "s")
    assert best_molecules(index, 2, "s") == ["CC", "CO"]
    assert best_molecules(index, 99, "s") == ["CC", "CO", "CCC", "C"]
    store.commit(Commit([build("some", latents, "trained"), build("narrow", latents[:, :2])]))
    index = store.index(IndexScope(objective_sha256="o"))
    assert_close(best_latents(index, 2, 4, ours, "s"), torch.from_numpy(latents[[1, 3]]))
    assert_close(best_latents(index, 99, 4, ours, "s"), torch.from_numpy(latents[[1, 3, 4, 2, 0]]))
    assert_close(best_latents(index, 1, 2, ours, "s"), torch.from_numpy(latents[[1], :2]))
    assert_close(best_latents(index, 1, 4, {"theirs"}, "s"), torch.from_numpy(latents[[1]] + 100))
    with pytest.raises(LatentsError, match="'s'"):
        best_molecules(store.index(IndexScope(objective_sha256="other")), 2, "s")


def test_relatives_go_back_to_one_vae_by_reinforcement_learning(store: SampleStore) -> None:
    kinds = {"train": RunKind.TRAIN, "again": RunKind.TRAIN, "offline": RunKind.OFFLINE, "pretrain": RunKind.PRETRAIN}
    for run_id, kind in kinds.items():
        store.start_run(Run(run_id, "test", kind, "{}", 0))

    def version(sha256: str, parent: str | None, run_id: str | None) -> PolicyVersion:
        return PolicyVersion(sha256, "vae", parent, run_id)

    first = [version("vae", None, "pretrain"), version("a", "vae", "train"), version("b", "a", "train")]
    then = store.commit(Commit(policies=first)).snapshot
    # A campaign that goes on from b names it without its parent; a second pretraining goes on from it too.
    more = [version("b", None, None), version("c", "b", "again"), version("sibling", "vae", "offline")]
    apart = [version("tuned", "b", "pretrain"), version("d", "tuned", "train"), version("other", None, "pretrain")]
    store.commit(Commit(policies=[*more, *apart]))
    family = {"vae", "a", "b", "c", "sibling"}
    for sha256 in family:
        assert latent_relatives(store, sha256) == family
    assert latent_relatives(store, "tuned") == latent_relatives(store, "d") == {"tuned", "d"}
    assert latent_relatives(store, "other") == {"other"}
    assert latent_relatives(store, "never-seen") == {"never-seen"}
    assert latent_relatives(store, "vae", then) == {"vae", "a", "b"}
    store.commit(Commit(policies=[version("x", "y", "train"), version("y", "x", "train")]))
    assert latent_relatives(store, "x") == {"x", "y"}, "a circle ends too"
