"""Typing mistakes, a wrong start, and Ctrl-C: the answer is quick and short, and no files are left behind."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from lightning.pytorch import Callback
from words import EXPERIMENTS, pretrain_words, segment_words, selective_words

from smir.__main__ import MODULES, TRAINING
from smir.cli import training_run
from smir.cli.callback_checks import check_callback
from smir.cli.command_line import ParsedCLI, run_cli
from smir.cli.options import check_options
from smir.cli.words import as_meant
from smir.data.reading import parallel
from smir.training.health import LearningHealth

PRETRAIN = f"--config={EXPERIMENTS / 'folder/pretrain.yaml'}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("fit --data.batchsize 4", "There is no option --data.batchsize. Did you mean --data.batch_size?"),
        ("fit --model.learning_rate=3", "There is no option --model.learning_rate. Did you mean --model.lr?"),
        ("fit --model.init_args.backbone=x", "There is no option --model.init_args.backbone.\n"),
        ("fit --modle.lr=3", "There is no option --modle.lr. Did you mean --model.lr?"),
        ("fit --trainer.max_epoch 3", "Did you mean --trainer.max_epochs?"),
        ("fit --max_epochs 3", "There is no option --max_epochs. Did you mean --trainer.max_epochs?"),
        ("fit --epochs 3", "There is no option --epochs. Did you mean --trainer.max_epochs?"),
        ("fit --model.encoder resnet18", "Did you mean --model.network.encoder?"),
        ("fit --data.patch_size 16", "Did you mean --data.num_patches?"),
        ("fit --mask_ratio=0.75", "Did you mean --data.mask.ratio?"),
        ("predict --images photos", "Did you mean --data.predict_images?"),
        ("fit --resume", "There is no option --resume.\n"),
        ("fit --batch_size=3", "Did you mean --data.batch_size?"),
        ("fit --run.varriant x", "Did you mean --run.variant?"),
        ("fit --model.network.encodr x", "Did you mean --model.network.encoder?"),
        ("fit --data Foldr", "--data names Foldr, but smir has no such class. Did you mean Folder?"),
        ("fit --model.network UNetStrid4", "Did you mean UNetStride4?"),
        (
            "fit --model.loss FocalLos",
            "no such class. Did you mean FocalLoss?",
        ),
        ("fit --model.init_args.loss=smir.method.FocalLos", "loss names smir.method.FocalLos, but smir has"),
        ("fit --trainer.callbacks.policy HardestMsk", "Did you mean HardestMask?"),
        ("fit --trainer.callbacks.score=smir.method.VarianceScor", "Did you mean VarianceScore?"),
        ("prepare folder --imags photos", "Did you mean --images?"),
        ("inspect --ckptt x", "Did you mean --ckpt?"),
        ("check --dta.root field", "Did you mean --data.root?"),
    ],
)
def test_a_mistyped_name_gets_a_suggestion_in_at_most_three_lines(fails, words, said):
    answer = fails(*words.split(), code=2)
    assert said in answer
    assert len(answer.splitlines()) <= 3


def test_images_without_their_option_are_answered_with_it(fails):
    said = fails("predict", "--ckpt=best.ckpt", "my photos", code=2)
    assert "Images are given with their option: --data.predict_images 'my photos'" in said


def test_a_mistyped_folder_of_a_dataset_gets_a_suggestion(fails, tmp_path):
    (tmp_path / "field").mkdir()
    (tmp_path / "field/data.yaml").touch()
    assert "Did you mean field/data.yaml?" in fails("fit", "--config=folder/few-labels", "--config=feld/data.yaml")


def test_a_mistyped_name_in_a_config_gets_a_suggestion_in_at_most_three_lines(fails, tmp_path):
    (tmp_path / "mine.yaml").write_text("model: {class_path: smir.training.SegmentationModul}\n")
    answer = fails("fit", "--config=mine.yaml", code=2)
    assert "mine.yaml: class_path names smir.training.SegmentationModul, but smir has no such class. Did you" in answer
    assert len(answer.splitlines()) <= 3


def test_a_wrong_option_is_found_before_torch_is_imported():
    program = "import sys; from smir.__main__ import main; sys.argv[1:] = ['fit', '--data.batchsize', '4']\n"
    program += "try: main()\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("data.crop_size=abc", "--data.crop_size takes a whole number, not abc."),
        ("data.min_side=12.5", "--data.min_side takes a whole number or null, not 12.5."),
        ("data.predict.window=x", "--data.predict.window takes a whole number or null, not x."),
        ("data.on_bad_image=foo", "--data.on_bad_image takes error or skip, not foo."),
        ("data.cache=maybe", "--data.cache takes true or false, not maybe."),
        ("model.loss.smooth=x", "--model.loss.smooth takes a number, not x."),
        ("trainer.max_epochs=ten", "--trainer.max_epochs takes a whole number or null, not ten."),
        ("trainer.limit_train_batches=x", "--trainer.limit_train_batches takes a number or null, not x."),
    ],
)
def test_an_invalid_value_is_answered_in_one_line(fails, field, option, said):
    answer = fails(*segment_words(field, f"--{option}"), code=2)
    assert answer == f"smir: error: {said}\npython -m smir fit --help lists the options.\n"


def test_an_invalid_value_of_a_plain_command_is_answered_in_one_line(fails):
    answer = fails("prepare", "folder", "--images=photos", "--tile=large", code=2)
    said = "smir: error: --tile takes a whole number or null, not large.\npython -m smir prepare folder --h"
    assert answer.startswith(said)


@pytest.mark.parametrize(("classes", "read"), [("[no, yes]", "False"), ("[soil, 12]", "12"), ("[null, soil]", "None")])
def test_classes_in_a_config_that_yaml_takes_for_other_values(fails, tmp_path, classes, read):
    given = f"{{class_path: Folder, init_args: {{root: ., images: a, labels: b, classes: {classes}}}}}"
    (tmp_path / "data.yaml").write_text(f"data: {given}")
    answer = fails("check", f"--config={tmp_path}/data.yaml", code=2)
    assert f"other values, here {read}. Quote them: 'no'." in answer


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("model.lr=", "--model.lr takes a number, not nothing."),
        ("data.batch_size=8.0", "--data.batch_size takes a whole number, not 8.0."),
        ("data.label_budget=None", "data.label_budget is a count or a share, got 'None'. To leave it unset: null."),
        ("data.mean=[1,2]", "--data.mean takes a list of 3 values, not [1, 2]."),
        ("data.budget_seed=5", "--data.budget_seed takes split or run, not 5."),
        ("data.mask.ratio=half", "--data.mask.ratio takes a number, not half."),
        ("model.network.decoder_channels=[16,x]", "Each value of --model.network.decoder_channels must be a whole"),
        (
            "model.class_weights=high",
            "--model.class_weights takes auto, a list, pairs '{NAME: VALUE}' or null, not high",
        ),
        ("trainer.max_epochs=1e0", "--trainer.max_epochs takes a whole number or null, not 1e0."),
        ("model.lr=[1]", "--model.lr takes a number, not [1]."),
        ("data.mean=abc", "--data.mean takes a list, not abc."),
        ("data.label_budget=[]", "data.label_budget = []: a whole number is a count of 1 or more, a number with"),
        ("model.class_weights={soil: high}", "Each value of --model.class_weights must be a number; got {'soil':"),
        ("model.loss=SumOfLosses", "SumOfLosses cannot be made without its option losses. Give that, too.\n"),
        ("trainer.callbacks+=EarlyStopping", "EarlyStopping cannot be made without its option monitor. Give that"),
    ],
)
def test_a_wrong_value_is_answered_with_what_the_option_takes(fails, field, option, said):
    assert fails(*segment_words(field, f"--{option}"), code=2).startswith(f"smir: error: {said}")


def test_an_option_of_another_class_is_refused_with_the_options_of_the_class(fails, field, tmp_path):
    answer = fails(*segment_words(field, "--model.loss=FocalLoss", "--model.loss.class_weights=auto"), code=2)
    assert answer.startswith("smir: error: FocalLoss has no option class_weights. Its options are: gamma, void.\n")
    loss = "{class_path: smir.method.SoftJaccardLoss, init_args: {gamma: 2}}"
    (tmp_path / "loss.yaml").write_text(f"model: {{init_args: {{loss: {loss}}}}}")
    answer = fails(*segment_words(field, f"--config={tmp_path}/loss.yaml"), code=2)
    assert "SoftJaccardLoss has no option gamma. Its options are: smooth, void." in answer


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("num_stages=ten", "error: --trainer.callbacks.num_stages takes a whole number, not ten.\n"),
        ("policy=plans.Maks", "\nThe module plans has no class Maks. Did you mean Mask?\n"),
        (
            "policy=nowhere.Mask",
            "\nPython finds no module nowhere. Install it, or add the folder that",
        ),
        (
            "policy=HardstMask",
            "\nThere is no class HardstMask. Did you mean HardestMask? A class of your own needs its",
        ),
        ("policy=plans.Mask", "Expected an instantiatable class, but is abstract"),
    ],
)
def test_a_wrong_value_of_a_callback_is_not_taken_for_a_wrong_option(fails, field, tmp_path, monkeypatch, option, said):
    """The parser also tries the option on the base class of the callbacks, which has no options."""
    (tmp_path / "plans.py").write_text("from smir.method import MaskPolicy\nclass Mask(MaskPolicy): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    words = selective_words(field, "--allow=plans", "--allow=nowhere", f"--trainer.callbacks.{option}")
    answer = fails(*words, code=2)
    assert said in answer
    assert "has no option" not in answer


def test_an_option_of_callbacks_needs_a_callback(fails, field):
    answer = fails(*segment_words(field, "--trainer.callbacks.num_stages=2"), code=2)
    assert "error: An option of trainer.callbacks needs a callback before it: --trainer.callbacks+=CLASS\n" in answer


def test_the_options_of_a_class_include_those_of_its_base(fails, field, tmp_path):
    (tmp_path / "rate.yaml").write_text("model: {init_args: {learning_rate: 0.1}}")
    answer = fails(*segment_words(field, f"--config={tmp_path}/rate.yaml"), code=2)
    assert "SegmentationModule has no option learning_rate. Its options are: loss, class_weights, " in answer
    assert "network, lr, warmup_epochs, weights," in answer


def test_the_check_of_options_accepts_every_option_of_the_parsers():
    for command in TRAINING:
        parser = run_cli([command, f"--config={EXPERIMENTS / 'demo/segment.yaml'}"], ParsedCLI).parser
        (choices,) = (action.choices for action in parser._actions if action.dest == "subcommand")
        for option in choices[command]._option_string_actions:
            check_options([command, option], None, any_class=False)
    for words in ("inspect --ckpt=x --policy.ratio=1 --data.root=x", "job --run=x -- fit --any", "plan --seeds=0"):
        check_options(words.split(), MODULES[words.split()[0]], any_class=False)


def test_a_mistyped_encoder_gets_a_suggestion(fails, field, tmp_path):
    answer = fails(*pretrain_words(field, "--model.network.encoder=resnet34x"))
    assert "has no encoder 'resnet34x'. Did you mean resnet34" in answer
    assert not (tmp_path / "runs").exists()


def test_a_small_shared_memory_is_noticed_and_the_failed_start_leaves_no_folder(fails, field, tmp_path, monkeypatch):
    real = shutil.disk_usage
    small = SimpleNamespace(free=10**6)
    monkeypatch.setattr(parallel.shutil, "disk_usage", lambda path: small if path == "/dev/shm" else real(path))
    answer = fails(*pretrain_words(field, "--data.num_workers=3"))
    assert "/dev/shm has 1 MB free, but data.num_workers = 3 loader processes put" in answer
    assert "--data.num_workers 0, or give the container more: docker run --shm-size" in answer
    assert not (tmp_path / "runs").exists()


def test_a_slurm_job_of_several_tasks_needs_srun(fails, monkeypatch):
    for name, value in {"NTASKS": "2", "JOB_ID": "1", "JOB_NAME": "train", "PROCID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    answer = fails("fit", PRETRAIN)
    assert "This SLURM job has 2 tasks (SLURM_NTASKS), but srun did not start them" in answer
    assert "sbatch --ntasks=1" in answer


@pytest.mark.parametrize(
    ("epoch", "kept"), [(0, "No epoch was kept."), (1, "keeps the training up to epoch 1 (last.ckpt).")]
)
def test_after_ctrl_c_the_message_says_what_is_kept_and_how_to_continue(fails, field, monkeypatch, epoch, kept):
    def press(callback, trainer, module):
        if trainer.current_epoch == epoch:
            raise KeyboardInterrupt

    monkeypatch.setattr(LearningHealth, "on_train_epoch_start", press)
    words = pretrain_words(field, "--trainer.max_epochs=3", "--run.experiment=a b")
    answer = fails(*words, code=130)
    assert kept in answer
    assert answer.endswith(f": python -m smir {shlex.join(words)}\n")
    answer = fails("--allow", "json", *words, code=130)
    assert "smir: fit was interrupted." in answer
    assert answer.endswith(f": python -m smir --allow json {shlex.join(words)}\n")


def test_ctrl_c_before_the_run_is_opened_does_not_say_that_nothing_was_kept(fails, field, monkeypatch):
    """The run may have epochs of an earlier process."""

    def press(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(training_run, "agree_on_run", press)
    answer = fails(*pretrain_words(field), code=130)
    assert "\nThe training had not begun. This begins or continues it: python -m smir fit" in answer


def test_a_pipe_that_is_closed_early_is_not_an_error(tmp_path):
    """As in `python -m smir recipes | head -1`."""
    command = f"{sys.executable} -m smir recipes | head -1"
    done = subprocess.run(command, shell=True, cwd=EXPERIMENTS.parent, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_a_forgotten_word_is_suggested(fails, tmp_path):
    (tmp_path / "data.yaml").touch()
    said = fails("prepare", "--images", "photos", code=2)
    assert "If photos holds images of your own: python -m smir prepare folder --images photos" in said
    said = fails("fit", PRETRAIN, "data.yaml", code=2)
    assert "A config is given with its option: --config data.yaml\npython -m smir fit --help lists" in said


def test_a_file_name_in_place_of_a_list_is_refused_with_an_example_of_a_list(fails):
    said = fails("prepare", "folder", "--images=photos", "--classes=class_dict.csv", code=2)
    assert (
        "--classes takes a list, not class_dict.csv.\nA list is written in brackets: '[class_dict.csv, ...]'." in said
    )
    said = fails("prepare", "folder", "--images=photos", "--classes=background,crop", code=2)
    assert "A list is written in brackets: '[background, crop]'.\npython -m smir prepare folder --help lists" in said
    said = fails("fit", PRETRAIN, "--data.root=.", "--trainer.callbacks=Nope", code=2)
    assert "Expected a dot import path string: Nope" in said  # a class would have been right, too


def test_a_callback_of_another_package_may_watch_several_values():
    callback = Callback()
    callback.monitor = ["val/loss", "val/miou"]
    check_callback(callback, SimpleNamespace(), [callback])


def test_a_user_without_a_home_folder_can_run_commands(monkeypatch):
    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", home)
    assert as_meant(["fit", "--ckpt=a"], "ckpt_path") == ["fit", "--ckpt_path=a"]
