"""Gates: a small grammar that is parsed and never evaluated, with the truth of three-valued logic."""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molbuffer.scoring import Gate, Objective, RawScore, ScoringConfigurationError, WeightedComponent


@dataclass(frozen=True)
class Known:
    """A component whose values nobody computes here."""

    name: str
    version: str = "0"
    kind: str = "known"
    cost: str = "low"
    bounded: bool = True
    parallel: bool = False

    def values(self, molecules: list[str]) -> list[RawScore]:
        raise AssertionError("an objective computes no scores")


def objective(**gates: str) -> Objective:
    """Components a, b and c, and those with a gate."""
    gated = [WeightedComponent(Known(name), after=text) for name, text in gates.items()]  # type: ignore[arg-type]
    return Objective([*(Known(name) for name in "abc" if name not in gates), *gated], "arithmetic_mean")


def opens(text: str, **values: float | None) -> bool:
    raw = {name: np.array([np.nan if value is None else value]) for name, value in values.items()}
    return bool(Gate(text).opens(raw)[0])


@pytest.mark.parametrize(
    ("text", "is_open"),
    [
        ("a > 0.4", True),
        ("a > 0.5", False),
        ("a >= 0.5 and b <= 3", True),
        ("0.2 < a < 0.6 and not b == 4", True),
        ("0.2 < a < 0.5", False),
        ("not (a > 0.4 and b > 0)", False),
        ("a != 0.5 or (b == 3 and 'c:d' < -1.5)", True),
        ("1 > 'c:d' > -1e1", True),
        ("(a > 1 or\n b > 1) and a < 1", True),
    ],
)
def test_conditions_are_those_that_python_would_read(text: str, is_open: bool) -> None:
    assert opens(text, a=0.5, b=3.0, **{"c:d": -2.0}) is is_open


@pytest.mark.parametrize(
    ("text", "is_open"),
    [
        ("a > 0", False),
        ("not a > 0", False),
        ("a > 0 or b > 0", True),
        ("a > 0 and b > 0", False),
        ("not (a > 0 and b < 0)", True),
        ("not (a > 0 or b < 0)", False),
    ],
)
def test_an_absent_value_opens_a_gate_only_where_it_does_not_matter(text: str, is_open: bool) -> None:
    assert opens(text, a=None, b=1.0) is is_open


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("__import__('os').system('true')", "is no comparison"),
        ("a > b", "does not compare a component with a number"),
        ("a", "is no comparison"),
        ("a > True", "does not compare"),
        ("a > 1e999", "does not compare"),
        ("a > 1 + 1", "does not compare"),
        ("a.real > 1", "does not compare"),
        ("a[0] > 1", "does not compare"),
        ("a in 3", "another operator"),
        ("a > 1 if b > 2 else c > 3", "is no comparison"),
        ("(lambda: a) > 1", "does not compare"),
        ("a >", "cannot be read"),
        ("", "cannot be read"),
        ("a > 1\x00", "cannot be read"),
        ("(" * 400 + "a > 1" + ")" * 400, "cannot be read"),
        ("a > 1 and " * 200 + "a > 1", "at most 1000 characters"),
        (" and ".join(f"(a > {n} or b > {n})" for n in range(7)), "more than 64 alternatives"),
        ("qed > 1; a > 2", "cannot be read"),
    ],
)
def test_what_is_no_condition_is_refused(text: str, expected: str) -> None:
    with pytest.raises(ScoringConfigurationError, match=expected):
        Gate(text)


CONDITIONS = st.recursive(
    st.builds(
        "{} {} {}".format,
        st.sampled_from("abc"),
        st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
        st.integers(0, 2),
    ),
    lambda inner: st.one_of(
        st.builds("not ({})".format, inner),
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
    ),
    max_leaves=5,
)


