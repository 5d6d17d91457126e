"""Whole commands, started as users start them."""

import csv
import json
import os
import subprocess
import sys
import tempfile

import fake_runs
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch._utils import ExceptionWrapper
from words import EXPERIMENTS, REPOSITORY, pretrain_words, segment_words, selective_words

from smir.__main__ import main, user_message
from smir.cli.settings import Parser, RunOptions
from smir.errors import DataError
from smir.models.networks import UNetStride4
from smir.training.segmentation import SegmentationModule


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_overview_names_every_command(capsys):
    main(["--help"])
    text = capsys.readouterr().out
    assert all(name in text for name in ("fit", "validate", "test", "predict", "prepare", "report"))


@pytest.mark.parametrize(("before", "after"), [(None, "passive"), ("active", "active")])
def test_threads_wait_passively_unless_the_user_says_otherwise(monkeypatch, before, after):
    monkeypatch.setenv("OMP_WAIT_POLICY", before or "")  # restored after the test, also if it was not set
    if before is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    main(["--version"])
    assert os.environ["OMP_WAIT_POLICY"] == after


def test_a_python_without_the_requirements_says_what_to_activate():
    root = REPOSITORY
    words = [sys.executable, "-S", "-m", "smir", "--help"]  # -S: without the installed packages
    found = subprocess.run(words, cwd=root, env={}, capture_output=True, text=True)
    assert found.returncode == 1
    assert "has no package 'yaml'. Activate the environment" in found.stderr
    assert "Traceback" not in found.stderr


def test_unknown_command_is_refused(fails):
    assert "no command 'fitt'" in fails("fitt", code=2)


@pytest.mark.parametrize(
    "words",
    [
        [],
        [f"--config={EXPERIMENTS / 'demo' / 'random.yaml'}"],
        ["--model=ReconstructionModule"],
        ["--model.lr=0.001", "--data=Folder"],
        ["--model=ReconstructionModule", "--data.root=somewhere"],
    ],
)
def test_settings_without_a_model_or_data_say_how_to_name_them(fails, words):
    assert "do not say which model and which data. Add configs" in fails("fit", *words)


@pytest.mark.parametrize("command", ["predict", "recipes"])
def test_help_has_whole_sentences_and_no_control_characters(smir, capsys, command):
    with pytest.raises(SystemExit):
        smir(command, "--help")
    text = capsys.readouterr().out
    assert "--print_config[=flags]" in text
    assert "Useful to" not in text
    assert text.replace("\n", "").isprintable()


def test_class_help_is_the_docstring(smir, capsys):
    with pytest.raises(SystemExit):
        smir("fit", "--data.help=Folder")
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("usage: python -m smir --data.root ROOT ")
    assert "Folder of the labels, relative to the root" in said


def test_parser_defaults_are_computed_once_and_follow_changes():
    parser = Parser()
    parser.add_argument("--options", type=RunOptions, default=RunOptions())
    found = parser.get_defaults()
    found.options.variant = "changed by a caller"
    assert parser.get_defaults().options.variant is None
    parser.add_argument("--more", default=1)
    assert parser.get_defaults().more == 1
    parser.set_defaults(more=2)
    assert parser.get_defaults().more == 2


