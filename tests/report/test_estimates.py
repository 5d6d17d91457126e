"""The statistics of the report, and how its plots place things."""

import statistics

import numpy as np
import pytest
from fake_runs import exact_interval

from smir.pages.svg import Axis, spread
from smir.report.estimates import Estimate, averaged, bootstrap_interval, on_common_seeds, paired
from smir.report.plots import POINTS, thinned
from smir.report.stored import Point


def test_the_interval_is_that_of_all_resamples():
    assert bootstrap_interval([1.5]) is None
    for values in ([1.0, 2.0], [0.1, 0.7, -0.3, 2.5], [1.0, 4.0, 2.0, 0.5, 3.1]):
        assert bootstrap_interval(values) == pytest.approx(exact_interval(values), abs=0.12)
        assert bootstrap_interval(values) == bootstrap_interval(values)


def test_pairs_need_both_and_averages_need_all():
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
