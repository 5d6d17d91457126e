"""Recipes are found by name, inside a checkout and outside."""

import os
import subprocess
import sys

import pytest
import yaml
from words import EXPERIMENTS, REPOSITORY

from smir.cli.recipes import names
from smir.cli.words import expand_includes


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_file_of_experiments_has_a_name():
    assert names() == sorted(str(path.relative_to(EXPERIMENTS))[:-5] for path in EXPERIMENTS.rglob("*.yaml"))


@pytest.mark.parametrize("name", ["folder/pretrain", "folder/pretrain.yaml", "experiments/folder/pretrain.yaml"])
def test_a_recipe_is_found_by_name(elsewhere, name):
    found = ["fit", "--config", str(EXPERIMENTS / "folder/pretrain.yaml")]
    assert expand_includes(["fit", "--config", name]) == expand_includes(["fit", f"--config={name}"]) == found


def test_a_recipe_is_read_with_its_includes(elsewhere):
    files = ["data/nassar.yaml", "base/segment.yaml", "nassar/segment.yaml", "nassar/segment-scratch.yaml"]
    assert expand_includes(["check", "-c", "nassar/segment-scratch"])[2::2] == [str(EXPERIMENTS / f) for f in files]
    assert expand_includes(["check", "--data", "data/nassar"])[2:] == [str(EXPERIMENTS / "data/nassar.yaml")]
    assert expand_includes(["check", "--data=Folder"]) == ["check", "--data", "Folder"]


def test_a_file_takes_precedence_over_a_recipe_of_the_same_name(elsewhere):
    (elsewhere / "folder").mkdir()
    (elsewhere / "folder/pretrain").write_text("seed_everything: 7\n")
    assert expand_includes(["fit", "--config", "folder/pretrain"]) == ["fit", "--config", "folder/pretrain"]


def test_a_config_of_the_user_includes_a_recipe(elsewhere):
    (elsewhere / "mine.yaml").write_text(yaml.safe_dump({"include": "folder/segment"}))
    recipe = str(EXPERIMENTS / "folder/segment.yaml")
    assert expand_includes(["fit", "--config=mine.yaml"]) == ["fit", "--config", recipe, "--config", "mine.yaml"]


def test_an_unknown_name_is_refused_with_a_similar_one(fails, tmp_path):
    for command in ("fit", "check"):
        said = fails(command, "--config", "folder/pretran")
        assert (
            f"--config folder/pretran: there is no file {tmp_path}/folder/pretran, and no recipe of that name" in said
        )
        assert "Did you mean folder/pretrain" in said


def test_a_folder_in_place_of_a_config_is_refused_and_its_config_is_named(fails, tmp_path):
    (tmp_path / "field").mkdir()
    assert "--config field is a folder; a config is a file.\n" in fails("fit", "--config", "field")
    assert "--config is empty. Give a file, or a recipe" in fails("fit", "--config=")
    (tmp_path / "field/data.yaml").touch()
    assert "a config is a file. Give field/data.yaml." in fails("fit", "--config", "field")


def test_the_recipes_are_listed(smir, fails, capsys):
    """Every recipe has one sentence; those for the user's own images come first."""
    smir("recipes", "folder", "demo")
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    about = dict(line.split(maxsplit=1) for line in lines[:-1])
    assert list(about) == [n for group in ("folder/", "demo/") for n in names() if n.startswith(group)]
    assert about["folder/segment"] == "Segmentation of your own images"
    assert about["folder/segment-imagenet"].startswith("Segmentation of your own images from an encoder trained on Im")
    assert lines[-1].endswith(str(EXPERIMENTS))
    smir("recipes")
    *rows, _, hint = filter(None, capsys.readouterr().out.splitlines())
    assert sorted(row.split()[0] for row in rows) == names()
    assert rows[0].startswith("folder/")
    assert "smir recipes folder" in hint
    sentences = [row.split(maxsplit=1)[1] for row in rows]
    assert not [sentence for sentence in sentences if "include" in sentence or sentence.startswith("Use:")]
    assert "no group nasar of recipes; the groups are ablations, base" in fails("recipes", "nasar")


def test_the_build_holds_the_recipes(tmp_path):
    """The files of the wheel can list the recipes and read one without a checkout."""
    setup = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", tmp_path, "build_py", "--build-lib"]
    subprocess.run([*setup, tmp_path / "lib"], cwd=REPOSITORY, check=True, capture_output=True)
    code = "from smir.cli.recipes import config_file, names; print(len(names()), config_file('folder/pretrain'))"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "lib")}
    said = subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path, env=environment, text=True)
    assert said.split() == [str(len(names())), str(tmp_path / "lib/smir/experiments/folder/pretrain.yaml")]