def test_a_pretraining_leads_to_a_segmentation_predictions_and_a_report(smir, field, tmp_path, caplog):
    smir(*pretrain_words(field, "--run.experiment=demo/random", "--trainer.max_epochs=2"))
    weights = tmp_path / "runs/demo/random/seed0/checkpoints/best.ckpt"
    with caplog.at_level("INFO"):
        smir(*segment_words(field, "--run.experiment=demo/segment-random", f"--model.weights={weights}"))
    assert "tensors loaded, 2 new in the network (segmentation_head.weight, segmentation_head.bias)" in caplog.text
    run = tmp_path / "runs/demo/segment-random/seed0"
    record = json.loads((run / "run.json").read_text())
    assert record["inputs"]["weights"]["experiment"] == "demo/random"
    assert record["inputs"]["data"]["train"]["images"] == 8
    test = json.loads((run / "test/metrics.json").read_text())
    per_class = [test["metrics"][f"test/view/iou/{name}"] for name in test["classes"]]
    known = [value for value in per_class if value is not None]
    assert test["metrics"]["test/view/miou"] == pytest.approx(sum(known) / len(known), abs=1e-6)
    counts = np.genfromtxt(run / "test/confusion-native.csv", delimiter=",", skip_header=1)[:, 1:]
    assert counts.sum() == 3 * 256 * 256
    parts = {name.split("/")[1] for name in test["metrics"]}
    assert parts == {"view", "native", "boundary", "small", "medium", "large"}
    assert (run / "test/overlay-0.png").is_file()

    smir("predict", *segment_words(field, "--run.experiment=demo/segment-random")[1:], "--ckpt_path=best")
    names = (field / "nassar/tiled_dataset/train/data_list/test.txt").read_text().split()
    for name in names:
        with Image.open(run / "predict/nassar/tiled_dataset/train/data" / f"{name}.png") as image:
            assert image.mode == "P"
            assert image.size == (256, 256)
            assert set(np.unique(np.asarray(image))) <= {0, 1, 2}
            assert image.getpalette()[3:9] == [60, 180, 75, 230, 25, 75]

    smir("report", "runs", "--out=report")
    rows = {row["init"]: row for row in rows_of(tmp_path / "report/tables/main-paper.csv")}
    figure = "Nassar 2020, 8 labels: 64-pixel view"
    assert float(rows["random"][figure]) == pytest.approx(100 * test["metrics"]["test/view/miou"], abs=1e-6)
    assert list(rows) == ["random"]
    assert "16 image visits" in (tmp_path / "report/report.md").read_text()  # two epochs of two batches of four
    assert (tmp_path / "report/index.html").read_text().count("<img") == 2 + 1  # overlays, and final.png of demo/random
    source = fake_runs.pretraining(tmp_path / "fake", "Nassar", "random").write()
    fake = fake_runs.segmentation(tmp_path / "fake", "Nassar", "random", 0, source.weights(), budget=8).write()
    assert fake_runs.unlike(fake.folder, run) == []


def test_options_override_config_files_defaults_and_checkpoints(smir, field, tmp_path):
    smir(*segment_words(field, "--run.experiment=a", "--model.lr=0.25", "--run.test=false"))
    config = yaml.safe_load((tmp_path / "runs/a/seed0/config.yaml").read_text())
    assert config["model"]["init_args"]["lr"] == 0.25
    checkpoint = tmp_path / "runs/a/seed0/checkpoints/last.ckpt"
    words = segment_words(field, "--run.experiment=b", "--model.lr=0.125", "--trainer.max_epochs=3")
    smir(*words, f"--ckpt_path={checkpoint}", "--run.test=false")
    rows = rows_of(tmp_path / "runs/b/seed0/metrics.csv")
    assert [row["epoch"] for row in rows] == ["2"]
    assert float(rows[0]["lr"]) == pytest.approx(0.125 * (0.01 + 0.99 * 0.5))


def test_the_config_of_a_run_holds_one_normalisation_and_leads_to_the_same_run(smir, field, tmp_path, capsys):
    smir(*segment_words(field, "--run.experiment=a", "--run.test=false", "--data.mean=[0.3, 0.4, 0.2]"))
    config = tmp_path / "runs/a/seed0/config.yaml"
    settings = yaml.safe_load(config.read_text())
    assert "preprocessing" not in settings["model"]["init_args"]
    assert settings["data"]["init_args"]["mean"] == [0.3, 0.4, 0.2]
    module = SegmentationModule.from_checkpoint(config.parent / "checkpoints/best.ckpt")
    assert module.preprocessing.mean == (0.3, 0.4, 0.2)
    capsys.readouterr()
    smir("fit", f"--config={config}")
    assert "has finished before" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "runs/a").iterdir()] == ["seed0"]
    smir("predict", f"--config={config}", "--ckpt_path=best")
    assert (config.parent / "predict/preview.png").is_file()


@pytest.mark.parametrize("command", ["test", "predict", "validate"])
def test_commands_that_need_trained_weights_refuse_to_run_without_them(fails, field, command):
    assert "needs trained weights: --ckpt" in fails(command, *segment_words(field)[1:])


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("accelerator=nonsense", "invalid accelerator name"),
        ("devices=-4", "int > 0"),
        ("strategy=nonsense", "invalid strategy name"),
        ("profiler=nonsense", "profiler"),
        ("callbacks=[EMAWeightAveraging,EMAWeightAveraging]", "more than one stateful callback"),
    ],
)
def test_settings_that_lightning_refuses_end_in_an_error_without_a_traceback(fails, field, setting, words):
    said = fails(*segment_words(field, f"--trainer.{setting}"))
    assert "smir: error: Lightning's trainer refuses its settings" in said
    assert words in said


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="no GPU may be here")
@pytest.mark.parametrize("name", ["gpu", "cuda"])
def test_an_accelerator_that_is_missing_is_answered_with_auto(fails, field, name):
    words = segment_words(field, f"--trainer.accelerator={name}")
    assert "`--trainer.accelerator auto` takes what this machine has." in fails(*words)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--trainer.strategy=ddp_notebook"], "in copies of this process, which would not learn that it has finished"),
        (["--trainer.strategy=ddp_spawn", "--trainer.devices=2"], "Use --trainer.strategy ddp."),
        (["--trainer.num_nodes=2"], "nothing has started the processes of several nodes; this one would wait"),
    ],
)
def test_processes_that_smir_cannot_follow_are_refused(fails, field, tmp_path, more, said):
    assert said in fails(*segment_words(field, *more))
    assert not (tmp_path / "runs").exists()


