import io
import random
from types import SimpleNamespace

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from smir.cli.identity import weights_fingerprint
from smir.errors import CheckpointError
from smir.method.preprocessing import Preprocessing
from smir.models.networks import SmpNetwork, UNetStride4
from smir.models.weight_files import read_checkpoint
from smir.models.weights import load_from_library, load_pretrained
from smir.runs.checkpoint_record import CheckpointRecord

WIDTHS = (32, 24, 16)
HEAD = "segmentation_head"


def network(out_channels=3, encoder="resnet18", widths=WIDTHS):
    return UNetStride4(out_channels, encoder, widths)


def scrambled(source, seed=0):
    """Gives every tensor of a network, including statistics and counters, values that a new network does not have."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in source.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        else:
            value.fill_(len(name))
    return source


def copied(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.fixture(scope="module")
def trained():
    return scrambled(network())


def save(path, content):
    torch.save(content, path)
    return path


def names(report):
    return [*report.loaded, *report.missing, *report.mismatched]


@pytest.mark.parametrize(
    ("wrapped", "prefix"),
    [
        (True, "network."),  # as smir writes it
        (True, "network._orig_mod."),  # torch.compile
        (False, ""),
        (False, "module."),  # DistributedDataParallel
    ],
)
def test_encoder_and_decoder_come_from_the_file_and_the_head_is_new(tmp_path, trained, wrapped, prefix):
    state = {f"{prefix}{name}": value for name, value in trained.state_dict().items()}
    content = {"state_dict": state, "epoch": 3, "smir": {"format": 1, "task": "pretrain"}} if wrapped else state
    fresh = network()
    before = copied(fresh)
    report = load_pretrained(fresh, save(tmp_path / "last.ckpt", content))
    for name, value in fresh.state_dict().items():
        assert torch.equal(value, (before if HEAD in name else trained.state_dict())[name]), name
    assert sorted(names(report)) == sorted(before)
    assert sorted(report.missing) == sorted(name for name in before if HEAD in name)
    assert (report.mismatched, report.unexpected) == ([], [])
    assert report.source == str(tmp_path / "last.ckpt")


def test_weights_load_into_a_network_with_another_number_of_classes(tmp_path, trained):
    fresh = network(out_channels=21)
    report = load_pretrained(fresh, save(tmp_path / "last.ckpt", {"state_dict": trained.state_dict()}))
    assert report.mismatched == []
    assert torch.equal(fresh.decoder[0].convolutions[0].weight, trained.decoder[0].convolutions[0].weight)


def test_loading_leaves_the_parameters_trainable(tmp_path, trained):
    fresh = network()
    parameters = list(fresh.parameters())
    load_pretrained(fresh, save(tmp_path / "last.ckpt", trained.state_dict()))
    assert all(old is new and new.requires_grad for old, new in zip(parameters, fresh.parameters(), strict=True))


def test_smp_networks_load_the_weights_of_each_other(tmp_path):
    options = {"decoder_channels": [32, 24, 16, 8, 8]}
    source = scrambled(SmpNetwork(3, "Unet", "resnet18", options))
    state = {f"network.{name}": value for name, value in source.state_dict().items()}
    fresh = SmpNetwork(5, "Unet", "resnet18", options)
    report = load_pretrained(fresh, save(tmp_path / "last.ckpt", {"state_dict": state}))
    assert {name for name in report.missing if HEAD not in name} == set()
    assert report.unexpected == []
    for name in report.loaded:
        assert torch.equal(fresh.state_dict()[name], source.state_dict()[name]), name


def test_a_classifier_of_torchvision_fills_the_encoder(tmp_path):
    classifier = scrambled(torchvision.models.resnet18(num_classes=10))
    state = classifier.state_dict()
    assert "conv1.weight" in state
    fresh = network()
    before = copied(fresh)
    report = load_pretrained(fresh, save(tmp_path / "resnet18.pth", state))
    assert report.loaded == [name for name in before if name.startswith("encoder.")]
    assert report.missing == [name for name in before if not name.startswith("encoder.")]
    assert sorted(report.unexpected) == ["encoder.fc.bias", "encoder.fc.weight"]
    for name, value in fresh.state_dict().items():
        expected = classifier.state_dict()[name.removeprefix("encoder.")] if "encoder" in name else before[name]
        assert torch.equal(value, expected), name


def test_an_encoder_with_other_tensor_names_is_loaded_in_order(tmp_path):
    ours = scrambled(network(encoder="tu-test_efficientnet"))
    theirs = {f"_layer{place}.{name.rsplit('.', 1)[-1]}": value for place, (name, value) in enumerate(encoder_of(ours))}
    torch.save({**theirs, "_fc.weight": torch.ones(10, 5)}, tmp_path / "foreign.pth")
    fresh = network(encoder="tu-test_efficientnet")
    report = load_pretrained(fresh, tmp_path / "foreign.pth")
    assert all(torch.equal(value, copied(fresh)[name]) for name, value in encoder_of(ours))
    assert (len(report.loaded), report.unexpected) == (len(theirs), ["_fc.weight"])
    names = list(theirs)
    changed = [
        {name: theirs[name] for name in names[1:]},  # a tensor is missing
        {name: theirs[name] for name in (names[1], names[0], *names[2:])},  # another order
        {name.replace("running_mean", "mean"): value for name, value in theirs.items()},  # other kinds
    ]
    for state in changed:
        torch.save(state, tmp_path / "other.pth")
        with pytest.raises(CheckpointError, match=r"No weight in .* fits the encoder"):
            load_pretrained(network(encoder="tu-test_efficientnet"), tmp_path / "other.pth")


def encoder_of(model):
    return [(name, value) for name, value in copied(model).items() if name.startswith("encoder.")]


def test_tensors_of_other_widths_are_reported_and_not_loaded(tmp_path, trained):
    fresh = network(widths=(32, 24, 12))
    before = copied(fresh)
    report = load_pretrained(fresh, save(tmp_path / "last.ckpt", trained.state_dict()))
    shapes = {name: value.shape for name, value in trained.state_dict().items()}
    expected = [name for name, value in before.items() if value.shape != shapes[name] and HEAD not in name]
    assert report.mismatched == expected
    assert expected
    assert all(name.startswith("decoder.2.") for name in expected)
    assert all(torch.equal(fresh.state_dict()[name], before[name]) for name in expected)
    assert f"{len(expected)} of another shape (decoder.2" in str(report)
    assert f"{len(report.loaded)} tensors loaded" in str(report)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"a": 1},
        {"weight": torch.ones(3)},
        {"encoder.conv1.weight": torch.ones(2, 2)},
        {"classifier.0": torch.ones(4)},
    ],
    ids=["empty", "no tensor", "other names", "other shape", "a head"],
)
def test_a_file_without_a_fitting_weight_is_an_error(tmp_path, state):
    fresh = network()
    before = copied(fresh)
    with pytest.raises(CheckpointError, match=r"No weight in .*other\.ckpt fits the encoder of the network .*resnet18"):
        load_pretrained(fresh, save(tmp_path / "other.ckpt", state))
    assert all(torch.equal(value, before[name]) for name, value in fresh.state_dict().items())


def test_a_file_with_only_statistics_is_refused(tmp_path, trained):
    state = {name: value for name, value in trained.state_dict().items() if "num_batches_tracked" in name}
    with pytest.raises(CheckpointError, match="No weight"):
        load_pretrained(network(), save(tmp_path / "other.ckpt", state))


# Damaged and wrong files


class Exploit:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_code_in_a_checkpoint_is_not_executed(tmp_path, trained, zipped):
    proof, path = tmp_path / "proof", tmp_path / "evil.ckpt"
    content = {"state_dict": trained.state_dict(), "smir": {"format": 1}, "hook": Exploit(proof)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"evil\.ckpt is not a checkpoint of plain weights"):
        load_pretrained(network(), path)
    assert not proof.exists()
    torch.load(path, weights_only=False)["hook"].close()  # the exploit works if code is allowed
    assert proof.exists()


@pytest.mark.parametrize(
    "content", [b"", b"weights\n" * 50, random.Random(0).randbytes(2000)], ids=["empty", "text", "noise"]
)
def test_files_that_are_not_checkpoints_are_named(tmp_path, content):
    path = tmp_path / "weights.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"weights\.ckpt is not a checkpoint"):
        read_checkpoint(path)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_truncated_checkpoints_are_refused(tmp_path, zipped):
    path = tmp_path / "last.ckpt"
    content = {"state_dict": {"encoder.conv1.weight": torch.randn(8, 8)}, "smir": {"format": 1}}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for length in range(0, len(whole), len(whole) // 60):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"last\.ckpt .* damaged"):
            read_checkpoint(path)


def test_the_end_of_a_loader_is_no_damage_of_the_file_that_is_read(tmp_path, monkeypatch):
    """`timeout` and SLURM signal the loaders, too; the end of each raises once, wherever Python is."""
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": {}, "smir": {"format": 1}}, path)
    loaders, load = [7, 8], torch.load

    def interrupted(*args, **options):
        if loaders:
            raise RuntimeError(f"DataLoader worker (pid {loaders.pop()}) is killed by signal: Terminated. ")
        return load(*args, **options)

    monkeypatch.setattr(torch, "load", interrupted)
    assert read_checkpoint(path)["smir"] == {"format": 1}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_damaged_files_raise_only_checkpoint_errors(tmp_path, zipped):
    path = tmp_path / "last.ckpt"
    content = {"state_dict": {"encoder.conv1.weight": torch.randn(4, 4)}, "smir": {"format": 1}}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    chance = random.Random(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            read_checkpoint(path)
        except CheckpointError:
            refused += 1
    assert refused > 30


@pytest.mark.parametrize("content", [[torch.ones(2)], torch.ones(2), 3], ids=["list", "tensor", "number"])
def test_content_that_is_not_a_state_dict_is_refused(tmp_path, content):
    with pytest.raises(CheckpointError, match="not a checkpoint or state dict"):
        read_checkpoint(save(tmp_path / "other.ckpt", content))


@pytest.mark.parametrize("record", [{"format": 2}, {"format": "1.0"}, {"format": None}, {}, None], ids=str)
def test_unknown_formats_are_refused(tmp_path, record, trained):
    path = save(tmp_path / "last.ckpt", {"state_dict": trained.state_dict(), "smir": record})
    with pytest.raises(CheckpointError, match=r"last\.ckpt has smir checkpoint format"):
        load_pretrained(network(), path)


def test_a_state_dict_that_is_a_list_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"last\.ckpt"):
        load_pretrained(network(), save(tmp_path / "last.ckpt", {"state_dict": [torch.ones(2)]}))


def test_a_missing_file_is_named_with_the_content_of_its_folder(tmp_path):
    (tmp_path / "best.ckpt").touch()
    with pytest.raises(CheckpointError, match=rf"no checkpoint {tmp_path}/last\.ckpt\. Its folder holds: best\.ckpt"):
        read_checkpoint(tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match="folder is missing, too: train the run that it belongs to first"):
        read_checkpoint(tmp_path / "nowhere" / "last.ckpt")


def test_imagenet_weights_that_cannot_be_downloaded_are_reported_with_an_alternative(monkeypatch):
    def offline(*arguments, **options):
        raise OSError("no route to host")

    fresh = network()
    monkeypatch.setattr("smir.models.weights.urlopen", offline)
    where = r"Download https://huggingface\.co/smp-hub/resnet18\.imagenet/resolve/\w+/model\.safetensors"
    with pytest.raises(CheckpointError, match=rf"'resnet18' could not .*no route.*{where}.*--model\.imagenet_file"):
        load_from_library(fresh)


def test_a_safetensors_file_of_imagenet_weights_fills_the_encoder(tmp_path):
    given, fresh = scrambled(network()).encoder, network()
    save_file(given.state_dict(), tmp_path / "model.safetensors")
    load_pretrained(fresh, tmp_path / "model.safetensors", part="encoder")
    assert torch.equal(fresh.encoder.conv1.weight, given.conv1.weight)
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="is not a checkpoint of plain weights"):
        read_checkpoint(tmp_path / "model.safetensors")


def test_imagenet_weights_fill_the_encoder(monkeypatch):
    given = scrambled(network()).encoder
    fresh = network()
    monkeypatch.setattr("smir.models.weights.urlopen", lambda *arguments, **options: io.BytesIO())
    monkeypatch.setattr("smir.models.weights.smp.encoders.get_encoder", lambda *arguments, **options: given)
    report = load_from_library(fresh)
    assert report.loaded == [name for name in fresh.state_dict() if name.startswith("encoder.")]
    assert torch.equal(fresh.encoder.conv1.weight, given.conv1.weight)


def test_a_run_records_the_origin_of_its_weights_without_odd_entries(tmp_path):
    origin = {"experiment": "a", "seed": 1, "variant": None, "recipe": {"model": [1, None, {"lr": 0.1}]}}
    odd = {"tensor": torch.ones(2), "inputs": {"data": torch.ones(2)}, "numbers": {1: 2}, 7: [()]}
    content = {}
    CheckpointRecord("pretrain", {}, 3, Preprocessing(), None, {**origin, **odd}).write(content)
    save(tmp_path / "x.ckpt", content)
    model = SimpleNamespace(weights=tmp_path / "x.ckpt", weights_file=tmp_path / "x.ckpt")
    fingerprint = weights_fingerprint(model)
    assert {name: fingerprint[name] for name in origin} == origin
    assert set(fingerprint) == {*origin, "kind", "checkpoint", "sha256"}


def test_weights_that_fit_only_the_decoder_are_refused(tmp_path, trained):
    """Networks of all encoders share decoder widths, so some tensors of the decoder always fit."""
    path = save(tmp_path / "last.ckpt", trained.state_dict())
    with pytest.raises(CheckpointError, match=r"No weight in .* fits the encoder of the network .*mobilenetv3"):
        load_pretrained(UNetStride4(3, "tu-mobilenetv3_small_100", trained.spec["arguments"]["decoder_channels"]), path)


def test_tensors_that_a_file_leaves_at_random_are_reported(tmp_path, trained):
    path = save(tmp_path / "last.ckpt", trained.state_dict())
    assert load_pretrained(network(), path).left_random == []
    other = load_pretrained(network(widths=(32, 24, 12)), path)
    assert other.left_random == other.mismatched
    deeper = load_pretrained(network(encoder="resnet34"), path)
    assert all(name.startswith("encoder.layer") for name in deeper.left_random)
    assert deeper.left_random
