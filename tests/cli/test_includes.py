"""`include:` in config files."""

import pytest
import yaml
from words import QUIET, TINY_NETWORK

from smir.cli.words import expand_includes
from smir.errors import ConfigError


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(name, **content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content))

    return write


def test_included_files_come_first_by_paths_relative_to_the_file(write):
    write("a/row.yaml", include=[{"data": "../data/d.yaml"}, "../base/b.yaml"])
    write("base/b.yaml", include="c.yaml")
    write("base/c.yaml", seed_everything=1)
    write("data/d.yaml", class_path="Folder")
    words = ["fit", "--x=1", "--config", "a/row.yaml", "--y", "2"]
    files = ["--data", "data/d.yaml", "--config", "base/c.yaml", "--config", "base/b.yaml", "--config", "a/row.yaml"]
    assert expand_includes(words) == ["fit", "--x=1", *files, "--y", "2"]
    assert expand_includes(["fit", "--config=a/row.yaml"]) == ["fit", *files]
    assert expand_includes(["fit", "-c", "a/row.yaml"]) == ["fit", *files]
    assert expand_includes(["fit", "--conf", "a/row.yaml"]) == ["fit", *files]


def test_a_file_that_two_files_include_is_read_once(write):
    write("row.yaml", include=["left.yaml", "right.yaml"])
    write("left.yaml", include="shared.yaml")
    write("right.yaml", include="shared.yaml")
    write("shared.yaml", seed_everything=1)
    read = [word for word in expand_includes(["fit", "--config", "row.yaml"]) if word.endswith("yaml")]
    assert read == ["shared.yaml", "left.yaml", "right.yaml", "row.yaml"]


def test_words_of_another_command_are_left_alone(write):
    write("row.yaml", include="shared.yaml")
    write("shared.yaml", seed_everything=1)
    words = ["job", "--run", "r", "--", "fit", "--config", "row.yaml"]
    assert expand_includes(words) == words


@pytest.mark.parametrize(
    ("include", "message"),
    [
        ("nowhere.yaml", r"row\.yaml includes nowhere\.yaml, but there is no file /"),
        ("row.yaml", r"row\.yaml includes row\.yaml: a file cannot include itself"),
        ("round.yaml", r"row\.yaml includes round\.yaml includes row\.yaml: a file cannot"),
        (3, r"row\.yaml has 3 under `include`"),
        ([{"model": "m.yaml"}], r"under `include`; an entry is the path of a config file, \{data: FILE\}"),
    ],
)
def test_wrong_includes_are_refused_by_name(write, include, message):
    write("row.yaml", include=include)
    write("round.yaml", include="row.yaml")
    with pytest.raises(ConfigError, match=message):
        expand_includes(["fit", "--config", "row.yaml"])


def test_include_is_refused_as_an_option(fails):
    assert "is a key of config files" in fails("fit", "--include=a.yaml")


@pytest.mark.parametrize("content", [b"include: [a", b"\xff\xfe\x00"])
def test_a_broken_file_is_named(fails, tmp_path, content):
    (tmp_path / "row.yaml").write_bytes(content)
    assert "row.yaml cannot be read as YAML" in fails("fit", "--config=row.yaml")


@pytest.mark.parametrize(
    ("content", "found"), [("", "nothing"), ("# later\n", "nothing"), ("- a", "a list"), ("a", "'a'")]
)
def test_a_file_without_settings_is_named(fails, tmp_path, content, found):
    (tmp_path / "row.yaml").write_text(content)
    assert f"row.yaml holds {found} in place of settings" in fails("fit", "--config=row.yaml")


def test_the_saved_config_holds_what_was_included(write, smir, field, tmp_path):
    write("shared/model.yaml", model={"class_path": "SegmentationModule", "init_args": {"lr": 0.5, "warmup_epochs": 0}})
    data = {"task": "segment", "crop_size": 64, "num_workers": 0, "label_budget": 4}
    write("shared/data.yaml", class_path="Nassar", init_args={"root": str(field), **data})
    write("rows/row.yaml", include=[{"data": "../shared/data.yaml"}, "../shared/model.yaml"], trainer={"max_epochs": 1})
    smir("fit", "--config=rows/row.yaml", "--run.experiment=x", "--run.variant=y", *TINY_NETWORK, *QUIET)
    saved = tmp_path / "runs/x-y/seed0/config.yaml"
    config = yaml.safe_load(saved.read_text())
    assert "include" not in config
    assert config["model"]["init_args"]["lr"] == 0.5
    smir("test", f"--config={saved}", "--ckpt_path=best")  # its run is found by its recipe, so the config is complete


def test_data_that_a_recipe_after_them_replaces_are_refused(write):
    write("row.yaml", model={"class_path": "M"}, data={"class_path": "Folder", "init_args": {"root": "field"}})
    write("data.yaml", data={"class_path": "Folder", "init_args": {"root": "field2"}})
    expand_includes(["fit", "--config", "row.yaml", "--config", "data.yaml"])
    expand_includes(["fit", "--config", "data.yaml", "--config", "row.yaml", "--data.root=field2"])
    with pytest.raises(ConfigError, match=r"data\.yaml names the images in field2, but row\.yaml, which comes after"):
        expand_includes(["fit", "--config", "data.yaml", "--config", "row.yaml"])
