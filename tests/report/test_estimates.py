"""The statistics of the report, and the layout of its plots."""

import math
import statistics

import numpy as np
import pytest

from smir.errors import listed
from smir.files.pages.svg import Axis, spread
from smir.report.estimates import (
    Estimate,
    averaged,
    chance,
    left_out,
    on_common_seeds,
    one_seed,
    paired,
    t_interval,
    t_quantile,
)
from smir.report.plots import POINTS, thinned
from smir.report.stored import Point


@pytest.mark.parametrize(
    ("freedom", "known"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (30, 2.042), (20_000, 1.960)],
)
def test_quantiles_of_students_t_equal_published_tables(freedom, known):
    assert t_quantile(freedom) == pytest.approx(known, abs=6e-4)


def test_the_interval_is_the_paired_t_interval_and_needs_three_seeds():
    assert t_interval([1.0, 2.0, 3.0]) == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-4)
    assert t_interval([0.7, 0.7, 0.7]) == pytest.approx((0.7, 0.7))
    assert t_interval([1.0, 2.0]) is None
    assert t_interval([1.5]) is None
    assert paired(Estimate({0: 3.0, 1: 5.0, 2: 7.0}, 3), Estimate({0: 2.0, 1: 3.0, 2: 4.0}, 3)).interval == (
        pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-4)
    )


def test_the_interval_of_three_seeds_covers_the_true_difference_in_95_percent_of_cases():
    """The bootstrap interval, which it replaced, covered it in 75 %."""
    dice = np.random.default_rng(17)
    intervals = [t_interval(list(values)) for values in dice.normal(1.3, 0.8, size=(20_000, 3))]
    covered = statistics.fmean(low <= 1.3 <= high for low, high in intervals)
    assert covered == pytest.approx(0.95, abs=0.005)


def test_differences_name_the_rows_that_share_one_pretraining():
    one = dict.fromkeys(range(3), "ab")
    shared = {name: Estimate({0: 1.0, 1: 2.0, 2: 4.0}, 3, name, one) for name in ("random", "selective")}
    scratch = Estimate({0: 1.0, 1: 3.0, 2: 2.0}, 3)
    gain, other = paired(shared["selective"], shared["random"]), paired(shared["random"], scratch)
    assert left_out([gain]) == "luck of the one pretraining of random and of selective"
    assert left_out([other, None]) == "luck of the one pretraining of random"
    assert listed(["of a", "of b", "of c"]) == "of a, of b and of c"
    assert left_out([averaged([gain, other])]) == left_out([gain])
    assert left_out([paired(scratch, scratch)]) == ""
    alone = paired(shared["random"], Estimate({0: 1.0}, 1))
    assert left_out([alone]) == ""  # a single pair has no interval


def test_seeds_that_share_one_pretraining_are_named():
    scratch = Estimate(dict.fromkeys(range(4), 1.0), 4)
    some = Estimate({0: 1.0, 1: 2.0, 2: 4.0, 3: 3.0}, 4, "selective", {0: "ab", 1: "cd", 2: "ab", 3: "ef"})
    assert left_out([paired(some, scratch)]) == "luck of the one pretraining of selective (seeds 0, 2)"
    without = Estimate({1: 1.0, 2: 2.0, 3: 4.0}, 3)
    assert left_out([paired(some, without)]) == ""  # seeds 1, 2 and 3 share no pretraining


def test_differences_of_one_seed_below_a_bound_are_reported_as_chance():
    rows = [Estimate({0: 1.0, 1: 2.0, 2: 3.0}, 3), Estimate({0: 4.0, 1: 8.0}, 2), Estimate({0: 9.0}, 1), None]
    # pooled variance (2 * 1 + 1 * 8) / 3, and Student's t with three degrees of freedom
    assert chance(rows) == pytest.approx(3.18245 * math.sqrt(2 * 10 / 3), abs=1e-3)
    assert chance(rows[2:]) is None
    assert (
        one_seed({"Nassar 2020": rows}) == " One seed: differences below about 8.2 points on Nassar 2020 may be chance."
    )
    assert "No row of Nassar 2020 has several seeds" in one_seed({"Nassar 2020": [*rows[2:], rows[2]]})
    assert one_seed({"Nassar 2020": rows[:2]}) == one_seed({"Nassar 2020": rows[2:3]}) == ""
    dice = np.random.default_rng(3)
    trials = dice.normal(0, 1, size=(4000, 2, 3))
    bounds = [chance([Estimate(dict(enumerate(row)), 3) for row in trial]) for trial in trials]
    within = np.abs(np.diff(dice.normal(0, 1, size=(4000, 2)))[:, 0]) < bounds
    assert within.mean() == pytest.approx(0.95, abs=0.012)


def test_pairs_need_both_estimates_and_averages_need_all():
    left, right = Estimate({0: 5.0, 1: 7.0}, 2), Estimate({1: 4.0, 2: 1.0}, 2)
    assert paired(left, right).by_seed == {1: 3.0}
    assert paired(left, None) is None
    assert averaged([paired(left, right), None]) is None
    assert averaged([paired(left, left), paired(left, right)]).by_seed == {1: 1.5}
    assert paired(left, Estimate({5: 1.0}, 1)).by_seed == {}
    assert on_common_seeds(left, right) == (Estimate({1: 7.0}, 1), Estimate({1: 4.0}, 1))
    assert on_common_seeds(left, Estimate({5: 1.0}, 1)) == (None, None)


def test_labels_move_apart_and_keep_their_order():
    moved = spread([50.0, 52.0, 10.0, 51.0], 14)
    assert moved == pytest.approx([37.0, 65.0, 10.0, 51.0])
    dice = np.random.default_rng(0)
    for _ in range(50):
        places = list(dice.uniform(0, 100, size=6))
        moved = spread(places, 14)
        assert np.argsort(moved).tolist() == np.argsort(places).tolist()
        assert np.diff(sorted(moved)).min() >= 14 - 1e-9


@pytest.mark.parametrize("values", [[49.7, 54.8], [0.0], [1e-4, 2e-4], [-3.0, 1500.0]])
def test_ticks_are_round_and_on_the_axis(values):
    axis = Axis(values, 0, 300)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 7
    assert all(0 <= axis(tick) <= 300 for tick in ticks)


def test_long_curves_are_thinned_within_their_stages():
    curve = [Point(epoch, epoch // 1000, float(epoch % 1000)) for epoch in range(10_000)]
    drawn = thinned(curve)
    assert len(drawn) <= 1.1 * POINTS
    assert {point.stage for point in drawn} == set(range(10))
    assert statistics.fmean(point.value for point in drawn) == pytest.approx(499.5, rel=0.01)