def test_more_processes_of_torchrun_than_devices_are_refused(fails, field, tmp_path, monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    said = fails(*segment_words(field))
    assert "torchrun has started 4 processes, but the settings are for 1:" in said
    assert "Add --trainer.devices 2" in said
    assert not (tmp_path / "runs").exists()


@pytest.fixture(scope="module")
def of_a_pretraining(field, tmp_path_factory):
    """A checkpoint of a pretraining, which tests only read."""
    root = tmp_path_factory.mktemp("pretrained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["smir"])
        main(pretrain_words(field, "--run.experiment=p", "--trainer.max_epochs=2", f"--run.root={root}"))
    return root / "p/seed0/checkpoints/last.ckpt"


def test_a_pretraining_checkpoint_cannot_be_tested_as_a_segmentation(fails, field, of_a_pretraining):
    said = fails("test", *segment_words(field)[1:], f"--ckpt_path={of_a_pretraining}")
    assert "checkpoint of the task 'pretrain'" in said
    assert "--model.weights" in said


def test_results_of_other_settings_or_images_go_to_a_separate_folder(smir, field, tmp_path):
    """A second test or prediction with other settings or images keeps the files of the first."""
    words = segment_words(field, "--run.experiment=s")
    smir(*words)
    run = tmp_path / "runs/s/seed0"
    first = (run / "test/metrics.json").read_bytes()
    smir("test", *words[1:], "--ckpt_path=best", "--data.label_map={0: 1, 1: 0}")
    assert (run / "test/metrics.json").read_bytes() == first
    smir("predict", *words[1:], "--ckpt_path=best")
    smir("predict", *words[1:], "--ckpt_path=best", f"--data.predict_images={field / 'nassar/ortho_tiles'}")
    kinds = sorted(path.name.split("-")[0] for path in run.iterdir() if path.name.startswith(("test", "predict")))
    assert kinds == ["predict", "predict", "test", "test"]


def test_a_checkpoint_of_another_task_is_refused_before_anything_is_written(fails, field, tmp_path, of_a_pretraining):
    said = fails(*segment_words(field, "--run.experiment=s", f"--ckpt_path={of_a_pretraining}"))
    assert "checkpoint of the task 'pretrain'" in said
    assert not (tmp_path / "runs/s").exists()


def test_fast_dev_run_of_the_shipped_configs_writes_no_files(smir, field, tmp_path, monkeypatch):
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    smir(*selective_words(field, "--trainer.fast_dev_run=true"))
    smir(*segment_words(field, "--trainer.fast_dev_run=true", "--model.warmup_epochs=3"))
    assert not (tmp_path / "runs").exists()
    assert not list(temporary.glob("smir-*"))


def test_an_smp_architecture_is_trained_by_name(smir, field, tmp_path):
    smir(
        *segment_words(field, "--run.experiment=fpn", "--trainer.fast_dev_run=1"),
        "--model.network=smir.models.networks.SmpNetwork",
        "--model.network.architecture=FPN",
        "--model.network.encoder=mobilenet_v2",
    )
    assert not (tmp_path / "runs").exists()


def test_imagenet_weights_from_a_local_file_are_loaded(smir, field, tmp_path, caplog):
    network = UNetStride4(3, "tu-test_efficientnet", [16, 16, 16])
    torch.save(network.encoder.state_dict(), tmp_path / "imagenet.pth")
    with caplog.at_level("INFO"):
        smir(
            *segment_words(field, "--run.experiment=i", "--run.test=false"),
            f"--model.weights={tmp_path / 'imagenet.pth'}",
        )
    assert f"imagenet.pth: {len(network.encoder.state_dict())} tensors loaded" in caplog.text


def test_the_message_of_a_loader_worker_is_shown_without_its_traceback():
    try:
        raise DataError("The image x.png is damaged.")
    except DataError:
        wrapped = ExceptionWrapper(where="in DataLoader worker process 0")
    with pytest.raises(DataError) as raised:
        wrapped.reraise()
    assert user_message(raised.value) == "The image x.png is damaged."
