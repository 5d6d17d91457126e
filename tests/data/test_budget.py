import itertools

import pytest
from fakes import write_folder

from smir.data import Folder
from smir.data.budget import LabelBudget
from smir.errors import ConfigError

ITEMS = [f"image {number:03d}" for number in range(200)]


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (1, 1),
        (50, 50),
        (200, 200),
        (1.0, 200),
        (0.5, 100),
        (0.005, 1),
        (0.1234, 24),
        ("1", 1),
        ("1.0", 200),
        ("1e-1", 20),
        ("20", 20),
        (LabelBudget(0.25), 50),
    ],
    ids=repr,
)
def test_integers_are_counts_and_decimals_are_shares(value, count):
    taken = LabelBudget(value).take(ITEMS, seed=0)
    assert len(taken) == len(set(taken)) == count
    assert taken == sorted(taken)  # in the order of the list
    assert set(taken) <= set(ITEMS)


@pytest.mark.parametrize("percent", range(1, 101))
def test_a_share_in_percent_of_100_images_is_that_many(percent):
    assert len(LabelBudget(percent / 100).take(ITEMS[:100], seed=0)) == percent


@pytest.mark.parametrize("seed", range(3))
def test_smaller_budgets_are_subsets_of_larger_ones(seed):
    budgets = [1, 0.05, 20, 0.25, 100, 0.75, 199, 1.0]
    taken = [set(LabelBudget(budget).take(ITEMS, seed)) for budget in budgets]
    for smaller, larger in itertools.pairwise(taken):
        assert smaller < larger


def test_the_choice_depends_only_on_the_seed():
    budget = LabelBudget(20)
    assert budget.take(ITEMS, 1) == LabelBudget(20).take(ITEMS, 1) == LabelBudget(0.1).take(ITEMS, 1)
    assert budget.take(ITEMS, 1) != budget.take(ITEMS, 2)


def test_every_image_is_equally_likely():
    draws = 2000
    counts = dict.fromkeys(ITEMS[:10], 0)
    for seed in range(draws):
        for item in LabelBudget(3).take(ITEMS[:10], seed):
            counts[item] += 1
    assert all(abs(count / draws - 0.3) < 5 * (0.3 * 0.7 / draws) ** 0.5 for count in counts.values())


@pytest.mark.parametrize("value", [0, -3, 0.0, -0.5, 1.5, True, "0", "1.1", "-2", float("nan"), float("inf")], ids=repr)
def test_a_number_that_is_neither_a_count_nor_a_share_is_refused(value):
    with pytest.raises(ConfigError, match=r"data\.label_budget = .*a count of 1 or more"):
        LabelBudget(value)


@pytest.mark.parametrize("value", ["", "many", "1.2.3", "10%", "nan"])
def test_text_that_is_not_a_number_is_refused(value):
    with pytest.raises(ConfigError, match=r"data\.label_budget"):
        LabelBudget(value)


@pytest.mark.parametrize(("value", "asked"), [(201, 201), (0.001, 0)])
def test_a_budget_must_fit_the_list(value, asked):
    with pytest.raises(ConfigError, match=rf"label_budget = {value} asks for {asked} of 200 labelled"):
        LabelBudget(value).take(ITEMS, 0)


def test_a_budget_is_shown_as_it_was_given():
    assert (repr(LabelBudget(1)), repr(LabelBudget("1.0"))) == ("1", "1.0")


@pytest.mark.parametrize("by", ["split", "run"])
def test_budget_seed_run_draws_other_labels_for_each_seed_of_the_run(tmp_path, by):
    write_folder(tmp_path, count=20)

    def drawn(seed, budget):
        options = {"labels": "labels", "classes": ["a", "b", "c"], "label_budget": budget, "budget_seed": by}
        return set(Folder(tmp_path, seed=seed, **options).images("train"))

    assert (drawn(0, 5) == drawn(1, 5)) == (by == "split")
    assert drawn(1, 3) < drawn(1, 5) < drawn(1, 1.0)
    assert drawn(0, 1.0) == drawn(1, 1.0)
