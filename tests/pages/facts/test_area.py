"""The area under the best scores over the calls, on examples that are worked out by hand."""

import random

import pytest

from molbuffer.pages import area_under_best, mean_of_top


def published(buffer: dict[str, list[float]], top: int, budget: int, every: int = 100) -> float:
    """The area as the text of the benchmark's paper puts it, summed call by call: lines between points, then a tail."""
    rewards = [score for score, _ in sorted(buffer.values(), key=lambda each: each[1])]
    points = [0, *range(every, len(rewards), every), len(rewards)]
    values = [0.0 if n == 0 else sum(sorted(rewards[:n])[-top:]) / min(n, top) for n in points]
    area = 0.0
    for call in range(budget):
        left = max((i for i, n in enumerate(points) if n <= call), default=0)
        if left + 1 >= len(points):
            area += values[-1]
            continue
        share = (call + 0.5 - points[left]) / (points[left + 1] - points[left])
        area += values[left] + share * (values[left + 1] - values[left])
    return area / budget


def test_the_curve_rises_from_zero_and_keeps_its_last_value() -> None:
    # 100 calls of 0.5: a triangle of 100 x 0.5 / 2 = 25; then 200 calls at 0.5 to the budget: 100. 125 / 300.
    assert area_under_best([0.5] * 100, 300) == pytest.approx(125 / 300)


def test_a_budget_between_two_points_ends_the_curve() -> None:
    # 0 to 0.4 over 100 calls: 20; from 0.4 to 0.8 over the last 50: 30. 50 / 150.
    rewards = [0.4] * 100 + [0.8] * 50
    assert area_under_best(rewards, 150) == pytest.approx(50 / 150)


def test_fewer_molecules_than_the_top_count_by_their_own_mean() -> None:
    # Three calls: the mean of 0.3, 0.6, 0.9 is 0.6; a triangle of 3 x 0.6 / 2 = 0.9, then 7 x 0.6 = 4.2. 5.1 / 10.
    assert area_under_best([0.3, 0.6, 0.9], 10) == pytest.approx(0.51)
    assert mean_of_top([0.3, 0.6, 0.9], 10) == pytest.approx(0.6)


def test_only_the_best_ten_count_and_others_push_them_out() -> None:
    # After 100 calls the best ten are 1.0, whatever the other ninety: 50. Another 100 at 0 leave them: 100. 150/200.
    assert area_under_best([0.0] * 90 + [1.0] * 10 + [0.0] * 100, 200) == pytest.approx(0.75)
    assert area_under_best([1.0] + [0.0] * 99, 100, top=1) == pytest.approx(0.5)


def test_the_order_of_calls_between_two_points_makes_no_difference_and_across_them_does() -> None:
    early, late = [0.9] * 10 + [0.1] * 190, [0.1] * 190 + [0.9] * 10
    assert area_under_best(early, 200) == pytest.approx(area_under_best([0.1] * 90 + [0.9] * 10 + [0.1] * 100, 200))
    assert area_under_best(early, 200) > area_under_best(late, 200)


def test_calls_beyond_the_budget_do_not_count_and_without_calls_there_is_nothing() -> None:
    assert area_under_best([0.2] * 100 + [1.0] * 50, 100) == pytest.approx(0.1)
    assert area_under_best([], 100) == 0.0
    assert mean_of_top([], 10) is None


@pytest.mark.parametrize("calls", [7, 100, 250, 399, 400])
@pytest.mark.parametrize("top", [1, 10, 100])
def test_it_is_the_sum_over_single_calls(calls: int, top: int) -> None:
    generator = random.Random(calls + top)
    rewards = [generator.random() for _ in range(calls)]
    buffer = {str(i): [reward, i + 1] for i, reward in enumerate(rewards)}
    assert area_under_best(rewards, 400, top) == pytest.approx(published(buffer, top, 400))
