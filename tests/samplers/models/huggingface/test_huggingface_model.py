import copy
import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from molbuffer.samplers.errors import ConditionError, ModelSizeError
from molbuffer.samplers.models.distribution import UNTRUNCATED, Sampling
from molbuffer.samplers.models.huggingface.folder import ARCHITECTURES
from molbuffer.samplers.models.huggingface.language_model import HuggingFaceArchitecture, HuggingFaceLanguageModel
from molbuffer.samplers.models.protocol import token_mask
from molbuffer.samplers.models.registry import check_new_model, check_sizes
from molbuffer.samplers.policies.drawing import draw_rows
from molbuffer.samplers.policies.policy import Policy, fingerprint, load_policy, policy_files, register_policy
from molbuffer.samplers.seeds import torch_generator
from molbuffer.samplers.tokens.vocabulary import END, PAD, START
from molbuffer.storage import SampleStore

MakeFolder = Callable[..., Path]


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def policy(request: pytest.FixtureRequest, make_folder: MakeFolder) -> Policy:
    return load_policy(make_folder(request.param))


@pytest.mark.parametrize(
    "sampling", [UNTRUNCATED, Sampling(0.7), Sampling(1.6), Sampling(top_k=5), Sampling(0.9, 12, 0.9)], ids=str
)
def test_r21_the_log_probs_of_a_draw_are_those_of_the_distribution_drawn_from(
    policy: Policy, sampling: Sampling
) -> None:
    drawn = policy.model.sample(48, sampling=sampling, generator=torch_generator(1))
    assert len(set(drawn.lengths.tolist())) > 5, "rows end at different places, so that some leave the batch"
    again = policy.model.log_probs(drawn.tokens, drawn.lengths, sampling=sampling)
    assert_close(again, drawn.log_probs, atol=2e-4, rtol=1e-4)
    inside = token_mask(drawn.lengths, drawn.tokens.shape[1])
    assert not drawn.log_probs[~inside].any()
    assert not ((drawn.tokens == PAD) & inside).any() and not (drawn.tokens == START).any()
    ended = drawn.tokens.gather(1, drawn.lengths[:, None] - 1)[:, 0] == END
    assert (ended | (drawn.lengths == policy.model.sizes.max_length)).all()


def test_the_probabilities_of_the_vocabulary_sum_to_one_without_special_tokens(policy: Policy) -> None:
    network, ids = policy.model.network, policy.model.ids
    logits = policy.model.logits(torch.tensor([[5, 6, 7]]))
    probabilities = logits.softmax(-1)[0, 0]
    assert probabilities[[PAD, START]].tolist() == [0, 0]
    raw = network(input_ids=ids[torch.tensor([[START]])]).logits[0, -1].softmax(-1)
    drawable = raw[ids[2:]]
    assert_close(probabilities[2:], drawable / drawable.sum())


def test_a_row_depends_on_its_own_numbers_only(policy: Policy) -> None:
    whole = policy.model.sample(30, generator=torch_generator(3))
    part = policy.model.sample(30, generator=torch_generator(3))
    assert torch.equal(whole.tokens, part.tokens)
    generator = torch_generator(3)
    first = policy.model.sample(10, generator=generator)
    width = first.tokens.shape[1]
    assert torch.equal(first.tokens, whole.tokens[:10, :width])
    assert torch.equal(first.lengths, whole.lengths[:10])


def test_a_gradient_reaches_every_weight_and_a_copy_learns_alone(policy: Policy) -> None:
    drawn = policy.model.sample(8, generator=torch_generator(2))
    learner = copy.deepcopy(policy.model)
    before = fingerprint(policy.model, policy.vocabulary)
    optimizer = torch.optim.Adam(learner.parameters(), 1e-2)
    losses = []
    for _ in range(5):
        loss = -learner.log_probs(drawn.tokens, drawn.lengths).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        losses.append(float(loss.detach()))
        assert all(weight.grad is not None for weight in learner.parameters())
        optimizer.step()
    assert losses[-1] < losses[0] - 1
    assert fingerprint(policy.model, policy.vocabulary) == before != fingerprint(learner, policy.vocabulary)
    tied = {id(weight) for _, weight in learner.named_parameters(remove_duplicate=False)}
    assert len(tied) == len(list(learner.parameters())), "the head of the copy is its embedding, as that of the model"


def test_a_policy_of_it_is_stored_and_loaded_like_ours(policy: Policy, store: SampleStore) -> None:
    files = policy_files(policy.model, policy.vocabulary)
    assert sorted(files) == ["config.json", "vocabulary.json", "weights.safetensors"]
    assert json.loads(files["config.json"])["architecture"]["config"]["model_type"] in ("gpt2", "llama")
    sha256 = store.policies.add(files)
    assert sha256 == policy.sha256 == fingerprint(policy.model, policy.vocabulary)
    again = load_policy(store.policies.folder(sha256))
    one, two = (draw_rows(each, 20, Sampling(0.9), torch_generator(4)) for each in (policy, again))
    assert list(one.raw) == list(two.raw)
    assert (one.rows.log_probs == two.rows.log_probs).all()
    assert again.vocabulary == policy.vocabulary and again.vocabulary.sha256 == policy.vocabulary.sha256


def test_a_folder_is_converted_to_the_same_policy_each_time(gpt2_folder: Path, store: SampleStore) -> None:
    assert register_policy(gpt2_folder, store) == register_policy(gpt2_folder, store) == load_policy(gpt2_folder).sha256


def test_nothing_asks_the_network(gpt2_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError(f"a connection to {arguments[1:]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    policy = load_policy(gpt2_folder)
    assert len(draw_rows(policy, 5, UNTRUNCATED, torch_generator(0))) == 5


def test_every_architecture_draws_with_its_cache_what_it_computes_without(make_folder: MakeFolder) -> None:
    """The conversion refuses a network where this is not so."""
    for kind in ARCHITECTURES:
        policy = load_policy(make_folder(kind, max_position_embeddings=40))
        drawn = policy.model.sample(24, generator=torch_generator(1))
        again = policy.model.log_probs(drawn.tokens, drawn.lengths)
        assert_close(again, drawn.log_probs, atol=5e-4, rtol=1e-3, msg=lambda text, kind=kind: f"{kind}: {text}")


def test_rows_longer_than_its_positions_are_refused(policy: Policy) -> None:
    tokens = torch.full((1, 65), 5)
    with pytest.raises(ConditionError, match="at most 64 tokens, got 65"):
        policy.model.log_probs(tokens, torch.tensor([65]))
    assert not policy.vocabulary.can_encode("C" * 500)


def test_contradicting_sizes_are_refused(policy: Policy) -> None:
    sizes = policy.model.sizes
    with pytest.raises(ValueError, match="an id for each"):
        HuggingFaceArchitecture(sizes.vocabulary_size + 1, sizes.config, sizes.ids, 8, 8)
    with pytest.raises(ValueError, match=r"max_length in \[1, 64\], got 65"):
        HuggingFaceArchitecture(sizes.vocabulary_size, sizes.config, sizes.ids, 65, 64)
    beyond = [*sizes.ids[:-1], 10_000]
    with pytest.raises(ValueError, match=r"in \[0, 100\), got 0 to 10000"):
        HuggingFaceLanguageModel(HuggingFaceArchitecture(sizes.vocabulary_size, sizes.config, beyond, 64, 64))


def test_it_is_not_made_anew() -> None:
    with pytest.raises(ModelSizeError, match="start from its folder"):
        check_new_model("huggingface", {})
    with pytest.raises(ModelSizeError, match="has no layers"):
        check_sizes("huggingface", {"layers": 2})
