"""The study of few labels (`python -m benchmarks.evidence`): its draws, its jobs, its tables, and self-training."""

import dataclasses
import json
import math
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import write_folder
from freeze import parse
from words import REPOSITORY

from benchmarks import choose
from benchmarks.evidence import study as study_module
from benchmarks.evidence.__main__ import main
from benchmarks.evidence.four_views import FourViews
from benchmarks.evidence.matrix import EXPLORED, MAIN, RARE, ROWS, in_order
from benchmarks.evidence.page import tables, write
from benchmarks.evidence.study import Job, Study, make
from smir.classes import Classes
from smir.models.networks import UNetStride4
from smir.training import SegmentationModule


@pytest.fixture
def study(tmp_path):
    names = [f"{number:03d}.jpg" for number in range(80)]
    for name in names:
        (tmp_path / "field/images").mkdir(parents=True, exist_ok=True)
        (tmp_path / "field/images" / name).touch()
    for split, part in (("train", names[:50]), ("val", names[50:60]), ("test", names[60:70])):
        (tmp_path / f"field/{split}.txt").write_text("\n".join(part) + "\n")
    settings = {"images": "images", "split_files": {split: f"{split}.txt" for split in ("train", "val", "test")}}
    (tmp_path / "field/data.yaml").write_text(json.dumps({"data": {"init_args": settings}}))
    return Study(tmp_path / "field", tmp_path / "held", tmp_path / "out", tmp_path / "results.json", None, [])


def drawn(study, labels, seed):
    return {split: set(Path(file).read_text().split()) for split, file in study.lists(labels, seed).items()}


def test_draws_are_nested_and_differ_by_seed(study):
    small, large, other = drawn(study, 20, 0), drawn(study, 60, 0), drawn(study, 20, 1)
    assert [len(small[split]) for split in ("train", "val")] == [16, 4]
    assert [len(large[split]) for split in ("train", "val")] == [48, 12]
    assert small["train"] < large["train"]
    assert small["val"] < large["val"]
    assert not large["train"] & large["val"]
    assert small["train"] != other["train"]
    with pytest.raises(SystemExit, match="has 70 labelled images; a row needs 71"):
        study.lists(71, 0)


def test_a_training_on_all_labels_leaves_out_none_and_validates_on_the_same_images(study):
    lists = study.lists(20, 0, hold_out=False)
    everything = {split: set(Path(file).read_text().split()) for split, file in lists.items()}
    held_out = drawn(study, 20, 0)
    assert everything["train"] == held_out["train"] | held_out["val"]
    assert everything["val"] == held_out["val"]
    assert held_out == drawn(study, 20, 0)


def test_cross_validation_trains_on_all_labels_for_the_epochs_that_were_best_over_the_folds(study):
    row = next(row for row in ROWS if row.cross_validated)
    parts = [
        {split: Path(file).read_text().split() for split, file in study.lists(20, 0, fold=fold).items()}
        for fold in range(5)
    ]
    validating = [name for part in parts for name in part["val"]]
    assert len(validating) == len(set(validating)) == 20
    assert all(sorted(part["train"] + part["val"]) == sorted(validating) for part in parts)

    (job,) = [job for job in study.jobs([row]) if job.name.endswith("seed0")]
    folds, (last, *tests) = job.commands[:5], job.commands[5:]
    for fold, words in enumerate(folds):
        run = study.out / "runs" / option(words, "--run.experiment") / "seed0"
        run.mkdir(parents=True)
        curve = [0.1, 0.5 - 0.1 * fold, 0.4, 0.3]  # the mean is highest after three epochs, in the first fold after two
        lines = [f"{epoch},{miou}\n" for epoch, miou in enumerate(curve)]
        (run / "metrics.csv").write_text("epoch,val/miou\n" + "".join(lines))
        lists = json.loads(option(words, "--data.split_files"))
        assert set(Path(lists["val"]).read_text().split()) == set(parts[fold]["val"])
    words = last()
    assert option(words, "--trainer.max_epochs") == "3"
    lists = json.loads(option(words, "--data.split_files"))
    assert set(Path(lists["train"]).read_text().split()) == set(validating)
    assert [command[0] for command in tests] == ["test", "test"]
    assert f"{study.out}/runs/{option(words, '--run.experiment')}/seed0/checkpoints/last.ckpt" in tests[1][-1]


def option(words, name):
    """Returns the last value of an option, which is the one that counts."""
    return [word.partition("=")[2] for word in words if word.startswith(f"{name}=")][-1]


