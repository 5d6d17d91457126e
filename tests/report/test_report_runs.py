"""Which runs `smir report` uses, which row each belongs to, and which runs are refused."""

import functools
import json
import os
import re
import shutil
from unittest.mock import Mock

import pytest
import yaml
from fake_runs import INITS, Run, pretraining, rows_of, segmentation
from PIL import EpsImagePlugin, Image

# missing runs


def test_rows_without_runs_are_missing_and_never_zero(smir, tmp_path, capsys):
    for seed in (0, 1):
        segmentation(tmp_path / "runs", "Nassar", "scratch", seed).write()
    random = pretraining(tmp_path / "runs", "Nassar", "random").write()
    run = segmentation(tmp_path / "runs", "Nassar", "random", 1, random.weights())
    run.test["metrics"]["test/view/iou/weed"] = None
    run.write()
    smir("report", "runs")
    rows = {row["init"]: row for row in rows_of(tmp_path / "report/tables/main-paper.csv")}
    assert list(rows) == ["scratch", "random"]
    assert not any(word in capsys.readouterr().out for word in ("selective", "missing", "Cityscapes"))
    smir("report", "runs", "--expect=paper")
    rows = {row["init"]: row for row in rows_of(tmp_path / "report/tables/main-paper.csv")}
    assert list(rows) == list(INITS)
    assert [rows["selective"][name] for name in list(rows["selective"])[1:]] == ["NA"] * 24
    assert rows["random"]["Nassar 2020: 256-pixel view std"] == "NA"
    said = capsys.readouterr().out
    assert re.search(r"\| selective +\| missing +\| missing +\|", said)
    assert "Number of seeds" not in said
    assert re.search(r"\| scratch +\| [-+][\d.]+ \(1\) +\| missing +\|", said) or "rests on a single seed" in said
    classes = {row["class"]: row for row in rows_of(tmp_path / "report/tables/classes-paper-2.csv")}
    assert classes["weed"]["random"] == "NA"
    assert classes["weed"]["scratch seeds"] == "2"
    assert classes["crop"]["random seeds"] == "1"


def test_figures_of_labels_that_were_changed_in_between_are_not_compared_silently(smir, tmp_path, capsys):
    for init, labels in (("scratch", "old"), ("selective", "old")):
        run = segmentation(tmp_path / "runs", "Nassar", init, 0)
        run.test["images"]["labels"] = labels
        run.write()
    smir("report", "runs")
    assert "were changed" not in capsys.readouterr().out
    run.test["images"]["labels"] = "new"
    run.write()
    smir("report", "runs")
    said = capsys.readouterr().out
    assert "Warning: The test labels of Nassar 2020 were changed between the tests of" in said
    assert "Repeat the older tests" in said


def test_curves_of_an_older_version_are_read(smir, tmp_path):
    segmentation(tmp_path / "runs", "Nassar", "scratch").write()
    old = pretraining(tmp_path / "runs", "Nassar", "random")
    for row in old.curve:
        del row["val/mean_fill"], row["val/inpaint"]
        row["val/mean_fill_loss"] = 1.3
    old.write()
    smir("report", "runs")
    (row,) = rows_of(tmp_path / "report/tables/pretraining.csv")
    assert (row["mean fill"], row["inpaint"]) == ("NA", "NA")
    assert row["protocol"] == "paper"
    assert "validation" in (tmp_path / "report/figures/pretraining-0.svg").read_text()


def test_rows_say_how_many_images_their_pretraining_has_seen(smir, tmp_path):
    for masking, visits in {"random": 12_000, "selective": 11_700}.items():
        weights = pretraining(tmp_path / "runs", "Nassar", masking).weights() | {"image_visits": visits}
        segmentation(tmp_path / "runs", "Nassar", masking, 0, weights).write()
    smir("report", "runs")
    rows = [list(row.values()) for row in rows_of(tmp_path / "report/tables/visits-paper.csv")]
    assert rows == [["random", "12,000", "NA"], ["selective", "11,700", "-2.5 %"]]


def test_a_class_that_some_seeds_lack_shows_its_number_of_seeds(smir, tmp_path):
    for seed in range(3):
        run = segmentation(tmp_path / "runs", "Nassar", "scratch", seed)
        if seed == 1:
            run.test["metrics"]["test/view/iou/weed"] = None
        run.write()
    smir("report", "runs")
    assert re.search(r"\| weed +\| [\d.]+ ± [\d.]+ \(2 of 3\) ", (tmp_path / "report/report.md").read_text())