@given(CONDITIONS)
def test_a_gate_is_open_where_the_condition_is_true_whatever_absent_values_are(text: str) -> None:
    gate = Gate(text)
    for values in product([0, 1, 2, None], repeat=3):
        raw = {name: np.array([np.nan if value is None else value]) for name, value in zip("abc", values, strict=True)}
        given_all = [[0, 1, 2] if value is None else [value] for value in values]
        always = all(eval(text, {}, dict(zip("abc", each, strict=True))) for each in product(*given_all))
        is_open = bool(gate.opens(raw)[0])
        assert not is_open or always, "Kleene's logic is sound"
        if None not in values:
            assert is_open == always


def test_the_reward_has_the_rule_of_the_gate_whether_a_score_is_known_or_not() -> None:
    gated = objective(c="a > 0.5 and b > 0.5")
    raw = {"a": np.array([1.0, 0.1, 0.1, np.nan]), "b": np.ones(4), "c": np.array([0.6, 0.9, np.nan, 0.9])}
    np.testing.assert_allclose(gated.rewards(raw), [2.6 / 3, 1.1 / 3, 1.1 / 3, np.nan])
    other = Objective([*gated.components[:2], replace(gated.components[2], otherwise=0.3)], "arithmetic_mean")
    np.testing.assert_allclose(other.rewards(raw), [2.6 / 3, 1.4 / 3, 1.4 / 3, np.nan])
    assert {name: where.tolist() for name, where in gated.gated(raw).items()} == {"c": [False, True, True, True]}


def test_a_component_whose_gate_is_closed_has_no_value_for_another_gate() -> None:
    chain = objective(b="a > 0.5", c="not b < 0.5")
    raw = {"a": np.array([0.9, 0.1]), "b": np.array([0.9, 0.9]), "c": np.array([0.5, np.nan])}
    np.testing.assert_allclose(chain.rewards(raw), [2.3 / 3, 0.1 / 3])


def test_a_gate_is_part_of_the_identity_by_its_meaning_and_versions() -> None:
    plain = objective().sha256
    gated = objective(c="a > 0.5 and b < 0.5").sha256
    assert gated not in (plain, objective(c="a > 0.5 and b < 0.6").sha256)
    assert gated == objective(c="0.5 > b and (a > 0.5)").sha256
    named = Objective(
        [
            WeightedComponent(Known("x")),
            WeightedComponent(Known("y")),
            WeightedComponent(Known("z"), after="x > 0.5 and y < 0.5"),
        ],
        "arithmetic_mean",
    )
    assert named.sha256 == gated, "names are no part of it"
    assert replace_otherwise(gated := objective(c="a > 0.5"), 0.5).sha256 != gated.sha256


def replace_otherwise(of: Objective, otherwise: float) -> Objective:
    return Objective([*of.components[:2], replace(of.components[2], otherwise=otherwise)], of.aggregation)


@pytest.mark.parametrize(
    ("gates", "expected"),
    [
        ({"c": "aa > 0.5"}, "unknown component in the gate of 'c' 'aa', did you mean 'a'"),
        ({"c": "c > 0.5"}, "its own value"),
        ({"b": "c > 0.5", "c": "b > 0.5"}, "the gates of 'b' and 'c' need each other"),
        ({"a": "b > 0.5", "b": "c > 0.5", "c": "a > 0.5"}, "the gates of 'a' and 'b' and 'c' need each other"),
        ({"d": "e > 0 and f > 0", "e": "a > 0", "f": "d > 0"}, "the gates of 'd' and 'f' need each other"),
    ],
)
def test_gates_that_cannot_be_are_refused(gates: dict[str, str], expected: str) -> None:
    with pytest.raises(ScoringConfigurationError, match=expected):
        objective(**gates)


@pytest.mark.parametrize("otherwise", [-0.1, 1.1, float("nan")])
def test_otherwise_is_a_transformed_value(otherwise: float) -> None:
    with pytest.raises(ScoringConfigurationError, match="otherwise of 'a'"):
        WeightedComponent(Known("a"), after="b > 1", otherwise=otherwise)  # type: ignore[arg-type]
