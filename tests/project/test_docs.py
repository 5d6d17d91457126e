"""The documentation is correct: its links have targets, its commands parse, its Python runs, its messages exist."""

import ast
import importlib
import itertools
import re
import subprocess
from functools import lru_cache
from pathlib import Path

import pytest
import yaml
from documents import PAGES, ROOT, anchors, blocks, lines, links, make_targets, name_of, prose, section, smir_words
from fakes import photo, save
from jsonargparse import capture_parser
from PIL import Image
from words import EXPERIMENTS, QUIET, TINY_NETWORK, pretrain_words, segment_words

from smir.__main__ import MODULES, PLAIN, TRAINING, main
from smir.cli.plain import _words
from smir.cli.words import expand_includes
from smir.errors import ConfigError
from smir.runs.mask_files import load_masks

every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


@every_page
def test_links_have_a_target(page):
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), f"{name_of(page)} links to {target}"
        if anchor:
            assert anchor in anchors(file), f"{name_of(page)} links to {target}"


# Commands.


@lru_cache
def parser_of(command):
    """Returns the parser that `main` uses for the words of a command."""
    return capture_parser(lambda: main([command]))


@pytest.fixture
def parses(tmp_path, monkeypatch):
    """Parses a command of a page as `main` would, with stand-ins for the configs that earlier commands write."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").symlink_to(EXPERIMENTS)
    data = {"class_path": "Folder", "init_args": {"root": "field", "labels": "masks", "classes": ["soil", "weed"]}}

    def parse(words):
        words = list(itertools.chain.from_iterable(map(_without_placeholders, words)))
        for flag, value in itertools.pairwise(words):
            path = Path(value)
            if flag in ("--config", "--data") and path.suffix == ".yaml" and not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                run = {"include": [str(EXPERIMENTS / "folder/segment.yaml")]} if path.name == "config.yaml" else {}
                path.write_text(yaml.safe_dump({**run, "data": data}))
        words = expand_includes(words)
        command = words[0]
        if command in TRAINING:
            parser_of(words[0]).parse_args(words)
        else:
            parser_of(command).parse_args(_words(importlib.import_module(MODULES[command]), words[1:]))

    return parse


def _without_placeholders(word):
    """`...` and `<experiment>.yaml` stand for any experiment; other names in angle brackets stand for anything."""
    if word == "...":
        return ["--config", "experiments/folder/segment.yaml"]
    return [word.replace("<experiment>.yaml", "experiments/folder/segment.yaml")]


@every_page
def test_commands_parse(page, parses):
    """If a block continues a line with `...`, a config in its place lets the options be checked."""
    for block in blocks(page):
        if block.language not in ("sh", ""):
            continue
        for line in lines(block.text):
            if line.startswith(("python", "sbatch", "torchrun", "NODES")) and (words := smir_words(line)) is not None:
                try:
                    parses(words)
                except (SystemExit, ConfigError) as error:
                    stopped = error.code if isinstance(error, SystemExit) else error
                    assert stopped == 0, f"{name_of(page)}, below line {block.line}: {line}"


def test_a_wrong_option_does_not_parse(parses):
    """Shows that the test above can fail."""
    for words in (["fit", "--config", "experiments/folder/pretrain.yaml", "--data.rot", "x"], ["report", "--to", "x"]):
        with pytest.raises(SystemExit) as exit_:
            parses(words)
        assert exit_.value.code == 2


@every_page
def test_commands_in_a_sentence_exist(page):
    for command in re.findall(r"`(?:python -m )?smir ([a-z]\w*)", prose(page)):
        assert command in {**TRAINING, **PLAIN}, f"{name_of(page)} names smir {command}, which does not exist"


@lru_cache
def _targets():
    printed = subprocess.run(["make", "-pn", "help"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return set(re.findall(r"^([a-z][\w-]*):(?!=)", printed, re.MULTILINE))


@every_page
def test_targets_of_make_exist(page):
    shell = "\n".join(block.text for block in blocks(page) if block.language == "sh")
    inline = "\n".join(code for code in re.findall(r"`([^`\n]+)`", prose(page)) if code.startswith("make "))
    for target in make_targets(f"{shell}\n{inline}"):
        assert target in _targets(), f"{name_of(page)} names make {target}, which does not exist"


# Other code.


@every_page
def test_python_compiles_and_imports(page):
    for block in blocks(page):
        if block.language == "python":
            tree = ast.parse(block.text)
            imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
            exec(compile(ast.Module(imports, []), f"{name_of(page)}:{block.line}", "exec"), {})


@every_page
def test_yaml_blocks_are_valid(page):
    for block in blocks(page):
        if block.language == "yaml":
            assert yaml.safe_load(block.text) is not None, f"{name_of(page)}:{block.line}"


def test_the_trained_networks_of_the_library_page_run(smir, field, tmp_path):
    smir(*pretrain_words(field, "--run.experiment=field/selective", "--trainer.max_epochs=2"))
    smir(*segment_words(field, "--run.experiment=field/segment", "--run.test=false"))
    Image.open(next((field / "nassar/ortho_tiles").glob("*.png"))).save(tmp_path / "photo.jpg")
    names = {}
    exec(section(ROOT / "docs/library.md", "Trained networks")[0].text, names)
    assert names["scores"].shape == names["mask"].shape == (len(names["grid"]),)
    assert names["mask"].sum() == len(names["grid"]) // 2
    assert names["labels"].shape == names["image"].shape[:2]


def test_the_method_of_the_library_page_runs_in_under_40_lines():
    (block,) = section(ROOT / "docs/library.md", "Patches, scores, masks and the loss")
    assert len([line for line in block.text.splitlines() if line.strip()]) < 40
    names = {}
    exec(block.text, names)
    count = len(names["grid"]) // 2
    assert (names["hardest"].sum(dim=1) == count).all()
    assert names["random"].sum() == count
    assert names["loss"].isfinite()


def test_the_stages_of_the_library_page_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(8):
        save(tmp_path / f"photos/{number}.png", photo(f"library {number}", (192, 224)))
    (block,) = (b for b in section(ROOT / "docs/library.md", "Stages in your own LightningModule") if b.language)
    exec(block.text.replace("crop_size=192", "crop_size=192, num_workers=0"), {})
    assert load_masks(tmp_path / "my-run/masks/stage-01.npz").indices.tolist() == [1, 3, 5, 7]
    assert (tmp_path / "my-run/images/stage-01.png").is_file()


def test_the_classes_of_the_library_page_train_and_are_inspected(smir, field, tmp_path, monkeypatch):
    module, commands = section(ROOT / "docs/library.md", "Your own classes in a config")
    (tmp_path / "mine.py").write_text(module.text)
    monkeypatch.syspath_prepend(tmp_path)
    fit, inspect = (smir_words(line.removeprefix("PYTHONPATH=code ")) for line in lines(commands.text))
    small = ["--trainer.max_epochs=2", "--model.warmup_epochs=0", "--data.num_workers=0", "--data.batch_size=4"]
    smir(*fit, f"--data.root={field}", *small, *QUIET)
    masks = load_masks(tmp_path / "runs/demo/selective/seed0/masks/stage-01.npz")
    assert masks.packed(1).unpack()[1].sum() == 220
    smir(*inspect, "--limit=1", "--device=cpu")
    assert (tmp_path / "inspect/index.html").is_file()


def test_the_commands_of_the_readme_for_own_images_run(smir, field, imagenet, tmp_path):
    """The commands as in the README, plus options that make them small."""
    labelled = field / "nassar/tiled_dataset/train"
    for name, source in (("photos", "data"), ("annotations", "mask")):
        (tmp_path / name).symlink_to(labelled / source)
    small = ["--data.num_workers=0", "--model.warmup_epochs=1", *TINY_NETWORK, *QUIET]
    extra = {
        "few-labels": [*small, "--data.batch_size=2", "--data.crop_size=64", "--trainer.max_epochs=2"],
        "few-labels-pretrain": [*small, "--data.batch_size=2", "--trainer.max_epochs=4"],
        "few-labels-segment": [*small, "--data.batch_size=2", "--data.crop_size=64", "--trainer.max_epochs=2"],
        "config.yaml": QUIET,
        "export": ["--formats=pt2"],  # ONNX: the same walk in test_your_data
    }
    for block in section(ROOT / "README.md", "Your own images"):
        for words in filter(None, map(smir_words, lines(block.text))):  # `make setup` is only for readers
            config = Path(words[words.index("--config") + 1]).name if "--config" in words else None
            smir(*words, *extra.get(config or words[0], []))
    assert list((tmp_path / "runs/field/few-labels/seed0/predict").glob("*.png"))
    assert (tmp_path / "runs/field/few-labels-segment/seed0/DONE").is_file()
    assert (tmp_path / "inspect/index.html").is_file()
    assert (tmp_path / "exported/run_pt2.py").is_file()


# Messages.


def _templates(folder):
    """Returns every text of the source, with … for the parts that are filled in."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                yield "".join(map(str, parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_quoted_messages_exist():
    templates = list(_templates(ROOT / "smir"))
    page = ROOT / "docs/errors.md"
    quoted = re.findall(r"^### (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(quoted) >= 20
    for message in quoted:
        beginning = re.compile(re.escape(message.removesuffix("…").rstrip()).replace("…", "…(?: …)*"))
        assert any(beginning.match(text) for text in templates), f"docs/errors.md quotes {message!r}"


def test_messages_name_no_files_of_a_checkout():
    """An installation has no folder `docs`; docstrings and comments of the source may name it."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "smir").rglob("*.py")]
    documents = {id(node.value) for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    assert not [node.value for node in texts if "docs/" in str(node.value) and id(node) not in documents]
