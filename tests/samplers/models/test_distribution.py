import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from molbuffer.samplers.errors import DivergedPolicyError
from molbuffer.samplers.models.distribution import UNTRUNCATED, Sampling, draw_tokens, log_distribution

PROBABILITIES = (0.5, 0.25, 0.15, 0.1)
LARGEST_UNIFORM = 1 - 2**-24
"""The largest float32 below 1."""


def distribution(probabilities: tuple[float, ...], sampling: Sampling) -> list[float]:
    return log_distribution(torch.tensor(probabilities).log(), sampling).exp().tolist()


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (UNTRUNCATED, [0.5, 0.25, 0.15, 0.1]),
        # p² / Σ p² and √p / Σ √p
        (Sampling(temperature=0.5), [0.25 / 0.345, 0.0625 / 0.345, 0.0225 / 0.345, 0.01 / 0.345]),
        (Sampling(temperature=2.0), [root / 1.910637 for root in (0.707107, 0.5, 0.387298, 0.316228)]),
        (Sampling(top_k=2), [2 / 3, 1 / 3, 0, 0]),
        (Sampling(top_k=1), [1, 0, 0, 0]),
        (Sampling(top_k=9), [0.5, 0.25, 0.15, 0.1]),
        (Sampling(top_p=0.6), [2 / 3, 1 / 3, 0, 0]),
        (Sampling(top_p=0.4), [1, 0, 0, 0]),
        (Sampling(top_p=1e-9), [1, 0, 0, 0]),
        (Sampling(top_p=0.8), [0.5 / 0.9, 0.25 / 0.9, 0.15 / 0.9, 0]),
        (Sampling(top_p=1.0), [0.5, 0.25, 0.15, 0.1]),
        # top_k first: of (5/9, 5/18, 1/6) the first two reach 0.8
        (Sampling(top_k=3, top_p=0.8), [2 / 3, 1 / 3, 0, 0]),
        # the temperature before both: of p² the first token alone has 0.72
        (Sampling(temperature=0.5, top_p=0.7), [1, 0, 0, 0]),
    ],
)
def test_values_by_hand(sampling: Sampling, expected: list[float]) -> None:
    assert distribution(PROBABILITIES, sampling) == pytest.approx(expected, abs=1e-6)


def test_ties_at_the_border_of_top_k_are_all_kept() -> None:
    assert distribution((0.4, 0.2, 0.2, 0.2), Sampling(top_k=2)) == pytest.approx([0.4, 0.2, 0.2, 0.2])


def test_ties_at_the_border_of_top_p_go_by_the_order_of_tokens() -> None:
    assert distribution((0.4, 0.3, 0.3), Sampling(top_p=0.6)) == pytest.approx([4 / 7, 3 / 7, 0], abs=1e-6)


@given(
    st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=12),
    st.floats(0.2, 3),
    st.integers(0, 12),
    st.floats(0.05, 1),
)
def test_log_probabilities_are_renormalised(logits: list[float], temperature: float, top_k: int, top_p: float) -> None:
    log_probs = log_distribution(torch.tensor([logits]), Sampling(temperature, top_k, top_p))
    assert log_probs.exp().sum().item() == pytest.approx(1, abs=1e-5)
    assert log_probs[0, int(torch.tensor(logits).argmax())] > -math.inf


def test_impossible_tokens_stay_impossible() -> None:
    logits = torch.tensor([0.0, -math.inf, 1.0])
    for sampling in (UNTRUNCATED, Sampling(0.5), Sampling(3.0, 3, 0.999)):
        assert log_distribution(logits, sampling)[1] == -math.inf


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"temperature": 0}, "temperature"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_p": math.nan}, "top_p"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, float], name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} "):
        Sampling(**arguments)  # type: ignore[arg-type]


def test_truncated_tells_whether_tokens_are_ruled_out() -> None:
    assert not Sampling(temperature=0.7).truncated
    assert Sampling(top_k=1).truncated
    assert Sampling(top_p=0.9).truncated


@given(
    st.lists(st.sampled_from([0.0, 0.0, 1e-12, 1e-3, 0.2, 1.0, 7.0]), min_size=1, max_size=9).filter(any),
    st.one_of(st.sampled_from([0.0, LARGEST_UNIFORM, 0.5]), st.floats(0, LARGEST_UNIFORM, width=32)),
)
def test_an_impossible_token_is_never_drawn(weights: list[float], uniform: float) -> None:
    log_probs = torch.tensor([weights]).log().log_softmax(-1)
    token = int(draw_tokens(log_probs, torch.tensor([uniform])))
    assert token < len(weights)
    assert log_probs[0, token] > -math.inf


def test_the_ends_of_the_uniform_interval_give_the_first_and_the_last_possible_token() -> None:
    log_probs = torch.tensor([[0.0, 0.3, 0.7, 0.0]] * 2).log()
    assert draw_tokens(log_probs, torch.tensor([0.0, LARGEST_UNIFORM])).tolist() == [1, 2]


def test_inversion_by_hand() -> None:
    log_probs = torch.tensor([PROBABILITIES] * 5).log()
    assert draw_tokens(log_probs, torch.tensor([0.49, 0.51, 0.74, 0.76, 0.95])).tolist() == [0, 1, 1, 2, 3]


def test_frequencies_match_the_probabilities() -> None:
    n = 100_000
    uniform = torch.rand(n, generator=torch.Generator().manual_seed(1))
    drawn = draw_tokens(torch.tensor(PROBABILITIES).log().expand(n, -1), uniform)
    counts = torch.bincount(drawn, minlength=4).double()
    expected = torch.tensor(PROBABILITIES).double() * n
    chi_squared = float(((counts - expected) ** 2 / expected).sum())
    assert chi_squared < 16.3  # 0.1 % of true draws exceed this with 3 degrees of freedom


def test_a_policy_that_has_diverged_is_named_as_such() -> None:
    log_probs = torch.tensor([[0.5, 0.5], [float("nan"), 0.5]]).log()
    with pytest.raises(DivergedPolicyError):
        draw_tokens(log_probs, torch.tensor([0.1, 0.1]))
