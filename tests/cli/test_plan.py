"""The table of the paper's runs, and `smir plan`, which adds up their cost."""

import subprocess
import sys
from collections import Counter

import pytest
from fakes import write_folder, write_nassar
from words import EXPERIMENTS, REPOSITORY

from smir.cli.paper import ABLATIONS, MAIN, SISTERS, Row, paper_runs
from smir.cli.planning import Speed, parsed, works
from smir.errors import ConfigError

METHOD = 8 * 2 + 10 + 3 * 2
"""Pretrainings of ablations: 8 of both maskings, 10 of selection alone, 3 of stages with their control."""
DOWNSTREAM = 2 + 3 * 3 + 6 * 4
"""Segmentations of ablations: the encoder alone, what becomes of it, and label budgets of 4 inits."""


@pytest.mark.parametrize(
    ("given", "pretrainings", "segmentations"),
    [
        # 4 datasets: 4 pretrainings and 7 inits.
        ({"ablate": ""}, 4 * 4, 4 * 7 * 3),
        ({}, 4 * 4 + METHOD, (4 * 7 + METHOD + DOWNSTREAM) * 3),
        ({"seeds": "0"}, 4 * 4 + METHOD, 4 * 7 + METHOD + DOWNSTREAM),
        ({"pretrain": "paired"}, (4 * 4 + METHOD) * 3, (4 * 7 + METHOD + DOWNSTREAM) * 3),
        ({"protocol": "clean"}, (4 * 4 + METHOD) * 3, (4 * 7 + METHOD + DOWNSTREAM) * 3),
        ({"protocol": "clean", "pretrain": "once"}, 4 * 4 + METHOD, (4 * 7 + METHOD + DOWNSTREAM) * 3),
        ({"seeds": "5 7 5", "ablate": " ".join(SISTERS)}, 4 * (4 + METHOD), 4 * (7 + METHOD + DOWNSTREAM) * 2),
    ],
)
def test_the_table_has_the_expected_number_of_runs(given, pretrainings, segmentations):
    runs = list(paper_runs(**given))
    assert Counter(run.row.segments for run in runs) == {False: pretrainings, True: segmentations}
    folders = {run.folder for run in runs}
    assert len(folders) == len(runs)
    assert {run.start for run in runs if run.start} <= folders


def test_rows_and_config_files_correspond():
    for dataset in SISTERS:
        files = {path.stem for path in (EXPERIMENTS / dataset).glob("*.yaml")}
        assert {row.config for row in MAIN} == files - {"pretrain", "segment"}
    assert set(ABLATIONS) == {path.stem for path in (EXPERIMENTS / "ablations").glob("*.yaml")}


def test_the_page_of_the_paper_names_every_row():
    page = (REPOSITORY / "docs/paper.md").read_text()
    assert [row.config for row in MAIN if f"`{row.config}.yaml`" not in page] == []
    assert [name for name in ABLATIONS if not name.startswith("labels-") and f"`{name}`" not in page] == []


def test_one_more_word_adds_a_control_to_an_ablation(monkeypatch):
    monkeypatch.setitem(ABLATIONS, "stages-5", ["selective", "random-staged"])
    added = [run for run in paper_runs(seeds="0") if run.row.name.endswith("random-staged-stages-5")]
    assert [run.folder for run in added] == [
        "sugar_beets/random-staged-stages-5/seed3741",
        "sugar_beets/segment-random-staged-stages-5/seed0",
    ]
    assert added[1].start == "sugar_beets/random-staged-stages-5/seed3741"
    (pretraining, segmentation) = (run.command("runs", "data", "paper", "") for run in added)
    assert "sugar_beets/random-staged.yaml --config experiments/ablations/stages-5.yaml" in pretraining
    assert "sugar_beets/segment-random-staged.yaml --run.variant stages-5" in segmentation


def test_the_table_needs_no_installed_package():
    command = [sys.executable, "-S", "-m", "smir.cli.paper", "--seeds=0", "--ablate="]
    printed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert printed.count("PAPER_RUNS += ") == 44


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"pretrain": "twice"}, "PRETRAIN is once or paired, not twice"),
        ({"protocol": "dirty"}, "PROTOCOL is paper or clean, not dirty"),
        ({"ablate": "nassar voc"}, r"ABLATE names datasets \(pascal_voc .*\), not voc"),
        ({"seeds": "0 -1"}, "SEEDS are whole numbers, not -1"),
    ],
)
def test_an_invalid_value_of_a_variable_is_named(given, said):
    with pytest.raises(ConfigError, match=said):
        list(paper_runs(**given))


