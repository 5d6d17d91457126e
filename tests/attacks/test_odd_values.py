"""In every command, an option value that cannot be a path ends in a message."""

from pathlib import Path

import pytest
from fakes import photo, save
from words import EXPERIMENTS, QUIET, TINY_NETWORK

VALUES = {"long name": "x" * 300, "long path": "x/" * 3000, "a null": "a\0b", "a surrogate": "a\udcff", "dots": ".."}


def commands(root, value):
    fit = ["fit", f"--config={EXPERIMENTS / 'folder/segment.yaml'}", f"--data.root={root}", *TINY_NETWORK, *QUIET]
    data = [f"--config={EXPERIMENTS / 'folder/pretrain.yaml'}"]
    yield ["prepare", "folder", f"--images={value}"]
    yield ["prepare", "folder", f"--images={root}", f"--labels={value}", "--classes=[a]"]
    yield ["prepare", "folder", f"--images={root}", f"--root={root}/{value}/x", "--classes=[a]", "--labels=missing"]
    yield ["prepare", "pascal_voc", f"--archives={value}"]
    yield ["prepare", "nassar", f"--root={value}"]
    for command in ("check", "stats", "fit", "predict"):
        yield [command, f"--config={value}"]
        yield [command, *data, f"--data.root={value}"]
    for option in ("--model.weights", "--ckpt_path", "--run.root", "--run.experiment", "--data.images"):
        yield [*fit, f"{option}={value}"]
    yield ["predict", *data, f"--data.root={root}", "--ckpt_path=x", f"--data.predict_images={value}"]
    yield ["inspect", f"--ckpt={value}"]
    yield ["export", f"--ckpt={value}"]
    yield ["report", value]
    yield ["report", str(root), f"--out={value}"]
    yield ["choose", f"--images={value}"]


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_an_option_value_that_cannot_be_a_path_is_reported(smir, tmp_path, capsys, monkeypatch, value):
    (tmp_path / "root/images").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "root")  # the folder above that of the test holds images of other tests
    for words in commands(tmp_path / "root", value):
        with pytest.raises(SystemExit) as ended:
            smir(*words)
        said = "".join(capsys.readouterr())
        assert ended.value.code in (1, 2), (words, said)
        assert "Traceback" not in said, words
        assert said.strip(), words


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    "words",
    [
        ["prepare", "folder", "--images=images", "--root=/proc/x"],
        ["job", "--run=/proc/x", "--", "fit"],
        ["choose", "images", "--out=/proc/x"],
    ],
    ids=lambda words: words[0],
)
def test_a_folder_that_the_system_does_not_let_anyone_make_is_reported(smir, tmp_path, capsys, words):
    for number in range(3):
        save(tmp_path / f"images/{number}.png", photo(f"{number}", (64, 64)))
    with pytest.raises(SystemExit) as ended:
        smir(*words)
    said = capsys.readouterr().err
    assert ended.value.code == 1, said
    assert "/proc/x" in said