def test_unfinished_runs_and_unusable_tests_are_listed(smir, tmp_path):
    segmentation(tmp_path / "runs", "Nassar", "scratch").write()
    pretraining(tmp_path / "runs", "Nassar", "selective", epochs=5).write(done=False)
    begun = pretraining(tmp_path / "runs", "Nassar", "random")
    begun.curve = begun.curve[:3]
    begun.write(done=False)
    late = segmentation(tmp_path / "runs", "Nassar", "imagenet", 1)
    late.test["checkpoint"] = "last.ckpt"
    late.write()
    other = segmentation(tmp_path / "runs", "Nassar", "imagenet", 2)
    other.test["settings"]["limit_test_batches"] = 2
    other.write()
    untested = segmentation(tmp_path / "runs", "Nassar", "imagenet", 3)
    untested.test = None
    untested.write()
    sweep = segmentation(tmp_path / "runs", "Nassar", "imagenet", 4)
    sweep.experiment += "/sweep-ab12/cd34"
    sweep.write()
    smir("report", "runs")
    text = (tmp_path / "report/report.md").read_text()
    assert "runs/nassar/selective/seed3741: 50 of 50 epochs, in stage 10" in text
    assert "runs/nassar/random/seed3741: 3 of 10 epochs" in text
    assert "segment-imagenet/seed1: test/ tests last.ckpt, not best.ckpt" in text
    assert "segment-imagenet/seed2: test/ tests with other settings" in text
    assert "segment-imagenet/seed3: has no test" in text
    assert "segment-imagenet/seed4: is of a sweep" in text
    rows = {row["init"]: row for row in rows_of(tmp_path / "report/tables/main-paper.csv")}
    assert list(rows) == ["scratch"]


def test_a_test_of_other_weights_than_those_of_the_end_does_not_count(smir, fails, tmp_path):
    """As `smir test` leaves it beside the test of the end, if it was called before the end."""
    run = segmentation(tmp_path / "runs", "Nassar", "scratch", miou=0.7).write()
    run.json("test-2/metrics.json", {**run.test, "weights": "0" * 16, "metrics": {"test/view/miou": 0.4}})
    done = {"epochs": 500, "image_visits": 12000}
    run.json("DONE", {**done, "files": {"checkpoints/best.ckpt": [0, 0, f"{'0' * 64}"]}})
    smir("report", "runs")
    (row,) = rows_of(tmp_path / "report/tables/main-paper.csv")
    assert row["Nassar 2020: 256-pixel view"] == "40.0"
    run.json("DONE", {**done, "files": {"checkpoints/best.ckpt": [0, 0, "1" * 64]}})
    assert "test-2/ tests other weights than those of the best.ckpt that the run ended with" in fails("report", "runs")


def drawn(root, init, seed, labels, variant=None, **arguments):
    """Writes a run on labels of this name, with more data arguments, into a folder named after all of them."""
    run = segmentation(root, "Nassar", init, seed, variant=variant, budget=arguments["label_budget"])
    run.recipe["data"]["init_args"].update(arguments)
    run.inputs["data"]["train"]["names"] += labels
    run.test["settings"]["data"] = run.recipe["data"]
    run.folder = root / "-".join(map(str, arguments.values())) / run.folder.relative_to(root)
    return run.write()


def test_a_dataset_with_a_name_in_its_config_keeps_that_name(smir, tmp_path, capsys):
    for init in ("scratch", "imagenet"):
        run = segmentation(tmp_path / "runs", "Nassar", init).write()
        config = yaml.safe_load((run.folder / "config.yaml").read_text())
        config["run"]["field"] = "synthetic field"
        config["data"] = {"class_path": "Nassar", "init_args": {"root": "demo/data"}}
        (run.folder / "config.yaml").write_text(yaml.safe_dump(config))
    smir("report", "runs", "--short", "True")
    smir("report", "runs", "--short")
    said = capsys.readouterr().out
    assert "2 tested segmentations of synthetic field" in said
    assert "Nassar" not in said
    assert "protocol" not in said


@pytest.mark.parametrize("others", [(0,), (0, 1, 2)])
def test_results_of_one_seed_are_marked_and_have_no_interval(smir, tmp_path, capsys, others):
    segmentation(tmp_path / "runs", "Nassar", "scratch").write()
    for seed in others:
        segmentation(tmp_path / "runs", "Nassar", "imagenet", seed).write()
    smir("report", "runs")
    said = capsys.readouterr().out
    assert bool(re.search(r"One seed: differences below about \d+\.\d points on Nassar 2020 may be chance", said)) == (
        len(others) > 1
    )
    assert "interval over seeds" not in said
    assert ("fewer than three seeds give no interval" in said) == (len(others) > 1)
    written = [said, *((tmp_path / "report" / name).read_text() for name in ("report.md", "index.html"))]
    assert [text.count("rests on a single seed") for text in written] == [1] * 3  # once, whatever the other seeds
    assert "rests on a single seed" in (tmp_path / "report/tables.tex").read_text()


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_the_gain_of_the_lowest_classes_is_no_conclusion_from_one_seed(smir, tmp_path, seeds):
    for init in ("scratch", "random", "selective"):  # scratch sorts the classes
        for seed in seeds:
            segmentation(tmp_path / "runs", "Nassar", init, seed).write()
    smir("report", "runs")
    said = (tmp_path / "report/report.md").read_text()
    assert "points on the lowest class and " in said
    assert ("on the others. With 1 seed, both may be chance." in said) == (len(seeds) == 1)