def test_a_test_field_with_training_images_is_refused(study, monkeypatch, capsys):
    study.held.mkdir()
    settings = {"images": "images", "split_files": {"train": "train.txt", "test": "test.txt"}}
    (study.held / "data.yaml").write_text(json.dumps({"data": {"init_args": settings}}))
    monkeypatch.setattr("sys.argv", ["evidence", f"--field={study.field}", f"--held={study.held}", "--rows=none"])
    with pytest.raises(SystemExit, match=r"has images for train, which would not be tested on.*--shares '\[0, 0, 1\]'"):
        main()


def test_every_seed_has_its_own_pretraining_and_finished_runs_are_not_made_again(study):
    jobs = study.jobs(ROWS)
    names = [job.name for job in jobs]
    assert len(set(names)) == len(names) == sum(row.seeds for row in ROWS) + 6 * 4 + 3 * 6
    for job in jobs:
        assert job.after is None or names.index(job.after) < names.index(job.name)
    selective = next(job for job in jobs if job.name == "imagenet, selective/labels-20/seed3")
    assert selective.after == "imagenet-selective-seed3"
    assert f"--model.weights={study.out}/runs/imagenet-selective/seed3/checkpoints/best.ckpt" in selective.commands[0]
    assert [command[0] for command in selective.commands] == ["fit", "test", "test"]
    assert "--data.train_on_val=false" in selective.commands[0]  # data.yaml of a field with few labels sets it

    finish(study, MAIN[:2])
    left = {job.name for job in study.jobs(ROWS)}
    assert set(names) - left == {study.key(row, seed) for row, seed in in_order(MAIN[:2])}
    study.words = ["--trainer.max_epochs=3"]  # other settings make another run
    assert {job.name for job in study.jobs(ROWS)} == set(names)


@pytest.mark.parametrize("row", RARE, ids=lambda row: row.name)
def test_settings_for_rare_classes_are_accepted(monkeypatch, row):
    monkeypatch.chdir(REPOSITORY)
    plain = ["--config=experiments/folder/segment.yaml"]
    assert parse([*plain, *row.words]).fit != parse(plain).fit


def finish(study, rows):
    """Writes invented figures of runs: 50 %, plus one point for every seed and row."""
    runs = {}
    for place, row in enumerate(rows):
        for seed in range(row.seeds):
            miou = 0.5 + 0.01 * place + 0.003 * (seed - 1) * (place + 1)
            metrics = {"test/native/miou": miou, "test/native/iou/soil": 0.9, "test/native/iou/weed": miou - 0.4}
            entry = {"row": row.name, "labels": row.labels, "seed": seed, "settings": study._settings(row)}
            runs[study.key(row, seed)] = {**entry, "best": metrics, "last": metrics}
    study.results.write_text(json.dumps({"runs": runs}))
    return runs


def test_tables_show_means_and_paired_intervals(study):
    rows = [dataclasses.replace(row, seeds=3) for row in MAIN[:3]]
    text = tables({"runs": finish(study, rows), "about": {"cores": 2}})
    line = next(line for line in text.splitlines() if line.startswith(f"| {rows[2].name} |"))
    reach = 4.302653 * statistics.stdev([0.7, 1, 1.3]) / math.sqrt(3)  # of differences in points
    from_imagenet = f"+1.0 [{1 - reach:+.1f}, {1 + reach:+.1f}]"
    from_scratch = f"+2.0 [{2 - 2 * reach:+.1f}, {2 + 2 * reach:+.1f}]"
    assert line.split(" | ")[1:] == ["3", "52.0 ± 0.9", "90.0", "12.0", from_scratch, from_imagenet, " |"]
    assert "| scratch | 3 | 50.0 ± 0.3 |" in text
    assert "Not run yet: " in text


@pytest.mark.parametrize("fails", [None, "b"])
def test_jobs_wait_for_their_predecessors_and_stop_after_a_failure(tmp_path, monkeypatch, fails):
    done = []

    def succeeds(job, logs):
        done.append(job.name)
        return job.name != fails

    monkeypatch.setattr(study_module, "_succeeds", succeeds)
    jobs = [Job("c", [], after="b"), Job("a", []), Job("b", []), Job("d", [], after="c")]
    failed = make(jobs, tmp_path, processes=1)
    assert (done, failed) == ((["a", "b", "c", "d"], []) if fails is None else (["a", "b"], ["b"]))


