"""Hostile checkpoints and mask files run no code, write no files and take no memory; a short fuzz run."""

import io
import os
import pickle
import sys
import zipfile

import numpy as np
import pytest
import torch
from fuzz import Kind, fuzz, outcome, table
from words import segment_words

from smir.errors import CheckpointError, DataError, RunError
from smir.method.mask_table import MaskTable
from smir.method.preprocessing import Preprocessing
from smir.models.networks import build_network
from smir.models.weight_files import check_paths, read_checkpoint
from smir.runs.checkpoint_record import Checkpoint, CheckpointRecord
from smir.runs.mask_files import load_arrays, load_masks
from smir.runs.run_folder import read_record
from smir.training.reconstruction import ReconstructionModule


class Exploit:
    """Unpickling it runs a command."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return os.system, (f"touch '{self.proof}'",)


@pytest.fixture
def proof(tmp_path):
    return tmp_path / "proof"


# Checkpoints


@pytest.fixture
def checkpoint(smir, field, tmp_path):
    """A checkpoint of a finished segmentation."""
    smir(*segment_words(field, "--run.experiment=s", "--run.test=false"))
    return tmp_path / "runs/s/seed0/checkpoints/last.ckpt"


def test_no_command_executes_code_from_a_checkpoint(smir, fails, field, tmp_path, checkpoint, proof):
    content = torch.load(checkpoint, weights_only=True)
    evil = tmp_path / "evil.ckpt"
    torch.save({**content, "hook": Exploit(proof)}, evil)
    for command in ("fit", "test", "predict"):
        said = fails(command, *segment_words(field, f"--ckpt_path={evil}", "--run.experiment=e")[1:])
        assert "evil.ckpt is not a checkpoint of plain weights" in said
    said = fails(*segment_words(field, f"--model.weights={evil}", "--run.experiment=e"))
    assert "evil.ckpt is not a checkpoint of plain weights" in said
    checkpoint.write_bytes(evil.read_bytes())  # as the last checkpoint of a run
    (checkpoint.parents[1] / "DONE").unlink()
    checkpoint.with_name("previous.ckpt").unlink(missing_ok=True)
    assert "not a checkpoint of plain weights" in fails(*segment_words(field, "--run.experiment=s", "--run.test=false"))
    assert not proof.exists()
    torch.load(evil, weights_only=False)  # it works if code is allowed
    assert proof.exists()

    # Weights for another number of classes, and values that are not tensors.
    for name, wrong in (("network.segmentation_head.bias", torch.zeros(5)), ("network.segmentation_head.bias", "x")):
        torch.save({**content, "state_dict": {**content["state_dict"], name: wrong}}, tmp_path / "other.ckpt")
        said = fails("test", *segment_words(field, "--ckpt_path=other.ckpt")[1:])
        assert "other.ckpt does not fit the model: 1 of its" in said
        assert name in said

    # Lightning would create the object that the hyperparameters name; smir never reads them.
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w').close()")
    named = {"_class_path": "evil.Model", "_instantiator": "evil.make", "class_path": "evil.Model", "lr": 1.0}
    torch.save({**content, "hyper_parameters": named, "hparams_name": "kwargs"}, tmp_path / "named.ckpt")
    smir("test", *segment_words(field, "--ckpt_path=named.ckpt")[1:])
    assert not (tmp_path / "imported").exists()
    assert "evil" not in sys.modules


@pytest.mark.parametrize(
    ("lies", "words"),
    [
        ({"network": {"class": "os.system", "arguments": {"command": "touch proof"}}}, "class is 'os.system'"),
        ({"network": {"class": ["SmpNetwork"], "arguments": {}}}, r"class is \['SmpNetwork'\]"),
        ({"network": {"class": "UNetStride4", "arguments": {"encoder": "tu-hf_hub:evil/model"}}}, "evil"),
        ({"network": {"class": "SmpNetwork", "arguments": {"encoder": "tu-local-dir:/evil"}}}, "evil"),
        ({"network": {"class": "UNetStride4", "arguments": {"evil": 1}}}, "unexpected keyword argument 'evil'"),
        ({"network": {"class": "UNetStride4"}}, "does not describe a network"),
        ({"network": "UNetStride4"}, "its network cannot be read"),
        ({"preprocessing": {"mean": "abc"}}, "does not say how its network sees an image"),
        ({"preprocessing": {"view_size": -1}}, "does not say how its network sees an image"),
        ({"preprocessing": {"mean": torch.ones(3, 2)}}, "does not say how its network sees an image"),
        ({"origin": ["x"]}, "its origin cannot be read"),
        ({"task": 7}, "its task cannot be read"),
        ({"task": "paint"}, "its task cannot be read"),
        ({"task": "segment"}, "does not say which classes"),
        ({"task": "segment", "classes": {"names": ["a"], "colors": [torch.ones(2, 2)]}}, "does not say which classes"),
        ({"preprocessing": {"view_size": 10**9}}, "size of a view and its number of patches are whole numbers from 1"),
        ({"preprocessing": {"view_size": 256.5}}, "got 256.5 and 512"),
        ({"preprocessing": {"num_patches": "9"}}, "does not say how its network sees an image"),
        ({"task": "segment", "classes": {"names": ["a"], "colors": [[300, 0, 0]]}}, "which classes .* from 0 to 255"),
        ({"task": "segment", "classes": {"names": ["a"], "colors": [[0, 0]]}}, "does not say which classes"),
        ({"task": "segment", "classes": {"names": ["a", "b"], "colors": [[0, 0, 0]]}}, "does not say which classes"),
        ({"task": "segment", "classes": {"names": ["a"] * 300, "colors": [[0] * 3] * 300}}, "at most 255 names"),
        ({"task": "segment", "classes": {"names": ["a" * 256], "colors": [[0] * 3]}}, "at most 255 letters; aaa"),
        ({"preprocessing": None, "out_channels": "3"}, "its out_channels, preprocessing cannot be read"),
        ({}, "does not describe a network that its weights fit"),
    ],
    ids=str,
)
def test_a_checkpoint_record_with_false_entries_is_refused(tmp_path, lies, words):
    path, content = tmp_path / "last.ckpt", {"state_dict": {}}
    network = {"class": "UNetStride4", "arguments": {"encoder": "tu-mobilenetv3_small_050"}}
    CheckpointRecord("pretrain", network, 3, Preprocessing(), None, {}).write(content)
    torch.save({**content, "smir": {**content["smir"], **lies}}, path)
    with pytest.raises(CheckpointError, match=rf"last\.ckpt.*{words}"):
        ReconstructionModule.from_checkpoint(path)


def test_a_view_that_takes_all_memory_is_refused(smir, fails, field, tmp_path, checkpoint):
    """A crafted view size would enlarge small images to gigabytes."""
    content = torch.load(checkpoint, weights_only=True)
    photo = next(path for path in sorted((field / "nassar/tiled_dataset").rglob("*.*")) if "mask" not in path.parts)
    for size, refused in ((1 << 14, True), (2048, False)):
        content["smir"]["preprocessing"]["view_size"] = size
        torch.save(content, tmp_path / "large.ckpt")
        words = ["inspect", "--ckpt=large.ckpt", photo, "--device=cpu", "--limit=1", f"--out=view-{size}"]
        if refused:
            assert "a view has at most 33,554,432 pixels" in fails(*words)
        else:
            smir(*words)


def test_a_network_is_not_looked_up_by_name():
    with pytest.raises(CheckpointError, match=r"network class is 'os\.system'; known are"):
        build_network({"class": "os.system", "arguments": {}}, 3)


def test_a_flipped_bit_is_found(tmp_path):
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": {"encoder.conv1.weight": torch.ones(64, 64)}}, path)
    content = bytearray(path.read_bytes())
    content[content.index(torch.ones(8).numpy().tobytes()) + 1000] ^= 1
    path.write_bytes(content)
    weight = torch.load(path, weights_only=True)["state_dict"]["encoder.conv1.weight"]
    assert (weight != 1).sum() == 1  # torch itself does not detect it
    with pytest.raises(CheckpointError, match=r"last\.ckpt .* damaged \(the checksum of .* is wrong\)"):
        read_checkpoint(path)


def test_a_compressed_checkpoint_is_refused(tmp_path):
    path, bomb = tmp_path / "last.ckpt", tmp_path / "bomb.ckpt"
    torch.save({"state_dict": {"encoder.conv1.weight": torch.zeros(1 << 20)}}, path)
    with zipfile.ZipFile(path) as stored, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in stored.infolist():
            packed.writestr(entry.filename, stored.read(entry))
    assert bomb.stat().st_size < path.stat().st_size / 100
    with pytest.raises(CheckpointError, match="compressed, which torch never does"):
        read_checkpoint(bomb)


def test_weights_that_are_nan_or_infinite_are_refused(smir, fails, field, tmp_path, checkpoint):
    """The argmax of NaN is class 0, so without a check `predict` and `test` would label everything background."""
    content = torch.load(checkpoint, weights_only=True)
    head, scale = "network.segmentation_head.weight", "network.decoder.0.convolutions.1.running_var"
    cases = {
        head: (torch.full_like(content["state_dict"][head], float("nan")), f"NaN or infinite numbers in {head}"),
        scale: (-1 - content["state_dict"][scale], "output of the network is NaN or infinite"),  # a negative variance
    }
    for name, (wrong, words) in cases.items():
        torch.save({**content, "state_dict": {**content["state_dict"], name: wrong}}, "nan.ckpt")
        for command in ("test", "predict"):
            assert words in fails(command, *segment_words(field, "--ckpt_path=nan.ckpt")[1:])
    stretched = {"encoder.conv1.weight": torch.zeros(1).expand(10**13)}
    torch.save({"state_dict": stretched}, "stretched.ckpt")
    said = fails(*segment_words(field, "--model.weights=stretched.ckpt", "--run.experiment=e"))
    assert "stretched.ckpt stretches the few stored numbers of encoder.conv1.weight to 10,000,000,000,000" in said


def test_an_archive_that_readers_interpret_differently_is_refused(tmp_path):
    """torch looks at the first bytes and Python at the end, so a comment could hide the archive from the checks."""
    good, evil = tmp_path / "good.ckpt", tmp_path / "evil.ckpt"
    torch.save({"state_dict": {"encoder.conv1.weight": torch.ones(8, 8)}}, good)
    whole = good.read_bytes()
    assert read_checkpoint(good)
    end = whole[-22:]
    cases = {
        "a comment": whole[:-2] + b"\4\0abcd",
        "a second end in the comment": whole[:-2] + b"\x16\0" + end,
        "a comment that hides the end": whole[:-2] + b"\xff\xff" + b"PK\5\6" + bytes(65531),
        "bytes behind it": whole + b"x",
        "bytes before the directory's end": whole[:-22] + b"xxxx" + end,
        "a directory elsewhere": whole[:-6]
        + (int.from_bytes(whole[-6:-2], "little") - 1).to_bytes(4, "little")
        + b"\0\0",
        "a record elsewhere": whole[:-34] + bytes(8) + whole[-26:],
        "nothing but the beginning": whole[:40],
    }
    for name, content in cases.items():
        evil.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"evil\.ckpt is not a checkpoint of plain weights, or it is damaged"):
            pytest.fail(f"{name} was read: {read_checkpoint(evil)}")
    with zipfile.ZipFile(good) as archive, zipfile.ZipFile(evil, "w") as plain:  # without 64-bit sizes
        for entry in archive.infolist():
            plain.writestr(entry.filename, archive.read(entry))
    assert read_checkpoint(evil)


def test_archive_members_that_readers_interpret_differently_are_refused(tmp_path):
    """torch ignores the case of names, and reads a member from wherever the directory says that it is."""
    good, evil = tmp_path / "good.ckpt", tmp_path / "evil.ckpt"
    torch.save({"state_dict": {"encoder.conv1.weight": torch.ones(64, 64)}}, good)
    with zipfile.ZipFile(good) as stored, zipfile.ZipFile(evil, "w") as archive:
        for entry in stored.infolist():
            archive.writestr(entry.filename, stored.read(entry))
            if entry.filename.endswith("data.pkl"):
                archive.writestr(entry.filename.replace("data.pkl", "DATA.PKL"), stored.read(entry))
    with pytest.raises(CheckpointError, match="two members of one name"):
        read_checkpoint(evil)
    with zipfile.ZipFile(evil, "w") as archive:
        archive.writestr("evil/data.pkl", b"\x80\2}." + bytes(4096))
        archive.filelist += [archive.filelist[0].__class__(f"evil/data/{number}") for number in range(9)]
        for entry in archive.filelist[1:]:
            for name in ("header_offset", "file_size", "compress_size", "CRC", "external_attr", "flag_bits"):
                setattr(entry, name, getattr(archive.filelist[0], name))
    with pytest.raises(CheckpointError, match=r"overlap|differ|not where torch puts it"):
        read_checkpoint(evil)
    (tmp_path / "evil.ckpt").write_bytes(b"ustar")
    with pytest.raises(CheckpointError, match="it does not begin like a file of torch"):
        read_checkpoint(evil)


def test_weights_from_before_torch_1_6_are_read(tmp_path):
    torch.save({"weight": torch.ones(8, 8)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert read_checkpoint(tmp_path / "old.pth")["weight"].sum() == 64


@pytest.mark.parametrize("kind", [list, dict, tuple])
def test_shared_references_do_not_hang(tmp_path, kind):
    """Forty doublings take a few bytes, but written out they would fill a terabyte."""
    value = 1
    for _ in range(40):
        value = {"a": value, "b": value} if kind is dict else kind([value, value])
    for place in ("origin", "network"):
        content = {"state_dict": {"encoder.conv1.weight": torch.ones(8, 8)}}
        CheckpointRecord("pretrain", {"class": "UNetStride4", "arguments": {}}, 3, Preprocessing(), None, {}).write(
            content
        )
        content["smir"][place]["a"] = value
        torch.save(content, tmp_path / "shared.ckpt")
        said = "tuples that take hours to hash" if kind is tuple else "holds more than 1,000,000 values, or four times"
        with pytest.raises(CheckpointError, match=rf"shared\.ckpt .*{said}"):
            Checkpoint.read(tmp_path / "shared.ckpt")


@pytest.mark.parametrize("which", ["best_model_path", "kth_best_model_path", "last_model_path", "best_k_models"])
def test_a_checkpoint_that_names_files_elsewhere_is_refused(tmp_path, which):
    """Lightning deletes the file that a better checkpoint replaces."""
    folder = str(tmp_path / "checkpoints")
    for name, refused in (("best.ckpt", False), ("../precious.txt", True), (str(tmp_path / "precious"), True)):
        path = os.path.join(folder, name)  # noqa: PTH118  # pathlib is not what writes such paths
        state = {"dirpath": folder, which: {path: 0.1} if which == "best_k_models" else path}
        content = {"callbacks": {"ModelCheckpoint": state, "Other": 3}}
        if refused:
            with pytest.raises(CheckpointError, match=r"evil\.ckpt names the file .* outside of its folder"):
                check_paths(content, "evil.ckpt")
        else:
            check_paths(content, "evil.ckpt")


# Mask files


def zipped(path, arrays, compress=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compress) as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(array, **header):
    """Returns the bytes of an array, or of one whose header is replaced."""
    buffer = io.BytesIO()
    if header:
        np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": (1,), **header})
        buffer.write(array.tobytes())
    else:
        np.lib.format.write_array(buffer, np.asarray(array))
    return buffer.getvalue()


GOOD = {
    "format": np.array(1),
    "index": np.array([4, 7], np.uint32),
    "shape": np.array([[9, 9], [9, 9]], np.uint16),
    "num_patches": np.array(9),
    "bits": np.zeros(4, np.uint8),
}
EVIL_MASKS = {
    "declares a terabyte": {"bits": npy(np.zeros(4, np.uint8), shape=(1 << 40,))},
    "declares less than it has": {"bits": npy(np.zeros(400, np.uint8), shape=(4,))},
    "declares a negative size": {"bits": npy(np.zeros(4, np.uint8), shape=(-4,))},
    "huge views": {"shape": npy(np.full((2, 2), 65535, np.uint16)), "num_patches": npy(np.array(1 << 19))},
    "countless patches": {"num_patches": npy(np.array(1 << 62))},
    "no patches": {"num_patches": npy(np.array(0))},
    "views without a pixel": {"shape": npy(np.zeros((2, 2), np.uint16))},
    "more images than masks": {"index": npy(np.arange(9, dtype=np.uint32))},
    "images out of order": {"index": npy(np.array([7, 4], np.uint32))},
    "too few bits": {"bits": npy(np.zeros(3, np.uint8))},
    "an array of arrays": {"num_patches": npy(np.array([9, 9]))},
    "another format": {"format": npy(np.array(2))},
    "a text as format": {"format": npy(np.array("1"))},
}


@pytest.mark.parametrize("changes", EVIL_MASKS.values(), ids=EVIL_MASKS)
def test_a_mask_file_with_false_entries_is_refused(tmp_path, changes):
    good = {name: npy(array) for name, array in GOOD.items()}
    assert len(load_masks(zipped(tmp_path / "good.npz", good)).indices) == 2
    with pytest.raises(CheckpointError, match=r"evil\.npz"):
        load_masks(zipped(tmp_path / "evil.npz", {**good, **changes}))


def test_objects_in_a_mask_file_are_not_unpickled(tmp_path, proof):
    objects = np.array([Exploit(proof)], dtype=object)
    np.savez(tmp_path / "evil.npz", **{**GOOD, "bits": objects})
    (tmp_path / "pickled.npz").write_bytes(pickle.dumps(Exploit(proof)))
    for name in ("evil.npz", "pickled.npz"):
        with pytest.raises(CheckpointError, match=name):
            load_arrays(tmp_path / name, tuple(GOOD))
    assert not proof.exists()
    assert np.load(tmp_path / "evil.npz", allow_pickle=True)["bits"] is not None  # it works if code is allowed
    assert proof.exists()


def test_two_arrays_with_the_same_name_are_refused(tmp_path):
    good = {name: npy(array) for name, array in GOOD.items()}
    zipped(tmp_path / "evil.npz", {**good, "more": npy(np.ones(4, np.uint8))})
    content = (tmp_path / "evil.npz").read_bytes()
    (tmp_path / "evil.npz").write_bytes(content.replace(b"more.npy", b"bits.npy"))
    with pytest.raises(CheckpointError, match=r"evil\.npz .*two arrays of one name"):
        load_masks(tmp_path / "evil.npz")


def test_a_mask_file_that_is_a_zip_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("smir.runs.mask_files._SLACK", 1 << 16)
    good = {name: npy(array) for name, array in GOOD.items()}
    bomb = zipped(tmp_path / "bomb.npz", {**good, "bits": npy(np.zeros(1 << 20, np.uint8))})
    with pytest.raises(CheckpointError, match=r"bomb\.npz .*claims 1,048,704 bytes in"):
        load_masks(bomb)


@pytest.mark.parametrize("state", [{}, {"shapes": 3}, {"shapes": torch.zeros(1, 2), "indices": [1]}], ids=str)
def test_masks_in_a_checkpoint_are_checked_too(state):
    with pytest.raises(CheckpointError, match="masks in the checkpoint"):
        MaskTable.from_state(state)


# Records


@pytest.mark.parametrize(
    "content",
    ["[]", "7", "null", '{"format": 1}', '{"format": 1, "format": 1}', '{"format": 2}', "[" * 10_000, "\udcff"],
)
def test_a_damaged_record_of_a_run_is_an_error(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(RunError, match=r"run\.json"):
        read_record(tmp_path)


# Fuzz


@pytest.mark.filterwarnings("ignore")
def test_a_short_fuzz_run(tmp_path):
    """`make fuzz` is the long form."""
    results = list(fuzz(200, 0, tmp_path))
    assert len(results) >= 200
    assert {result for _, result in results} == {"read", "refused"}, table(results)


def test_the_fuzzer_detects_each_kind_of_failure(tmp_path):
    path = tmp_path / "file.png"
    path.touch()

    def raising(error):
        def read(path):
            raise error

        return Kind(".png", [b""], read)

    assert outcome(raising(KeyError("x")), path).startswith("KeyError")
    assert outcome(raising(AssertionError()), path).startswith("AssertionError")
    assert outcome(raising(DataError("something is wrong")), path).startswith("an error that names no file")
    assert outcome(raising(DataError(f"{path} is wrong")), path) == "refused"
    assert outcome(Kind(".png", [b""], lambda path: None), path) == "read"
