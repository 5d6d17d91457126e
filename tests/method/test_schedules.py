import math

import pytest

from smir.errors import ConfigError
from smir.method.schedule import warmup_cosine


@pytest.mark.parametrize("epochs", [11, 30, 500, 1000])
def test_the_schedule_equals_the_formula_of_the_paper(epochs):
    m = 0.01
    for e in range(epochs):
        if e < 10:
            expected = m + (1 - m) * e / 10
        else:
            expected = m + (1 - m) * (math.cos(math.pi * (e - 10) / (epochs - 10)) + 1) / 2
        assert warmup_cosine(e, epochs) == pytest.approx(expected, abs=1e-12)


def test_a_stage_of_1000_epochs_has_the_expected_factors():
    assert warmup_cosine(0, 1000) == pytest.approx(0.01)
    assert warmup_cosine(5, 1000) == pytest.approx(0.505)
    assert warmup_cosine(10, 1000) == pytest.approx(1)
    assert warmup_cosine(505, 1000) == pytest.approx(0.505)
    assert 0.01 < warmup_cosine(999, 1000) < 0.0101


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 0), (5, 0), (5, 4), (20, 10), (300, 3)])
def test_the_factor_rises_and_falls_between_the_floor_and_one(epochs, warmup):
    factors = [warmup_cosine(epoch, epochs, warmup) for epoch in range(epochs)]
    assert all(0.01 <= factor <= 1 for factor in factors)
    assert factors[warmup] == 1
    assert factors[: warmup + 1] == sorted(factors[: warmup + 1])
    assert factors[warmup:] == sorted(factors[warmup:], reverse=True)
    assert len(set(factors[warmup:])) == epochs - warmup


def test_the_floor_is_an_argument():
    assert warmup_cosine(0, 20, floor=0.2) == pytest.approx(0.2)
    assert min(warmup_cosine(epoch, 1000, floor=0.2) for epoch in range(1000)) >= 0.2


@pytest.mark.parametrize(("epochs", "warmup"), [(10, 10), (5, 10), (0, 0), (5, -1)])
def test_the_warm_up_is_shorter_than_a_stage(epochs, warmup):
    with pytest.raises(ConfigError, match=rf"warmup_epochs \({warmup}\) must be less than .* \({epochs}\)"):
        warmup_cosine(0, epochs, warmup)