def test_self_training_follows_the_student_with_its_teacher(smir, tmp_path):
    write_folder(tmp_path / "root", size=(64, 64))
    words = (
        "--data=Folder",
        "--data.root=root",
        "--data.labels=labels",
        "--data.classes=[a,b,c]",
        "--data.crop_size=64",
    )
    network = ("--model.network.encoder=tu-test_efficientnet", "--model.network.decoder_channels=[8,8,8]")
    short = ("--data.num_workers=0", "--trainer.accelerator=cpu", "--model.warmup_epochs=0", "--data.batch_size=7")
    model = "--model=benchmarks.evidence.self_training.SelfTraining"
    for epochs, keep in ((1, 0.0), (1, 1.0)):
        name = f"keep-{keep}"
        smir(
            *("fit", "--allow=benchmarks", model, *words, *network, *short, f"--model.keep={keep}"),
            *(f"--trainer.max_epochs={epochs}", f"--run.experiment={name}", "--run.test=false", "--seed_everything=0"),
        )
        state = torch.load(f"runs/{name}/seed0/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        student = {key: value for key, value in state.items() if key.startswith("network.")}
        same = [torch.equal(value, state[key.replace("network.", "teacher.", 1)]) for key, value in student.items()]
        assert all(same) if keep == 0 else not all(same)


def test_four_views_count_like_the_images_turned_by_hand():
    classes = Classes(["soil", "weed"], [[0, 0, 0], [9, 9, 9]])
    torch.manual_seed(0)
    image, label = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8), torch.randint(2, (2, 64, 64))
    counts = []
    for kind, views in ((FourViews, ((),)), (SegmentationModule, ((), (2,), (1,), (1, 2)))):
        torch.manual_seed(1)
        module = kind(classes, network=lambda channels: UNetStride4(channels, "tu-test_efficientnet", [8, 8, 8])).eval()
        for turned in views:
            pixels = np.flip(image.numpy(), [axis + 1 for axis in turned]).copy()
            labels = np.flip(label.numpy(), turned).copy()
            batch = {"image": torch.from_numpy(pixels), "label": torch.from_numpy(labels), "weight": torch.ones(2)}
            with torch.no_grad():
                module.validation_step(batch, 0)
        counts.append(module.val_confusion.compute())
    assert torch.equal(*counts)
    assert counts[0].sum() == 4 * label.numel()


def test_the_tables_and_the_plot_are_written_into_the_page(study, tmp_path):
    page = tmp_path / "evidence.md"
    page.write_text((Path(__file__).parents[2] / "docs/evidence.md").read_text())
    rows = [*(dataclasses.replace(row, seeds=3) for row in MAIN[:3]), dataclasses.replace(EXPLORED[0], seeds=3)]
    content = {"about": {}, "runs": finish(study, rows)}
    write(content, page)
    text = page.read_text()
    assert text.count("| scratch |") == 4  # four tables
    assert "The study is running." not in text
    assert "| imagenet, selective, frozen encoder | 3 | 53.0" in text
    assert page.with_suffix(".svg").read_text().startswith("<svg")


def test_chosen_labels_are_compared_with_random_ones(study):
    of_chosen = choose.ChosenStudy(study.field, study.held, study.out / "chosen", study.results, None, [])
    names = [f"{number:03d}.jpg" for number in range(0, 60, 3)]
    listed = of_chosen.out / "choices/labels-20-seed0/chosen.txt"
    listed.parent.mkdir(parents=True)
    listed.write_text("".join(f"{name}\n" for name in names))
    assert drawn(of_chosen, 20, 0)["val"] == set(names[4::5])
    assert drawn(of_chosen, 20, 0)["train"] == set(names) - set(names[4::5])
    finish(study, (choose.RANDOM, choose.CHOSEN))
    assert study.jobs([choose.RANDOM]) == of_chosen.jobs([choose.CHOSEN]) == []
    gains = [1 + 0.3 * (seed - 1) for seed in range(6)]
    reach = 2.5706 * statistics.stdev(gains) / math.sqrt(6)
    low, high = statistics.fmean(gains) - reach, statistics.fmean(gains) + reach
    said = choose.table(json.loads(study.results.read_text())["runs"])
    assert f" [{low:+.1f}, {high:+.1f}], 6 draws" in said
    assert "\n| random | best | 49.7 | 50.0 | 50.3 | 50.6 | 50.9 | 51.2 |" in said
