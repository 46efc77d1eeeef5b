"""The rate limit between actors and a learner: by hand, and that settings that pass the check never deadlock."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molbuffer.training.batches.rate_limit import RateLimit, least_tolerance

HAND = RateLimit(samples_per_insert=2.0, tolerance=10.0, min_rows=8)


def test_the_surplus_is_what_is_due_less_what_was_taken() -> None:
    assert HAND.surplus(8, 0) == 0
    assert HAND.surplus(13, 4) == 2 * (13 - 8) - 4 == 6


@pytest.mark.parametrize(
    ("rows", "inserted", "sampled", "may"),
    [
        (4, 7, 0, False),  # too few rows to begin
        (10, 8, 0, True),  # D - m = 0 - 10 = -T
        (11, 8, 0, False),
        (4, 8, 6, True),  # D = -6
        (4, 8, 7, False),
        (16, 11, 0, True),  # D = 6
        (17, 11, 0, False),
    ],
)
def test_the_learner_may_sample_down_to_the_lower_edge(rows: int, inserted: int, sampled: int, may: bool) -> None:
    assert HAND.may_sample(rows, inserted=inserted, sampled=sampled) is may


@pytest.mark.parametrize(
    ("rows", "inserted", "sampled", "may"),
    [
        (100, 7, 0, True),  # up to min_rows anything goes
        (5, 8, 0, True),  # D + rho b = 10 = T
        (6, 8, 0, False),
        (5, 12, 8, True),
        (5, 13, 8, False),
    ],
)
def test_an_actor_may_insert_up_to_the_upper_edge(rows: int, inserted: int, sampled: int, may: bool) -> None:
    assert HAND.may_insert(rows, inserted=inserted, sampled=sampled) is may


@pytest.mark.parametrize(
    ("given", "name"), [((0.0, 1.0, 1), "samples"), ((1.0, 0.0, 1), "toler"), ((1.0, 1.0, 0), "min")]
)
def test_a_limit_that_lets_nothing_pass_is_none(given: tuple[float, float, int], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        RateLimit(*given)


class Deadlock(Exception):
    """Neither the learner nor an actor can go on."""


def played(
    limit: RateLimit, *, m: int, b: int, actors: int, publish_every: int, epochs: float, chance: random.Random
) -> list[float]:
    """Let a learner and actors take turns by chance for 60 iterations; return the surplus after each turn.

    Each sees what the other has committed: the learner publishes every few iterations and before it waits, and the
    build of an actor is in flight for some turns. The learner has no more rows than each comes ``epochs`` times.
    """
    inserted = sampled = published = iterations = 0
    in_flight = [False] * actors
    surpluses = []
    while iterations < 60:
        ready = limit.may_sample(m, inserted=inserted, sampled=sampled) and epochs * inserted - sampled >= m
        if not ready:
            published = sampled
        moves: list[tuple[str, int]] = [("sample", 0)] if ready else []
        for actor in range(actors):
            if in_flight[actor]:
                moves.append(("commit", actor))
            elif limit.may_insert(b, inserted=inserted, sampled=published):
                moves.append(("draw", actor))
        if not moves:
            raise Deadlock(f"{inserted} inserted, {sampled} sampled")
        move, actor = chance.choice(moves)
        if move == "sample":
            sampled, iterations = sampled + m, iterations + 1
            published = sampled if iterations % publish_every == 0 else published
        else:
            in_flight[actor] = move == "draw"
            inserted += b if move == "commit" else 0
        if inserted >= limit.min_rows:
            surpluses.append(limit.surplus(inserted, sampled))
    return surpluses


RATES = st.tuples(st.floats(0.1, 8), st.integers(1, 300), st.integers(1, 300))


@settings(max_examples=150, deadline=None)
@given(RATES, st.floats(1, 4), st.integers(0, 500), st.integers(1, 4), st.integers(1, 12), st.booleans(), st.randoms())
def test_settings_that_pass_never_deadlock(
    rates: tuple[float, int, int],
    width: float,
    more_rows: int,
    actors: int,
    publish_every: int,
    once: bool,
    chance: random.Random,
) -> None:
    rho, m, b = rates
    tolerance = width * least_tolerance(rho, sampled=m, inserted=b)
    # What ``config check`` asks of consume_once: rows enough for the tolerance, and as many deliveries as samples.
    least, epochs = (max(m, math.ceil(tolerance / rho)), math.ceil(rho)) if once else (m, math.inf)
    limit = RateLimit(rho, tolerance, least + more_rows)
    surpluses = played(limit, m=m, b=b, actors=actors, publish_every=publish_every, epochs=epochs, chance=chance)
    slack = 1e-6 * (1 + tolerance)
    assert min(surpluses) >= -tolerance - slack
    # Each actor has at most one build in flight, begun when there was room for it, or before there were enough rows.
    assert max(surpluses) <= max(tolerance + (actors - 1) * rho * b, actors * rho * b) + slack


def test_a_narrower_band_deadlocks() -> None:
    rho, m, b = 1.0, 16, 24
    limit = RateLimit(rho, least_tolerance(rho, sampled=m, inserted=b) - 5, 16)
    with pytest.raises(Deadlock):
        for seed in range(50):
            played(limit, m=m, b=b, actors=1, publish_every=3, epochs=math.inf, chance=random.Random(seed))