def words_of(*rows):
    """The command lines of rows on Nassar 2020, whose data do not exist here."""
    return [["fit", f"--config={EXPERIMENTS / 'nassar' / row}.yaml", "--data.root=nowhere"] for row in rows]


def test_the_plan_counts_the_visits_of_the_paper():
    selective, random, segment = works(parsed(words_of("selective", "random", "segment-scratch")))
    # 4,071 images a stage, 3,663 of them to train on: 14 batches of 256; 408 validate, nine stages are scored 5 times.
    assert selective.train_visits == 10 * 1000 * 14 * 256
    assert selective.forward_visits == 10 * 1000 * 408 + 5 * 9 * 4071
    assert random.train_visits == 1000 * (40_710 * 9 // 10 // 256) * 256
    assert (segment.experiment, segment.train_visits) == ("nassar/segment-scratch", 500 * 44 * 8)
    assert segment.forward_visits == 500 * 33 + 266
    assert not segment.on_disk
    assert Speed(train=10.0, forward=100.0).hours(segment) == pytest.approx((176_000 / 10 + 16_766 / 100) / 3600)


def test_the_plan_counts_what_is_on_disk(tmp_path):
    write_nassar(tmp_path, tiles=20)
    (work,) = works(parsed([["fit", f"--config={EXPERIMENTS / 'nassar/random.yaml'}", f"--data.root={tmp_path}"]]))
    assert (work.train_visits, work.on_disk) == (1000 * 18, True)


def test_a_pool_that_is_too_small_for_the_stages_is_named(fails, tmp_path, monkeypatch):
    import smir.cli.paper as paper

    write_nassar(tmp_path, tiles=18)
    monkeypatch.setattr(paper, "SISTERS", {"nassar": "sugar_beets"})
    monkeypatch.setattr(paper, "MAIN", (Row("selective"),))
    said = fails("plan", "--data", tmp_path, "--ablate=")
    assert f"nassar/selective, in {tmp_path}: 18 images are too few for num_stages = 10" in said


def test_plan_prints_the_runs_that_are_left(smir, fails, tmp_path, monkeypatch, capsys):
    import smir.cli.paper as paper
    import smir.cli.planning as planning

    monkeypatch.setattr(planning, "MEASURED_SECONDS", 0.1)
    monkeypatch.setattr(paper, "SISTERS", {"nassar": "sugar_beets"})
    monkeypatch.setattr(paper, "MAIN", (Row("selective"), Row("segment-selective", start="selective")))
    for seed in (0, 1):
        (tmp_path / f"runs/nassar/segment-selective/seed{seed}").mkdir(parents=True)
    (tmp_path / "runs/nassar/segment-selective/seed1/DONE").touch()
    tiny = "--flags=--config smoke/all"
    short = "--segment_flags=--trainer.max_epochs 1"
    smir("plan", "--data", "data", "--seeds", "0 1", "--pretrain=paired", "--ablate=", tiny, short)
    table = capsys.readouterr().out.splitlines()
    assert table[1].split()[:4] == ["nassar,", "pretrain", "2", "71,680,000"]
    assert "published counts" in table[1]
    assert table[2].split()[:3] == ["nassar,", "segment", "1"]
    assert table[3].split()[:2] == ["all", "3"]
    smir("plan", "--seeds", "", "--pretrain=paired", "--ablate=")
    assert capsys.readouterr().out == "Nothing is left to do.\n"
    assert "ABLATE names datasets (nassar), not voc" in fails("plan", "--ablate", "voc")


def test_filled_batches_limits_and_controls_count_as_they_run(tmp_path):
    write_folder(tmp_path / "own", count=20, size=(64, 64))
    base = ["--data.labels=labels", "--data.classes=[a,b,c]", f"--data.root={tmp_path / 'own'}"]
    row = ["fit", f"--config={EXPERIMENTS}/folder/segment.yaml", *base, "--data.batch_size=8", "--trainer.max_epochs=1"]

    def work(*more):
        return next(works(parsed([[*row, *more]])))

    more = [[], ["--data.fill_batches=true"], ["--trainer.limit_train_batches=1"]]
    assert [work(*options).train_visits for options in more] == [8, 16, 8]
    rare = ["--trainer.max_epochs=20", "--trainer.check_val_every_n_epoch=10"]
    once, untested, twice = (work(*options).forward_visits for options in ([], ["--run.test=false"], rare))
    assert (once - untested, twice - once) == (4, once - 4)  # four test images
    staged = ["fit", f"--config={EXPERIMENTS}/folder/pretrain.yaml", f"--data.root={tmp_path / 'own'}"]
    scored, control = (
        next(works(parsed([[*staged, *more]]))).forward_visits
        for more in ([], ["--trainer.callbacks.score=smir.method.VarianceScore"])
    )
    assert control < scored