def test_runs_with_their_own_label_draws_are_averaged_and_marked(smir, tmp_path):
    for seed in range(3):
        for init in ("scratch", "imagenet"):
            name = f"draw {seed}"
            drawn(tmp_path / "runs", init, seed, name, label_budget=0.2, budget_seed="run")
            drawn(tmp_path / "runs", init, seed, name, "labels-5", label_budget=0.05, budget_seed="run")
    smir("report", "runs")
    (row, _) = rows_of(tmp_path / "report/tables/main-paper.csv")
    assert row["Nassar 2020, 20 % of the labels, a label draw for each seed: 256-pixel view seeds"] == "3"
    path = tmp_path / "report/tables/budgets-paper-Nassar-a-label-draw-for-each-seed.csv"
    assert [row["labelled images"] for row in rows_of(path)] == ["18 (3 label draws)", "71 (3 label draws)"]


def test_other_fixed_label_draws_have_their_own_columns_and_rows(smir, tmp_path):
    for number in (None, 1):
        drawn(tmp_path / "runs", "scratch", 0, f"draw {number}", label_budget=0.2, budget_seed=number)
        drawn(tmp_path / "runs", "scratch", 0, f"{number}", "half", label_budget=0.2, budget_seed=number, batch_size=4)
    drawn(tmp_path / "runs", "scratch", 0, "split 7", label_budget=0.2, split_seed=7)
    smir("report", "runs")
    (row,) = rows_of(tmp_path / "report/tables/main-paper.csv")
    titles = ["20 % of the labels", "20 % of the labels, label draw 1", "20 % of the labels, split seed 7"]
    assert [head for head in row if head.endswith("view")] == [f"Nassar 2020, {t}: 256-pixel view" for t in titles]
    ablations = rows_of(tmp_path / "report/tables/ablations-paper.csv")
    assert [row["variant"] for row in ablations] == ["half", "half, label draw 1"]


# runs that are not averaged


def test_runs_with_different_settings_are_not_averaged(smir, tmp_path, capsys):
    segmentation(tmp_path / "runs", "Nassar", "scratch", 0).write()
    other = segmentation(tmp_path / "runs", "Nassar", "scratch", 1)
    other.recipe["model"]["init_args"]["lr"] = 0.001
    other.recipe["trainer"]["max_epochs"] = 400
    other.recipe["model"]["init_args"]["loss"] = {"class_path": "smir.method.FocalLoss", "init_args": {"gamma": 2.0}}
    other.write()
    segmentation(tmp_path / "runs", "Nassar", "scratch", 2).write()
    smir("report", "runs")
    rows = {row["init"]: row for row in rows_of(tmp_path / "report/tables/main-paper.csv")}
    assert [rows[name]["Nassar 2020: 256-pixel view seeds"] for name in ("scratch", "scratch #2")] == ["2", "1"]
    said = capsys.readouterr().out
    folder = "runs/nassar/segment-scratch"
    assert f"Warning: Nassar 2020: scratch #2 has a separate row: {folder}/seed0 and {folder}/seed1 differ in " in said
    assert "--model.loss: smir.method.SoftJaccardLoss, not smir.method.FocalLoss" in said
    assert "gamma" not in said
    assert "--model.lr: 0.003, not 0.001" in said
    assert "--trainer.max_epochs: 500, not 400" in said


def test_a_row_is_named_after_the_one_setting_that_differs(smir, tmp_path):
    folder = tmp_path / "runs"
    segmentation(folder, "Nassar", "scratch", 0).write()
    segmentation(folder, "Nassar", "scratch", 1).write()
    for seed, (name, value) in enumerate({"lr": 0.001, "loss": {"class_path": "smir.method.FocalLoss"}}.items(), 2):
        other = segmentation(folder, "Nassar", "scratch", seed)
        other.recipe["model"]["init_args"][name] = value
        other.write()
    smir("report", "runs")
    rows = [row["init"] for row in rows_of(tmp_path / "report/tables/main-paper.csv")]
    assert {"scratch", "scratch, lr 0.001", "scratch, FocalLoss"} <= set(rows)


def test_object_sizes_that_the_test_images_lack_are_left_out(smir, tmp_path):
    run = segmentation(tmp_path / "runs", "Nassar", "scratch", 0)
    run.test["metrics"] |= {name: None for name in run.test["metrics"] if name.startswith("test/large/")}
    run.write()
    smir("report", "runs")
    parts = rows_of(tmp_path / "report/tables/parts-paper-0.csv")
    assert [row["pixels of"] for row in parts] == ["boundaries", "small objects", "medium objects"]


def test_runs_on_different_images_are_not_averaged(smir, tmp_path, capsys):
    segmentation(tmp_path / "runs", "Nassar", "scratch", 0).write()
    other = segmentation(tmp_path / "runs", "Nassar", "scratch", 1)
    other.inputs["data"]["train"]["names"] = "another list"
    other.write()
    smir("report", "runs")
    assert "names of train: train of Nassar, 356, not another list" in capsys.readouterr().out


