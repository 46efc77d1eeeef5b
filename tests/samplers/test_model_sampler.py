from collections.abc import Callable

import numpy as np
import pytest
import torch

from molbuffer.samplers.base import SamplerSize, concatenate
from molbuffer.samplers.model import ModelSampler
from molbuffer.samplers.models.distribution import Sampling
from molbuffer.samplers.models.gru import GRULanguageModel
from molbuffer.samplers.policies.drawing import ROWS_AT_ONCE
from molbuffer.samplers.policies.policy import Policy, fingerprint
from molbuffer.samplers.seeds import derive_seed, numpy_generator, torch_generator
from molbuffer.samplers.tokens.vocabulary import Vocabulary

MakeModel = Callable[..., GRULanguageModel]


@pytest.fixture
def policy(make_model: MakeModel, vocabulary: Vocabulary) -> Policy:
    model = make_model(max_length=8)
    return Policy(model, vocabulary, fingerprint(model, vocabulary))


def test_rows_are_decoded_and_have_the_likelihood_they_were_drawn_with(policy: Policy) -> None:
    sampling = Sampling(temperature=1.4, top_k=9)
    drawn = ModelSampler("agent", lambda: policy, sampling=sampling).draw(50, seed=1)
    assert len(drawn) == 50
    assert drawn.rows.tokens.dtype == policy.vocabulary.dtype
    assert policy.vocabulary.decode(drawn.rows.tokens, drawn.rows.lengths) == list(drawn.raw)
    tokens, lengths = torch.from_numpy(drawn.rows.tokens.astype(np.int64)), torch.from_numpy(drawn.rows.lengths).long()
    with torch.no_grad():
        expected = policy.model.log_probs(tokens, lengths, sampling=sampling).numpy()
    np.testing.assert_allclose(drawn.rows.log_probs, expected, atol=1e-4)


def test_many_rows_are_drawn_in_parts_and_the_same_seed_draws_the_same(policy: Policy) -> None:
    sampler = ModelSampler("agent", lambda: policy)
    n = 2 * ROWS_AT_ONCE + 7
    one, same = sampler.draw(n, seed=3), sampler.draw(n, seed=3)
    assert len(one) == n
    assert one.raw == same.raw
    np.testing.assert_array_equal(one.rows.tokens, same.rows.tokens)
    # What comes first does not depend on how much follows.
    assert list(sampler.draw(10, seed=3).raw) == list(one.raw[:10])
    assert list(sampler.draw(10, seed=4).raw) != list(one.raw[:10])
    assert len(sampler.draw(0, seed=3)) == 0


def test_it_draws_from_the_policy_as_it_is_then(policy: Policy, make_model: MakeModel, vocabulary: Vocabulary) -> None:
    current = [policy]
    sampler = ModelSampler("agent", lambda: current[0])
    before = sampler.draw(5, seed=1)
    model = make_model(seed=1, max_length=8)
    current[0] = Policy(model, vocabulary, fingerprint(model, vocabulary))
    assert sampler.policy_sha256 == current[0].sha256 != policy.sha256
    assert sampler.draw(5, seed=1).raw != before.raw


def test_draws_are_joined_to_the_widest(policy: Policy) -> None:
    sampler = ModelSampler("agent", lambda: policy)
    shortest = min((sampler.draw(1, seed) for seed in range(30)), key=lambda drawn: int(drawn.rows.lengths[0]))
    parts = [shortest, sampler.draw(30, seed=6), sampler.draw(0, seed=7)]
    assert parts[0].rows.tokens.shape[1] < parts[1].rows.tokens.shape[1]
    joined = concatenate(parts)
    assert list(joined.raw) == [text for part in parts for text in part.raw]
    assert joined.rows.tokens.dtype == policy.vocabulary.dtype
    assert policy.vocabulary.decode(joined.rows.tokens, joined.rows.lengths) == list(joined.raw)
    np.testing.assert_allclose(
        joined.rows.log_probs.sum(1), np.concatenate([part.rows.log_probs.sum(1) for part in parts])
    )


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"buffer_size": -1}, "buffer_size"),
        ({"p_batch": -0.1}, "p_batch"),
        ({"p_batch": 1.01}, "p_batch"),
        ({"p_batch": float("nan")}, "p_batch"),
    ],
)
def test_impossible_sizes_are_refused(sizes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SamplerSize(**sizes)  # type: ignore[arg-type]


def test_seeds_are_the_same_everywhere_and_different_for_each_purpose() -> None:
    # A change of this number would change what every campaign of a seed draws.
    assert derive_seed(7, 3, "build_buffer", "live", 0) == 6982552485843833833
    purposes = [(7,), (7, 1), (7, 11), (7, 1, 1), (7, "1", "a"), (7, "1a"), (8,), (71,)]
    seeds = [derive_seed(*purpose) for purpose in purposes]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert torch.equal(
        torch.rand(3, generator=torch_generator(7, "a")), torch.rand(3, generator=torch_generator(7, "a"))
    )
    assert (
        numpy_generator(7, "a").integers(1000, size=5).tolist()
        != numpy_generator(7, "b").integers(1000, size=5).tolist()
    )
