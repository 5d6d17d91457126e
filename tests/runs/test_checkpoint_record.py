"""The record of a checkpoint: one dataclass writes it, checks it when a file is read, and is passed on."""

import pytest
import torch

from smir.classes import Classes
from smir.errors import CheckpointError
from smir.method.preprocessing import Preprocessing
from smir.models.weight_files import read_checkpoint
from smir.runs.checkpoint_record import Checkpoint, CheckpointRecord

NETWORK = {"class": "UNetStride4", "arguments": {"encoder": "resnet18"}}
ORIGIN = {"experiment": "demo/selective", "seed": 3, "recipe": {"model": [1, None]}}
CLASSES = Classes(["soil", "crop"], [[0, 0, 0], [0, 255, 0]])
PRETRAINED = CheckpointRecord("pretrain", NETWORK, 3, Preprocessing((0.1, 0.2, 0.3)), 512, ORIGIN)
SEGMENTED = CheckpointRecord("segment", NETWORK, 2, Preprocessing(view_size=64), None, ORIGIN, CLASSES)


def plain(record):
    record.write(content := {})
    return content["smir"]


@pytest.mark.parametrize("record", [PRETRAINED, SEGMENTED], ids=["pretrain", "segment"])
def test_a_record_is_read_as_it_was_written(tmp_path, record):
    content = {"state_dict": {"weight": torch.ones(2)}, "epoch": 4}
    record.write(content)
    torch.save(content, path := tmp_path / "last.ckpt")
    found = Checkpoint.read(path)
    assert plain(found.record) == plain(record)
    assert (found.path, found.epoch, list(found.state)) == (path, 4, ["weight"])


def test_the_format_on_disk_is_unchanged():
    """Other versions of smir read these keys."""
    assert plain(SEGMENTED) == {
        "format": 1,
        "task": "segment",
        "network": NETWORK,
        "out_channels": 2,
        "preprocessing": {
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
            "view_size": 64,
            "num_patches": 512,
        },
        "usual_side": None,
        "origin": ORIGIN,
        "classes": {"names": ["soil", "crop"], "colors": [[0, 0, 0], [0, 255, 0]]},
    }


@pytest.mark.parametrize("side", [None, "wide", -3, 0, 96.5])
def test_a_record_without_a_usable_image_size_is_read(side):
    record = plain(PRETRAINED)
    record["usual_side"] = side
    assert CheckpointRecord.find({"smir": record}, "old.ckpt").usual_side is None
    del record["usual_side"]
    assert CheckpointRecord.find({"smir": record}, "old.ckpt").usual_side is None


def test_a_file_of_another_program_has_no_record(tmp_path):
    torch.save({"state_dict": {"weight": torch.ones(2)}}, path := tmp_path / "plain.ckpt")
    assert CheckpointRecord.find(read_checkpoint(path), path) is None
    with pytest.raises(CheckpointError, match=r"plain\.ckpt holds no record of smir.*Give the best\.ckpt"):
        Checkpoint.read(path)


def test_a_checkpoint_without_weights_is_refused(tmp_path):
    PRETRAINED.write(content := {})
    torch.save(content, path := tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match=r"state_dict in .*last\.ckpt is a NoneType"):
        Checkpoint.read(path)