def test_runs_are_separated_by_the_recipe_of_the_pretraining_but_not_by_its_seed(smir, tmp_path, capsys):
    for seed in (0, 1):
        weights = pretraining(tmp_path / "runs", "Nassar", "selective", seed).write().weights()
        segmentation(tmp_path / "runs", "Nassar", "selective", seed, weights).write()
    smir("report", "runs")
    other = pretraining(tmp_path / "other", "Nassar", "selective", 2)
    other.recipe["callbacks"][0]["init_args"]["num_samples"] = 1
    segmentation(tmp_path / "runs", "Nassar", "selective", 2, other.write().weights()).write()
    assert "separate row" not in capsys.readouterr().out
    smir("report", "runs")
    said = capsys.readouterr().out
    assert "the pretraining's --trainer.callbacks.num_samples: 5, not 1" in said


def test_each_protocol_has_its_own_tables(smir, tmp_path):
    for protocol in ("paper", "clean"):
        segmentation(tmp_path / protocol, "Nassar", "scratch", 0, protocol=protocol).write()
    segmentation(tmp_path / "paper", "Nassar", "scratch", 1).write()
    smir("report", "paper", "clean", "--out=report")
    counts = {
        name: rows_of(tmp_path / f"report/tables/main-{name}.csv")[0]["Nassar 2020: 256-pixel view seeds"]
        for name in ("paper", "clean")
    }
    assert counts == {"paper": "2", "clean": "1"}
    text = (tmp_path / "report/report.md").read_text()
    assert text.index("## Main table, protocol: paper") < text.index("## Main table, protocol: clean")


def test_the_same_seed_twice_makes_two_rows(smir, tmp_path, capsys):
    for root in ("a", "b"):
        segmentation(tmp_path / root, "Nassar", "scratch").write()
    smir("report", "a", "b")
    said = "a/nassar/segment-scratch/seed0 and b/nassar/segment-scratch/seed0 differ in nothing but their folders"
    assert said in capsys.readouterr().out


def test_fields_are_distinguished_by_name_and_root(smir, tmp_path, capsys):
    """Three fields, two of them with the same name: each has its own column, and no row is separate."""
    places = {"north": ("north", "maps/north"), "a": (None, "a/south"), "b": (None, "b/south")}
    for number, (folder, (name, root)) in enumerate(places.items()):
        run = segmentation(tmp_path / "runs" / folder, "Nassar", "scratch")
        run.recipe["data"]["class_path"] = "smir.data.Folder"
        del run.recipe["data"]["init_args"]["protocol"]
        run.inputs["data"]["train"]["images"] = 10 + number
        run.write()
        config = {"run": {"field": name}, "data": {"init_args": {"root": root}}}
        (run.folder / "config.yaml").write_text(yaml.safe_dump(config))
    smir("report", "runs")
    said = capsys.readouterr().out
    head = next(line for line in said.splitlines() if line.startswith("| init"))
    assert [name in head for name in ("north: ", "south (a/south): ", "south (b/south): ")] == [True] * 3
    assert "separate row" not in said
    pretrained = pretraining(tmp_path / "runs", "Nassar", "random")
    pretrained.recipe["data"]["class_path"] = "smir.data.Folder"
    del pretrained.recipe["data"]["init_args"]["protocol"]
    pretrained.write()
    smir("report", "runs")
    text = (tmp_path / "report/report.md").read_text()
    assert "| dataset | masking |" in text  # no column for a protocol
    assert "counted at the network's view, and at the labels' own size" in text
    assert "Label budgets" not in text
    assert "no protocol" not in text


def test_rows_that_differ_in_more_than_their_start_get_a_warning(smir, tmp_path):
    segmentation(tmp_path / "runs", "Nassar", "scratch").write()
    other = segmentation(tmp_path / "runs", "Nassar", "imagenet")
    other.recipe["model"]["init_args"]["lr"] = 0.001
    other.write()
    segmentation(tmp_path / "runs", "Nassar", "random", 0, pretraining(tmp_path, "Nassar", "random").weights()).write()
    smir("report", "runs")
    text = (tmp_path / "report/report.md").read_text()
    assert text.count("**Warning:** Rows that are compared differ") == 1
    assert "segment-imagenet/seed0 differs from " in text
    assert "--model.lr: 0.001, not 0.003." in text


# the row of a run


def test_the_row_comes_from_the_records_and_not_from_names(smir, tmp_path):
    pools = {"random": "Nassar", "random-staged": "Nassar", "random-fixed": "Nassar", "selective": "SugarBeets"}
    for number, (masking, pool) in enumerate(pools.items()):
        source = pretraining(tmp_path / "runs", pool, masking)
        source.experiment = f"mine/{number}"
        run = segmentation(tmp_path / "runs", "Nassar", masking, weights=source.weights())
        run.folder = tmp_path / f"runs/mine/selective-{number}/seed0"
        run.write()
    smir("report", "runs")
    known = {row["init"] for row in rows_of(tmp_path / "report/tables/runs.csv")}
    assert known == {"random", "random-staged", "random-fixed", "selective-cross"}


def test_weights_without_a_recipe_are_identified_by_their_run_folder(smir, tmp_path):
    source = pretraining(tmp_path / "runs", "Nassar", "random-fixed").write()
    weights = {name: value for name, value in source.weights().items() if name not in ("recipe", "inputs", "variant")}
    segmentation(tmp_path / "runs", "Nassar", "random-fixed", weights=weights).write()
    smir("report", "runs")
    assert {row["init"] for row in rows_of(tmp_path / "report/tables/runs.csv")} == {"random-fixed"}
    shutil.rmtree(source.folder)
    smir("report", "runs")
    assert {row["init"] for row in rows_of(tmp_path / "report/tables/runs.csv")} == {"weights of nassar/random-fixed"}


# wrong input


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("run.json", "[]", "run.json is damaged"),
        ("run.json", '{"format": 1, "seed": 0, "recipe": {}}', "run.json is damaged"),
        ("run.json", '{"format": 2}', "run.json has format 2"),
        ("environment.json", "{}", "environment.json is damaged"),
        ("environment.json", "[{", "environment.json is damaged"),
        ("config.yaml", "run: [", "config.yaml cannot be read"),
        ("config.yaml", "- 1", "config.yaml cannot be read"),
        ("config.yaml", "[" * 60_000, "config.yaml cannot be read"),
        ("config.yaml", f"run: 1{':00' * 20_000}", "config.yaml cannot be read: it has a number of the form 1:00:00"),
        (
            "config.yaml",
            f"a: &a {{{', '.join(f'k{n}: 1' for n in range(2000))}}}\nb: {{<<: [{'*a,' * 99}]}}",
            "its merges",
        ),
        ("config.yaml", "data: {init_args: [1]}", "config.yaml cannot be read: its init_args are not settings"),
        ("config.yaml", "#" * (1 << 21), "config.yaml cannot be read: it has 2,097,152 bytes"),
        ("DONE", "3", "DONE is damaged"),
        ("DONE", '{"epochs": [1]}', "DONE is damaged: epochs is wrong"),
        ("environment.json", '[{"commit": []}]', "environment.json is damaged"),
        ("test/overlay-0.png", "no picture", "overlay-0.png is not a readable picture"),
        ("test/metrics.json", "{}", "metrics.json is damaged"),
        ("test/metrics.json", None, "metrics.json is damaged"),
    ],
)
def test_damaged_records_name_the_file(fails, tmp_path, name, content, said):
    run = segmentation(tmp_path / "runs", "Nassar", "scratch")
    run.test["metrics"]["test/view/iou/weed"] = "high" if content is None else 0.5
    run.write()
    if content is not None:
        (run.folder / name).write_text(content)
    assert said in fails("report", "runs")


def test_all_damaged_runs_are_named_at_once(fails, tmp_path):
    for seed in range(7):
        run = segmentation(tmp_path / "runs", "Nassar", "scratch", seed=seed)
        run.write()
        (run.folder / "run.json").write_text("[]")
    said = fails("report", "runs")
    assert said.count("run.json is damaged") == 5
    assert "And 2 more." in said


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("recipe.data.init_args.protocol", {"class_path": 3}),
        ("recipe.data.init_args.label_budget", "many"),
        ("recipe.data.init_args.split_seed", []),
        ("recipe.trainer.max_epochs", "10"),
        ("inputs.data.train.images", float("inf")),
        ("inputs.weights.run_hash", {}),
        ("inputs.weights.recipe.data.class_path", True),
        ("inputs.weights.image_visits", "many"),
    ],
)
@pytest.mark.parametrize("done", [True, False])
def test_a_record_entry_of_the_wrong_type_is_named(fails, tmp_path, place, value, done):
    weights = pretraining(tmp_path / "runs", "Nassar", "random").write().weights()
    run = segmentation(tmp_path / "runs", "Nassar", "random", 0, weights).write(done)
    record = json.loads((run.folder / "run.json").read_text())
    *above, last = place.split(".")
    functools.reduce(dict.__getitem__, above, record)[last] = value
    run.json("run.json", record)
    assert f"run.json is damaged: a required entry is missing or wrong (ValueError('wrong are {place}'))" in fails(
        "report", "runs"
    )


def test_a_root_that_is_not_a_folder_is_named(fails, tmp_path):
    run = segmentation(tmp_path / "runs", "Nassar", "scratch")
    run.recipe["data"]["class_path"] = "smir.data.Folder"
    run.write()
    (run.folder / "config.yaml").write_text("data: {init_args: {root: [1]}}")
    assert "config.yaml is damaged: data.init_args.root is not a folder" in fails("report", "runs")


@pytest.mark.parametrize("name", ["test/metrics.json", "report"])
def test_a_pipe_in_place_of_a_record_is_refused_without_waiting(fails, smir, tmp_path, name):
    run = segmentation(tmp_path / "runs", "Nassar", "scratch").write()
    path = tmp_path / "report/contents.json" if name == "report" else run.folder / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    assert f"{path.name}" in fails("report", "runs")


def test_an_eps_picture_is_refused_without_starting_ghostscript(fails, tmp_path, monkeypatch):
    """Pillow would pass EPS files to Ghostscript."""
    run = segmentation(tmp_path / "runs", "Nassar", "scratch").write()
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", Mock(side_effect=AssertionError))
    Image.new("RGB", (9, 9)).save(run.folder / "test/overlay-0.png", format="EPS")
    assert "overlay-0.png is not a readable picture" in fails("report", "runs")


def test_runs_behind_links_count_once(smir, tmp_path, capsys):
    """Links to a run or an experiment on another disk, a circle of links, and a second link to the same run."""
    for seed, place in enumerate(("runs", "disk", "disk/experiment")):
        segmentation(tmp_path / place, "Nassar", "scratch", seed).write()
    (tmp_path / "runs/nassar/segment-scratch/seed1").symlink_to(tmp_path / "disk/nassar/segment-scratch/seed1")
    (tmp_path / "runs/more").symlink_to("../disk/experiment", target_is_directory=True)
    (tmp_path / "disk/experiment/back").symlink_to(tmp_path / "runs", target_is_directory=True)
    (tmp_path / "runs/again").symlink_to(tmp_path / "disk/experiment/nassar/segment-scratch/seed2")
    smir("report", "runs")
    assert "3 tested segmentations of Nassar 2020, 0 pretrainings, 0 unfinished runs" in capsys.readouterr().out


@pytest.mark.parametrize("listed", [None, "x", "[]"])
def test_files_that_no_report_wrote_are_not_replaced(fails, smir, tmp_path, listed):
    segmentation(tmp_path / "runs", "Nassar", "scratch").write()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/report.md").write_text("mine")
    if listed is not None:
        (tmp_path / "docs/contents.json").write_text(listed)
    said = fails("report", "runs", "--out=docs")
    assert re.search(r"docs holds (contents\.json, )?report\.md, which the list contents\.json of an earlier", said)
    assert [path.name for path in (tmp_path / "docs").iterdir() if path.name != "contents.json"] == ["report.md"]
    assert (tmp_path / "docs/report.md").read_text() == "mine"


def test_a_report_that_cannot_be_written_names_the_path(fails, tmp_path):
    segmentation(tmp_path / "runs", "Nassar", "scratch").write()
    (tmp_path / "taken").write_text("a file")
    assert "taken: File exists. Give another folder: --out FOLDER" in fails("report", "runs", "--out=taken")
    assert (tmp_path / "taken").read_text() == "a file"


def test_damaged_curves_name_the_file(fails, smir, tmp_path):
    segmentation(tmp_path / "runs", "Nassar", "scratch").write()
    run = pretraining(tmp_path / "runs", "Nassar", "random").write()
    for row in ("x,0,1", "0,inf,1", "0,0,x", "0,0", "0,0,1,1", f"{'9' * 400},0,1", '0,0,"1', "0,0,\udcff"):
        (run.folder / "metrics.csv").write_text(f"epoch,stage,val/loss\n{row}\n", errors="surrogateescape")
        assert "metrics.csv is damaged" in fails("report", "runs")
    (run.folder / "metrics.csv").write_text("epoch,stage,val/loss\n0,0,1e308\n1,0,-1e308\n2,0,nan\n3,0,1\n")
    smir("report", "runs")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e308, -0.1, 10**400], ids=str)
def test_a_metric_outside_0_to_1_is_refused(fails, tmp_path, value):
    run = segmentation(tmp_path / "runs", "Nassar", "scratch")
    run.test["metrics"]["test/view/iou/weed"] = value
    run.write()
    assert "metrics.json is damaged: a required entry is missing or wrong" in fails("report", "runs")


def test_a_folder_without_results_is_reported_with_its_content(fails, tmp_path):
    assert f"There is no folder {tmp_path / 'runs'}" in fails("report")
    pretraining(tmp_path / "runs", "Nassar", "random").write()
    assert "holds 1 run, but no finished and tested segmentation" in fails("report", "runs")


def test_names_are_escaped_in_every_format_of_the_report(smir, tmp_path):
    run = Run(tmp_path / "runs", "x", 0, {}, {})
    run.__dict__.update(segmentation(tmp_path / "runs", "Nassar", "scratch").__dict__)
    run.test["metrics"] = {"test/view/miou": 0.5, "test/view/iou/a_<b>|&%": 0.5}
    run.commit = "<script>alert(1)</script>"
    run.write()
    smir("report", "runs")
    text = (tmp_path / "report/index.html").read_text()
    assert "<b>|" not in text
    assert "<script>alert" not in text
    report = (tmp_path / "report/report.md").read_text()
    assert r"a_&lt;b>\|&%" in report
    assert "<b>" not in report
    assert r"a\_\textless{}b\textgreater{}\textbar{}\&\% &" in (tmp_path / "report/tables.tex").read_text()


def test_stages_with_block_masks_are_a_variant_and_not_the_control(smir, tmp_path):
    """`policy: null` with blocks differs from `random-staged` only by the mask that is drawn."""

    def blocks(variant):
        run = pretraining(tmp_path / "runs", "Nassar", "random-staged", variant=variant)
        run.recipe["data"]["init_args"]["mask"]["class_path"] = "smir.masking.BlockMask"
        return run.write().weights()

    root = tmp_path / "runs"
    segmentation(root, "Nassar", "random-staged", 0, blocks(None)).write()
    smir("report", "runs")
    rows = {row["init"]: row for row in rows_of(tmp_path / "report/tables/main-paper.csv")}
    assert list(rows) == ["BlockMask-staged"]

    shutil.rmtree(root)
    segmentation(
        root, "Nassar", "random-staged", 0, pretraining(root, "Nassar", "random-staged").write().weights()
    ).write()
    segmentation(root, "Nassar", "random-staged", 0, blocks("policy-blocks"), "policy-blocks").write()
    smir("report", "runs")
    (row,) = rows_of(tmp_path / "report/tables/ablations-paper.csv")
    assert (row["init"], row["variant"]) == ("random-staged", "policy-blocks")
    assert "NA" not in (row["without it"], row["with it"])


@pytest.mark.parametrize(("count", "care"), [(4, True), (19, True), (20, False)])
def test_the_number_of_test_images_is_stated_with_a_caution_if_it_is_small(smir, tmp_path, count, care):
    """In the notes of the tables."""
    run = segmentation(tmp_path / "runs", "Nassar", "scratch")
    run.inputs["data"]["test"]["images"] = count
    run.write()
    smir("report", "runs")
    for file in ("report.md", "index.html", "tables.tex"):
        text = (tmp_path / "report" / file).read_text()
        assert text.count(f"Tested on {count} images.") == 2  # the main table and the classes
        assert text.count("So few test images (fewer than 20)") == 2 * care
    segmentation(tmp_path / "runs", "SugarBeets", "scratch").write()
    smir("report", "runs")
    text = (tmp_path / "report/report.md").read_text()
    assert f"Tested on {count} images of Nassar 2020, 266 images of Sugar Beets 2016." in text


def test_budgets_of_rows_that_cannot_be_compared_have_no_section(smir, tmp_path):
    segmentation(tmp_path / "runs", "Nassar", "scratch", 0, budget=0.1).write()
    segmentation(tmp_path / "runs", "Nassar", "imagenet", 0, budget=0.125).write()
    smir("report", "runs")
    text = (tmp_path / "report/index.html").read_text()
    assert "Label budgets" not in text
    assert "12.5 % of the labels" in text


def stopping_early(root, masking, seed, finished_after=None):
    """Writes a pretraining with early stopping, if it has finished, and returns the record of its weights."""
    run = pretraining(root, "Nassar", masking, seed)
    callback = "lightning.pytorch.callbacks.EarlyStopping"
    run.recipe["callbacks"].append({"class_path": callback, "init_args": {"monitor": "val/loss"}})
    if finished_after is not None:
        run.write().json("DONE", {"epochs": 3, "image_visits": finished_after, "files": {}})
    return run.weights()


def test_visits_of_a_pretraining_that_stopped_early_are_not_those_that_were_planned(smir, tmp_path):
    """Its DONE has them. Without the run, the report says what they are at most."""
    root = tmp_path / "runs"
    for seed, visits in enumerate((3000, 4000)):
        segmentation(root, "Nassar", "random", seed, stopping_early(root, "random", seed, visits)).write()
        segmentation(
            root, "Nassar", "random-staged", seed, pretraining(root, "Nassar", "random-staged").weights()
        ).write()
    smir("report", "runs")
    rows = [list(row.values()) for row in rows_of(tmp_path / "report/tables/visits-paper.csv")]
    assert rows == [["random", "3,000 to 4,000", "NA"], ["random-staged", "12,000", "NA"]]
    assert "seed 1, 4,000 image visits" in (tmp_path / "report/report.md").read_text()
    shutil.rmtree(root / "nassar/random")
    smir("report", "runs")
    rows = [list(row.values()) for row in rows_of(tmp_path / "report/tables/visits-paper.csv")]
    assert rows == [["random", "at most 12,000", "NA"], ["random-staged", "12,000", "NA"]]
    assert "at most 12,000 image visits" in (tmp_path / "report/report.md").read_text()


def test_variants_that_were_tested_on_other_images_or_labels_say_so(smir, tmp_path, capsys):
    for variant, budget in ((None, None), ("dice", None), ("labels-10", 0.1)):
        run = segmentation(tmp_path / "runs", "Nassar", "scratch", 0, None, variant, budget)
        run.test["images"]["labels"] = str(variant)
        if variant is not None:
            run.inputs["data"]["test"] = {"images": 30, "names": "others"}
            run.test["images"]["names"] = "others"
        run.write()
    smir("report", "runs")
    assert "The test labels of Nassar 2020 were changed" in capsys.readouterr().out
    text = (tmp_path / "report/report.md").read_text()
    assert "scratch, dice: images of test: 266, not 30" in text or "scratch, dice: images of test: 30, not 266" in text
    assert re.search(r"labels-10/seed0 and \S+ differ in images of test", text)


def test_labels_that_were_changed_are_named_for_every_list_of_test_images(smir, tmp_path, capsys):
    for names in ("first", "second"):
        for number, init in enumerate(("scratch", "imagenet")):
            run = segmentation(tmp_path / "runs", "Nassar", init, 0, variant=names if names == "second" else None)
            run.inputs["data"]["test"] = {"images": 30, "names": names}
            run.test["images"] |= {"names": names, "labels": str(number)}
            run.write()
    smir("report", "runs")
    assert capsys.readouterr().out.count("The test labels of Nassar 2020 were changed") == 2


def test_labels_that_seeds_drew_from_other_lists_get_a_warning(smir, tmp_path, capsys):
    for init in ("scratch", "imagenet"):
        for seed in range(3):
            drawn(tmp_path / "runs", init, seed, f"draw {seed}", label_budget=0.2, budget_seed="run")
    smir("report", "runs")
    assert "differ in more" not in capsys.readouterr().out
    for seed in range(3):
        drawn(tmp_path / "runs", "imagenet", seed, f"draw {seed} of more", label_budget=0.2, budget_seed="run")
    smir("report", "runs")
    assert re.search(r"segment-\w+/seed0 differs from \S+ in names of train", capsys.readouterr().out)


def test_a_copy_of_a_run_does_not_take_the_place_of_its_row_in_a_table_of_budgets(smir, tmp_path, capsys):
    for seed in range(3):
        segmentation(tmp_path / "runs", "Nassar", "scratch", seed).write()
        run = segmentation(tmp_path / "runs", "Nassar", "scratch", seed, None, "labels-10", 0.1).write()
    run.folder = tmp_path / "runs/z-copy/seed2"
    run.write()
    smir("report", "runs")
    rows = rows_of(tmp_path / "report/tables/budgets-paper-Nassar.csv")
    assert [(row["labelled images"], row["scratch seeds"]) for row in rows] == [("36", "3"), ("356", "3")]
    (row,) = rows_of(tmp_path / "report/tables/ablations-paper.csv")
    assert row["variant"] == "labels-10 #2"
    shutil.rmtree(tmp_path / "runs/nassar/segment-scratch")
    smir("report", "runs")  # no main table
    assert "labels-10 #2 has a separate row" in capsys.readouterr().out


def test_one_label_is_not_all_labels(smir, tmp_path):
    for budget, images in ((1, 1), (1.0, 356)):
        run = segmentation(tmp_path / "runs", "Nassar", "scratch", 0, budget=1.0)
        run.recipe["data"]["init_args"]["label_budget"] = budget
        run.inputs["data"]["train"]["images"] = images
        run.folder = tmp_path / "runs" / str(images)
        run.write()
    smir("report", "runs")
    (row,) = rows_of(tmp_path / "report/tables/main-paper.csv")
    assert {f"Nassar 2020, {title}: 256-pixel view" for title in ("1 label", "100 % of the labels")} <= set(row)


def test_rows_without_a_common_seed_have_no_difference_and_say_so(smir, tmp_path, capsys):
    segmentation(tmp_path / "runs", "Nassar", "scratch", 0).write()
    segmentation(tmp_path / "runs", "Nassar", "imagenet", 1).write()
    smir("report", "runs")
    assert "The compared rows have no common seeds." in capsys.readouterr().out


def test_rows_that_were_tested_on_different_numbers_of_images_state_both(smir, tmp_path, capsys):
    segmentation(tmp_path / "runs", "Nassar", "scratch").write()
    run = segmentation(tmp_path / "runs", "Nassar", "imagenet")
    run.inputs["data"]["test"]["images"] = 12
    run.write()
    smir("report", "runs")
    assert "Tested on 12 to 266 images. So few test images" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["north field", "a/../../../out", "north-field | <b>"])
def test_names_of_fields_are_no_paths(smir, tmp_path, name):
    for budget in (0.1, 0.2):
        run = segmentation(tmp_path / "runs", "Nassar", "scratch", 0, budget=budget)
        run.folder = tmp_path / "runs" / str(budget)
        run.write()
        config = {"run": {"field": name}, "data": {"init_args": {"root": "fields"}}}
        (run.folder / "config.yaml").write_text(yaml.safe_dump(config))
    smir("report", "runs")
    smir("report", "runs")  # replaces the files of the first
    files = [path.relative_to(tmp_path / "report") for path in (tmp_path / "report").rglob("*budgets*")]
    assert sorted((path.parent.as_posix(), path.suffix) for path in files) == [("figures", ".svg"), ("tables", ".csv")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report", "runs"]
