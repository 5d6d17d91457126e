"""Exported files compared with their checkpoint; each is run by the library that it is made for."""

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import rasterio
import segmentation_models_pytorch as smp
import timm
import torch
import yaml
from documents import ROOT, blocks
from fakes import photo
from PIL import Image
from rasterio.transform import Affine
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from timm.layers import Conv2dSame
from torch import nn
from torch.nn import functional
from words import QUIET, segment_words

from benchmarks.models import onnx_speed
from smir.__main__ import main
from smir.classes import Classes
from smir.export import build, scripts, weights_files
from smir.export import command as command
from smir.export.program import Deployed, export_program, with_fixed_padding
from smir.export.scripts.run_onnx import resized
from smir.files.digest import file_digest
from smir.method.preprocessing import Preprocessing
from smir.models.networks import SmpNetwork, UNetStride4
from smir.models.weight_files import FORMAT
from smir.training.reconstruction import ReconstructionModule
from smir.training.segmentation import SegmentationModule

EXPORTED_SCRIPTS = Path(scripts.__file__).parent
TINY = "tu-test_efficientnet"


@pytest.fixture(scope="module")
def run(field, tmp_path_factory):
    """A finished segmentation with its test; its head is changed so that it predicts all classes in one picture."""
    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["smir"])
        main(segment_words(field, f"--run.root={root}", "--run.experiment=a"))
    run = root / "a/seed0"
    best, record = run / "checkpoints/best.ckpt", json.loads((run / "test/metrics.json").read_text())
    module, content = SegmentationModule.from_checkpoint(best), torch.load(best, weights_only=True)
    Image.fromarray(smooth()).save(run / "photo.png")
    views = torch.from_numpy(module.preprocessing.view(smooth())).permute(2, 0, 1)[None]
    with torch.no_grad():
        found = module(module.preprocessing.normalize(views))
    content["state_dict"]["network.segmentation_head.bias"] -= found.mean(dim=(0, 2, 3))
    torch.save(content, best)
    (run / "test/metrics.json").write_text(json.dumps({**record, "weights": file_digest(best)}))
    return run


@pytest.fixture(scope="module")
def best(run):
    return run / "checkpoints/best.ckpt"


@pytest.fixture(scope="module")
def exported(best, tmp_path_factory):
    """All formats, checked on the images that the run's config names."""
    out = tmp_path_factory.mktemp("export") / "exported"
    main(["export", f"--ckpt={best}", "--opset=18", f"--out={out}"])
    return out


def save(path, network, kind=SegmentationModule, seed=0):
    """Writes a checkpoint as training does, but of a network that was never trained."""
    torch.manual_seed(seed)
    preprocessing = Preprocessing((0.4, 0.5, 0.3), (0.2, 0.25, 0.3), view_size=128)
    arguments = {"network": network, "preprocessing": preprocessing}
    classes = Classes(["soil", "crop", "weed"], [[0, 0, 0], [60, 180, 75], [230, 25, 75]])
    module = kind(**arguments) if kind is ReconstructionModule else kind(classes, **arguments)
    for (
        name,
        value,
    ) in module.network.state_dict().items():  # offsets, statistics and counters that a new network does not have
        if value.dim() < 2:
            value.add_(torch.rand(value.shape) / 4 if value.is_floating_point() else len(name))
    record = {"format": 1, "task": module.task, "network": module.network.spec, "out_channels": 3, "origin": {}}
    record["preprocessing"] = {"mean": [0.4, 0.5, 0.3], "std": [0.2, 0.25, 0.3], "view_size": 128, "num_patches": 512}
    record["classes"] = {"names": list(classes.names), "colors": [list(color) for color in classes.colors]}
    torch.save({"state_dict": module.state_dict(), "smir": record}, path)
    return module.eval()


def tiny(channels):
    return UNetStride4(channels, TINY, [16, 16, 16])


def pictures(count, height, width):
    values = np.stack([photo(f"picture {number}", (height, width)) for number in range(count)])
    return torch.from_numpy(values).permute(0, 3, 1, 2).contiguous()


def smooth(height=200, width=300):
    """Returns a picture without hard edges, at which two ways of resizing differ most."""
    return cv2.GaussianBlur(photo("smooth", (height, width)), (0, 0), 5)


# Files and card


def test_all_files_are_exported_and_the_card_describes_the_run(run, exported):
    scripts = {"run_onnx.py", "run_pt2.py"}
    models = {"model.safetensors", "encoder.safetensors", "model.onnx", "model.pt2"}
    assert {path.name for path in exported.iterdir()} == {"README.md"} | models | scripts
    card = (exported / "README.md").read_text()
    test = json.loads((run / "test/metrics.json").read_text())
    miou = [f"{100 * test['metrics'][f'test/{at}/miou']:.1f}" for at in ("view", "native")]
    record = json.loads((run / "run.json").read_text())
    assert f"| mean IoU of the classes | {miou[0]} | {miou[1]} |" in card
    assert "| 2 | weed | #e6194b |" in card
    assert "mean (0.485, 0.456, 0.406)" in card
    assert "preprocessing:" not in card  # the value in the recipe was not used: the data replaced it
    assert f"hash `{record['hash']}`" in card
    assert "class_path: smir.training.SegmentationModule" in card
    assert "smir.segmentation." not in card  # a class name of version 0.1, which the record keeps
    assert "8 in train, 2 in val, 3 in test" in card
    assert "on 3 images the largest difference" in card
    assert str(run.parents[2]) not in card  # cards are passed on, so they must not name folders of this machine


def test_metrics_of_other_weights_are_not_shown(run, best, smir, tmp_path):
    other = run / "checkpoints/other.ckpt"
    content = torch.load(best, weights_only=True)
    other.write_bytes(best.read_bytes())
    torch.save({**content, "epoch": 77}, other)
    smir("export", f"--ckpt={other}", "--formats=weights", f"--out={tmp_path / 'x'}")
    assert "the run has no test of these weights" in (tmp_path / "x/README.md").read_text()


@pytest.fixture(scope="module")
def of_bands(run, tmp_path_factory):
    """A folder with a run that predicts chosen bands, in `of`, and its exported files."""
    folder = tmp_path_factory.mktemp("bands")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"]["init_args"].setdefault("predict", {}).update(bands=[3, 2, 1], value_range=[100, 3000])
    (folder / "of/checkpoints").mkdir(parents=True)
    (folder / "of/config.yaml").write_text(yaml.safe_dump(config))
    shutil.copy(run / "run.json", folder / "of")
    best = shutil.copy(run / "checkpoints/best.ckpt", folder / "of/checkpoints")
    main(["export", f"--ckpt={best}", "--formats=weights", f"--out={folder / 'exported'}"])
    return folder


def test_chosen_bands_are_stated_in_the_card_and_used_by_predict(of_bands, smir, tmp_path):
    best = of_bands / "of/checkpoints/best.ckpt"
    card = " ".join((of_bands / "exported/README.md").read_text().split())
    said = "bands **3, 2, 1** of multispectral TIFFs as red, green and blue, with values from 100 to 3000 scaled"
    assert said in card
    with safe_open(of_bands / "exported/model.safetensors", "pt") as file:
        settings = json.loads(file.metadata()["smir"])
    assert (settings["bands"], settings["value_range"]) == ([3, 2, 1], [100, 3000])

    picture = smooth().astype(np.uint16)
    size = {"height": 200, "width": 300, "count": 4, "dtype": "uint16"}
    with rasterio.open(tmp_path / "deep.tif", "w", driver="GTiff", **size) as file:
        file.write(np.moveaxis(np.dstack([picture[..., ::-1] * 11 + 200, picture[..., :1]]), -1, 0))
    shown = np.clip(np.round((picture * 11 + 200.0 - 100) * 255 / 2900), 0, 255).astype(np.uint8)
    Image.fromarray(shown).save(tmp_path / "shown.png")
    found = []
    for name in ("deep.tif", "shown.png"):
        words = (f"--ckpt={best}", f"--data.predict_images={name}", "--data.predict.view=windows", f"--out=of-{name}")
        smir("predict", f"--config={of_bands / 'of/config.yaml'}", *words, *QUIET)
        (labels,) = (file for file in (tmp_path / f"of-{name}").glob("*.*") if file.stem == Path(name).stem)
        found.append(np.asarray(Image.open(labels)))
    assert len(np.unique(found[0])) > 1
    assert (found[0] == found[1]).mean() > 0.99


def test_the_card_mentions_only_what_was_exported(smir, tmp_path):
    save(tmp_path / "a.ckpt", tiny)
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    pretraining = {"kind": "file", "experiment": "p", "inputs": {"weights": {"kind": "imagenet"}}}
    content["smir"]["origin"] = {"inputs": {"weights": pretraining}}
    torch.save(content, tmp_path / "a.ckpt")
    smir("export", "--ckpt=a.ckpt", "--formats=weights")
    card = (tmp_path / "exported/README.md").read_text()
    for absent in ("model.onnx", "model.pt2", "smir.json", "uint8 RGB, 0", "library_name"):  # smp has no such network
        assert absent not in card
    assert "normalised with mean (0.4, 0.5, 0.3)" in card
    assert "They started from weights of the encoder trained on ImageNet" in card  # through a pretraining


# Each format


@pytest.fixture(scope="module")
def module(best):
    return SegmentationModule.from_checkpoint(best)


@pytest.fixture(scope="module")
def session(exported):
    return onnxruntime.InferenceSession(exported / "model.onnx", providers=["CPUExecutionProvider"])


def logits(module, images):
    with torch.no_grad():
        return module.network((images / 255 - torch.tensor(MEAN)) / torch.tensor(STD))


MEAN, STD = ([[[[value]] for value in values]] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
SIZES = [(1, 64, 96), (3, 160, 256)]


@pytest.mark.parametrize("size", SIZES)
def test_onnx_computes_the_network_at_any_size_and_batch(module, session, size):
    images = pictures(*size)
    (found,) = session.run(None, {"image": images.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), logits(module, images), atol=1e-5, rtol=1e-4)


@pytest.fixture(scope="module")
def program(exported):
    """The network of model.pt2, and the other contents of the file."""
    extra = {"smir.json": ""}
    return torch.export.load(exported / "model.pt2", extra_files=extra).module(), extra["smir.json"]


@pytest.mark.parametrize("size", SIZES)
def test_the_program_computes_the_network_at_any_size_and_batch(module, program, size):
    images = pictures(*size)
    torch.testing.assert_close(program[0](images).detach(), logits(module, images), atol=1e-5, rtol=1e-4)


def test_tensorflow_padding_is_replaced_by_equal_fixed_padding():
    torch.manual_seed(0)
    shapes = [(3, 2, 1), (5, 2, 1), ((3, 5), (2, 4), (2, 1)), (2, 4, 1)]
    layers = [Conv2dSame(2, 2, kernel, stride, dilation=dilation) for kernel, stride, dilation in shapes]
    network = nn.Sequential(*layers, nn.Sequential(Conv2dSame(2, 3, 1, 2, bias=False)))
    fixed = with_fixed_padding(network)
    assert not any(isinstance(module, Conv2dSame) for module in fixed.modules())
    for size in ((128, 256), (256, 384)):
        image = torch.randn(1, 2, *size)
        torch.testing.assert_close(fixed(image), network(image))
    assert isinstance(network[0], Conv2dSame)  # the network itself is unchanged


def test_an_encoder_of_tensorflow_is_exported_for_any_size(tmp_path):
    name = "tu-tf_mobilenetv3_small_minimal_100"  # its strides made torch.export compute for many minutes
    module = save(tmp_path / "a.ckpt", lambda channels: UNetStride4(channels, name, [16, 16, 16])).eval()
    program = export_program(module).module()
    for size in SIZES:
        images = pictures(*size)
        with torch.no_grad():
            own = Deployed(module).eval()(images)
        torch.testing.assert_close(program(images).detach(), own, atol=1e-5, rtol=1e-4)


def test_the_onnx_model_accepts_only_uint8_images(session):
    images = pictures(1, 64, 64)
    for wrong in (images.float().numpy(), images.permute(0, 2, 3, 1).numpy()):
        with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument):
            session.run(None, {"image": wrong})
    given, returned = session.get_inputs()[0], session.get_outputs()[0]
    assert (given.name, given.shape, given.type) == ("image", ["batch", 3, "height", "width"], "tensor(uint8)")
    assert (returned.name, returned.shape) == ("logits", ["batch", 3, "height", "width"])


def test_every_file_carries_its_settings(module, exported, session, program):
    texts = [session.get_modelmeta().custom_metadata_map["smir"], program[1]]
    for name in ("model", "encoder"):
        with safe_open(exported / f"{name}.safetensors", "pt") as file:
            texts.append(file.metadata()["smir"])
    assert len(set(texts)) == 1
    settings = json.loads(texts[0])
    assert settings["classes"] == ["background", "crop", "weed"]
    assert (settings["view_size"], settings["multiple"]) == (64, 64)
    assert (settings["usual_side"], settings["much_larger"]) == (module.usual_side, 4)


def test_weights_keep_the_names_of_smir_if_smp_has_no_such_network(module, exported):
    found = load_file(exported / "model.safetensors")
    own = module.network.state_dict()
    assert found.keys() == own.keys()
    assert all(torch.equal(found[name], own[name]) for name in own)


def test_smp_loads_an_exported_smp_network(smir, tmp_path, monkeypatch, capsys):
    options = {"decoder_pyramid_channels": 32, "decoder_segmentation_channels": 32}
    module = save(tmp_path / "a.ckpt", lambda channels: SmpNetwork(channels, "FPN", TINY, options))
    smir("export", "--ckpt=a.ckpt", "--formats=weights")
    assert "Next: python exported/run_smp.py photo.jpg labels.png" in capsys.readouterr().out
    model = smp.from_pretrained(str(tmp_path / "exported")).eval()
    plain = smp.create_model("FPN", TINY, encoder_weights=None, classes=3, **options).eval()
    plain.load_state_dict(load_file(tmp_path / "exported/model.safetensors"))
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = module.network(image)
        assert torch.equal(model(image), expected)
        assert torch.equal(plain(image), expected)
    assert "library_name: segmentation-models-pytorch" in (tmp_path / "exported/README.md").read_text()
    Image.fromarray(smooth()).save(tmp_path / "photo.png")
    run_here(tmp_path / "exported/run_smp.py", monkeypatch)
    assert equal_share(tmp_path, module) > 0.99


@pytest.mark.parametrize(
    ("encoder", "name"), [("resnet18", "resnet18"), (TINY, TINY[3:]), ("tu-convnext_atto", "convnext_atto")]
)
def test_timm_gives_the_features_of_the_encoder(smir, tmp_path, encoder, name):
    module = save(tmp_path / "a.ckpt", lambda channels: UNetStride4(channels, encoder, [16, 16, 16]))
    smir("export", "--ckpt=a.ckpt", "--formats=encoder")
    theirs = timm.create_model(name, pretrained=False, features_only=True).eval()
    theirs.load_state_dict(load_file(tmp_path / "exported/encoder.safetensors"))
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        found, own = theirs(image), module.network.encoder(image)
    for feature, expected in zip(found, own[-len(found) :], strict=True):
        torch.testing.assert_close(feature, expected, atol=1e-4, rtol=1e-4)
    card = (tmp_path / "exported/README.md").read_text()
    assert f"timm.create_model('{name}', features_only=True)" in card
    assert ("num_classes=0" in card) == (name != "convnext_atto")  # timm renames its first level


def test_an_encoder_that_timm_lacks_keeps_the_names_of_smp(smir, tmp_path):
    module = save(tmp_path / "a.ckpt", lambda channels: UNetStride4(channels, "mobilenet_v2", [16, 16, 16]))
    smir("export", "--ckpt=a.ckpt", "--formats=encoder")
    encoder = smp.encoders.get_encoder("mobilenet_v2", weights=None)
    encoder.load_state_dict(load_file(tmp_path / "exported/encoder.safetensors"))
    assert torch.equal(encoder.features[0][0].weight, module.network.encoder.features[0][0].weight)
    assert "get_encoder('mobilenet_v2', depth=5, weights=None)" in (tmp_path / "exported/README.md").read_text()


def test_a_pretraining_exports_only_weights(smir, fails, tmp_path, capsys):
    module = save(tmp_path / "a.ckpt", tiny, ReconstructionModule)
    before = sorted(tmp_path.iterdir())
    assert "pretraining has only weights to export" in fails("export", "--ckpt=a.ckpt", "--formats=onnx")
    assert sorted(tmp_path.iterdir()) == before
    (tmp_path / "real").mkdir()
    (tmp_path / "exported").symlink_to("real")
    smir("export", "--ckpt=a.ckpt")
    names = {"README.md", "encoder.safetensors", "model.safetensors"}
    assert {path.name for path in (tmp_path / "exported").iterdir()} == names
    found = load_file(tmp_path / "exported/model.safetensors")
    assert torch.equal(found["segmentation_head.weight"], module.network.segmentation_head.weight)
    assert "Next:" not in capsys.readouterr().out  # the checkpoint is in no run, so its data are unknown


@pytest.mark.parametrize("error", [OSError("no"), RuntimeError("unable to open file"), SafetensorError("no")])
def test_weights_that_cannot_be_read_back_are_an_error(fails, tmp_path, monkeypatch, error):
    save(tmp_path / "a.ckpt", tiny, ReconstructionModule)
    monkeypatch.setattr(weights_files, "load_file", Mock(side_effect=error))
    before = sorted(tmp_path.iterdir())
    assert "model.safetensors was written and cannot be read back" in fails("export", "--ckpt=a.ckpt")
    assert sorted(tmp_path.iterdir()) == before


def test_the_memory_of_a_model_is_measured_in_a_separate_process(exported):
    milliseconds, megabytes = onnx_speed(exported / "model.onnx", threads=1)
    assert milliseconds > 0
    assert megabytes > (exported / "model.onnx").stat().st_size / 1e6  # at least the weights, and little more
    assert megabytes < 500


def test_onnx_has_the_requested_opset(exported):
    assert [entry.version for entry in onnx.load(exported / "model.onnx").opset_import] == [18]
    assert "similar programs, opset 18 |" in (exported / "README.md").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--opset=17"], "--opset is from 18 to"),
        (["--formats=onnx,tflite"], "--formats knows weights, encoder, onnx, pt2, deepness; got tflite."),
        (["--opset=18", "--formats=pt2"], "--opset is for ONNX files"),
        (["--resolution=2"], "--resolution is for --formats deepness"),
        (["--formats=deepness"], "The run does not say it. Give the centimetres"),
    ],
)
def test_options_that_do_not_fit_are_refused(fails, tmp_path, words, says):
    save(tmp_path / "a.ckpt", tiny)
    assert says in fails("export", "--ckpt=a.ckpt", *words)


# Other programs


class Deepness:
    """Reads a file and computes a tile as the QGIS plugin Deepness does; written from its source.

    `src/deepness/processing/models/model_base.py`, `segmentor.py`, `preprocessing_utils.py` and
    `map_processor/map_processor_segmentation.py` of github.com/PUTvision/qgis-plugin-deepness.
    """

    def __init__(self, path):
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (given,), (returned,) = self.session.get_inputs(), self.session.get_outputs()
        self.shape, self.name = given.shape, given.name
        assert len(returned.shape) == 4
        assert returned.shape[2] == returned.shape[3] == self.shape[2] == self.shape[3]  # it accepts only squares
        self.texts = self.session.get_modelmeta().custom_metadata_map
        self.about = {key: json.loads(text) for key, text in self.texts.items()}
        names = sorted(self.about["class_names"].items(), key=lambda entry: int(entry[0]))
        assert [int(key) for key, _ in names] == [*range(returned.shape[1])]
        self.names = [name for _, name in names]

    def process(self, tiles):
        """Classes (N, H, W) and probabilities (N, C, H, W) of tiles (N, H, W, bands) uint8."""
        tiles = np.float32(tiles[:, :, :, : self.shape[-3]] * 1.0 / 255.0)
        mean, std = (np.array(self.about[f"standardization_{name}"], dtype=np.float32) for name in ("mean", "std"))
        tiles = np.transpose((tiles - mean) / std, (0, 3, 1, 2))
        (found,) = self.session.run(None, {self.name: tiles})
        kept = np.where(found < self.about["seg_thresh"], 0, found)
        return np.argmax(kept, axis=1), found


def test_deepness_reads_the_file_and_labels_a_tile_as_predict_does(smir, run, best, module, tmp_path):
    smir("export", f"--ckpt={best}", "--formats=deepness", "--resolution=0.5", "--opset=18")
    deepness = Deepness(tmp_path / "exported/deepness.onnx")
    assert deepness.names == ["background", "crop", "weed"]
    assert str(deepness.about["model_type"]).capitalize() == "Segmentor"
    assert deepness.about["resolution"] == 0.5 * 256 / 64  # tiles of 256 pixels, seen at 64
    assert deepness.about["tile_size"] == deepness.shape[-1] == 64
    assert {"tiles_overlap", "seg_thresh", "seg_small_segment", "smir"} <= deepness.about.keys()
    tile = smooth(64, 64)
    Image.fromarray(tile).save("tile.png")
    with_alpha = np.dstack([tile, np.full((64, 64), 255, np.uint8)])  # maps have alpha, which the plugin drops
    labels, probabilities = deepness.process(with_alpha[None])
    with torch.no_grad():
        image = torch.from_numpy(tile).permute(2, 0, 1)[None]
        expected = module(module.preprocessing.normalize(image)).softmax(dim=1)
    np.testing.assert_allclose(probabilities, expected.numpy(), atol=1e-5)
    words = [f"--config={run / 'config.yaml'}", "--ckpt=copy.ckpt", "--data.predict_images=tile.png", "--out=found"]
    # A copy, because smir would notice that the fixture has changed the checkpoint in the run.
    (tmp_path / "copy.ckpt").write_bytes(best.read_bytes())
    smir("predict", *words, *QUIET)
    assert len(np.unique(labels)) > 1
    assert (labels[0] == np.asarray(Image.open("found/tile.png"))).all()
    card = (tmp_path / "exported/README.md").read_text()
    assert "tiles of 64 pixels at 2 cm, opset 18 |" in card
    assert "largest difference of a probability is" in card


def test_the_ground_resolution_is_that_of_the_orthomosaic(smir, run, best, tmp_path):
    place = {"crs": "EPSG:32633", "transform": Affine(0.004, 0, 5e5, 0, -0.004, 5.5e6)}
    size = {"driver": "GTiff", "height": 200, "width": 300, "dtype": "uint8", "count": 3, "photometric": "rgb"}
    with rasterio.open(tmp_path / "map.tif", "w", **size, **place) as file:
        file.write(smooth().transpose(2, 0, 1))
    smir("prepare", "folder", "--images=map.tif", "--root=field", "--tile=128")
    moved = tmp_path / "moved/checkpoints"
    moved.mkdir(parents=True)
    (moved / "best.ckpt").write_bytes(best.read_bytes())
    (moved.parent / "run.json").write_bytes((run / "run.json").read_bytes())
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"] = {"class_path": "smir.data.Folder", "init_args": {"root": "field"}}
    (moved.parent / "config.yaml").write_text(yaml.safe_dump(config))
    smir("export", f"--ckpt={moved / 'best.ckpt'}", "--formats=deepness", f"--images={run / 'photo.png'}")
    found = Deepness(tmp_path / "exported/deepness.onnx").about["resolution"]
    assert found == pytest.approx(0.4 * 256 / 64, rel=1e-3)  # distances in UTM are right to a thousandth


def test_openvino_gives_the_logits_of_onnx_runtime(exported, session, monkeypatch):
    pytest.importorskip("openvino")
    block = next(block for block in blocks(ROOT / "docs/export.md") if "import openvino" in block.text)
    monkeypatch.chdir(exported.parent)
    names = {}
    exec(block.text, names)
    for size in SIZES:
        images = pictures(*size).numpy()
        (expected,) = session.run(None, {"image": images})
        assert np.abs(names["model"](images)["logits"] - expected).max() < 1e-3 * np.abs(expected).max()


# The scripts


def run_here(script, monkeypatch, *words):
    """Runs a script in this process, by default on photo.png in the working folder."""
    assert "smir" not in re.findall(r"^(?:import|from) (\w+)", script.read_text(), re.MULTILINE)
    monkeypatch.setattr(sys, "argv", [str(script), *(words or ("photo.png", "labels.png"))])
    runpy.run_path(str(script), run_name="__main__")


def equal_share(folder, module):
    """Returns the share of pixels of labels.png that equal the labels by smir itself of photo.png."""
    labels, image = (np.asarray(Image.open(folder / name)) for name in ("labels.png", "photo.png"))
    assert labels.shape == image.shape[:2]
    assert len(np.unique(labels)) > 1
    return (labels == module.segment(image).numpy()).mean()


def test_the_onnx_script_gives_the_labels_of_smir_without_torch(module, run, exported, tmp_path):
    (tmp_path / "photo.png").write_bytes((run / "photo.png").read_bytes())
    blocked = (
        "import sys, runpy; sys.modules.update(dict.fromkeys(['torch', 'smir', 'cv2'])); sys.argv = sys.argv[1:]; "
    )
    words = [sys.executable, "-c", blocked + "runpy.run_path(sys.argv[0], run_name='__main__')"]
    subprocess.run([*words, exported / "run_onnx.py", "photo.png", "labels.png"], check=True, cwd=tmp_path)
    assert equal_share(tmp_path, module) > 0.99
    assert Image.open(tmp_path / "labels.png").getpalette()[3:6] == [60, 180, 75]


def test_the_script_for_pt2_files_gives_the_labels_of_smir(module, run, exported, tmp_path, monkeypatch):
    (tmp_path / "photo.png").write_bytes((run / "photo.png").read_bytes())
    monkeypatch.chdir(tmp_path)
    run_here(exported / "run_pt2.py", monkeypatch)
    assert equal_share(tmp_path, module) > 0.99


@pytest.mark.parametrize("script", ["run_onnx.py", "run_pt2.py"])
def test_the_scripts_accept_several_photos_and_name_those_that_are_too_large(
    module, exported, tmp_path, monkeypatch, capsys, script
):
    monkeypatch.chdir(tmp_path)
    side = 4 * module.usual_side
    for name, size in (("map", (side, side + 9)), ("photo", (side - 1, side))):
        Image.fromarray(smooth(*size)).save(f"{name}.jpg")
    run_here(exported / script, monkeypatch, "map.jpg", "photo.jpg", "labels")
    assert [Image.open(f"labels/{name}.png").size for name in ("map", "photo")] == [(side + 9, side), (side, side - 1)]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"map.jpg: its shortest side of {side} pixels is resized to 64")
    assert "`python -m smir predict`" in line


@pytest.mark.parametrize("script", ["run_onnx.py", "run_pt2.py", "run_smp.py"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no words"], "photo.jpg labels.png, or PHOTO ... FOLDER"),
        (["a.png"], "photo.jpg labels.png, or PHOTO ... FOLDER"),
        (["a.png", "b.jpg"], "PHOTO ... FOLDER (a new one without dots)"),
        (["a.png", "c/a.png", "labels"], "Of 2 photos some have the same name"),
        (["a.png", "b.jpg", "c.jpg"], "photo.jpg labels.png, or PHOTO ... FOLDER"),
        (["a.png", "."], "a.png is a photo, and its labels would replace it."),
        (["../HERE/a.png", "."], "a.png is a photo, and its labels would replace it."),
    ],
)
def test_the_scripts_say_what_is_wrong_before_they_overwrite_a_photo(tmp_path, monkeypatch, script, words, said):
    monkeypatch.chdir(tmp_path)
    words = [word.replace("HERE", tmp_path.name) for word in words if word != "no words"]
    monkeypatch.setattr(sys, "argv", [script, *words])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(str(EXPORTED_SCRIPTS / script), run_name="__main__")
    assert said in exit_.value.code


def test_the_script_names_bad_photos_and_goes_on(exported, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo("good", (90, 120))).save("good.png")
    Path("bad.jpg").write_bytes(b"no photo")
    Path("folder.jpg").mkdir()
    Image.new("1", (14_000, 14_000)).save("huge.png")  # Pillow refuses so many pixels
    Image.new("I;16", (90, 120), 9000).save("deep.png")  # Pillow makes it white
    bad = ["gone.jpg", "bad.jpg", "folder.jpg", "huge.png", "deep.png"]
    monkeypatch.setattr(sys, "argv", ["run_onnx.py", *bad, "good.png", "labels"])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(str(exported / "run_onnx.py"), run_name="__main__")
    assert exit_.value.code == 1
    assert [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()] == bad
    assert Path("labels/good.png").is_file()


@pytest.mark.parametrize("size", [(64, 85), (200, 300), (333, 91)])
def test_the_resizing_of_the_script_equals_that_of_opencv_and_torch(size):
    image = photo("resized", (120, 160))
    found = resized(image.transpose(2, 0, 1).astype(np.float32), *size)
    opencv = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1)
    assert np.abs(found.round() - opencv).max() <= 1
    torchs = functional.interpolate(torch.from_numpy(image).permute(2, 0, 1)[None].float(), size, mode="bilinear")
    np.testing.assert_allclose(found, torchs[0].numpy(), atol=1e-2)


# Errors


@pytest.fixture
def computing(smir, tmp_path, monkeypatch, run):
    """Exports a network to a model.pt2 that computes something else from the images and the right logits."""
    module = save(tmp_path / "a.ckpt", tiny)

    def right(images):
        with torch.no_grad():
            return module(module.preprocessing.normalize(torch.from_numpy(images))).numpy()

    def exporting(change):
        monkeypatch.setattr(build.program, "export_program", lambda *_: None)
        monkeypatch.setattr(build.program, "write_pt2", lambda folder, *_: (folder / "model.pt2").absolute())
        monkeypatch.setattr(build.program, "exported_pt2", lambda path: lambda images: change(images, right(images)))
        return ["export", "--ckpt=a.ckpt", "--formats=pt2", f"--images={run / 'photo.png'}"]

    monkeypatch.setattr(build.ExportedFile, "size", "0 MB")
    return exporting


@pytest.mark.parametrize("change", [lambda _, logits: logits * 1.01, lambda _, logits: logits * np.nan])
def test_a_file_that_computes_something_else_is_not_written(computing, fails, tmp_path, change):
    words, before = computing(change), sorted(tmp_path.iterdir())
    assert "model.pt2 does not compute what PyTorch computes: on 1 image" in fails(*words)
    assert sorted(tmp_path.iterdir()) == before


def test_a_difference_within_the_tolerance_is_reported(computing, smir, tmp_path):
    smir(*computing(lambda _, logits: logits * 1.01), "--tolerance=0.02")
    assert "100 % of the labels are equal" in (tmp_path / "exported/README.md").read_text()


def test_a_network_that_works_at_one_size_is_exported_for_the_size_of_the_images(
    computing, smir, tmp_path, monkeypatch
):
    sizes = []
    words = computing(lambda images, logits: logits * (1 if images.shape[-2:] == (128, 192) else 2))
    monkeypatch.setattr(build.program, "export_program", lambda _, size: sizes.append(size))
    smir(*words)
    assert sizes == [None, (128, 192)]
    card = (tmp_path / "exported/README.md").read_text()
    assert "**only for images of height 128 and width 192**, because for any size: model.pt2 does not" in card


def test_images_are_needed_and_the_error_says_how_to_give_them(fails, run, best, tmp_path):
    save(tmp_path / "a.ckpt", tiny)
    assert "does not lie in a run folder that would name some. Give a few" in fails("export", "--ckpt=a.ckpt")
    moved = tmp_path / "moved/checkpoints"
    moved.mkdir(parents=True)
    for name in ("run.json", "config.yaml"):
        text = (run / name).read_text()
        (moved.parent / name).write_text(text.replace("root: /", "root: /gone/"))
    (moved / "best.ckpt").write_bytes(best.read_bytes())
    said = fails("export", f"--ckpt={moved / 'best.ckpt'}")
    assert "/gone/" in said
    assert "--images FOLDER" in said
    assert "There is no folder" in fails("export", "--ckpt=a.ckpt", "--images=nothing/here")
    assert not (tmp_path / "exported").exists()


def test_an_output_folder_that_is_not_empty_is_refused(fails, tmp_path):
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported/notes.txt").write_text("mine")
    assert "is not empty: it holds notes.txt" in fails("export", "--ckpt=a.ckpt")
    message = fails("export", "--ckpt=a.ckpt", "--out=exported/notes.txt")
    assert "notes.txt: File exists. Give another folder: --out FOLDER" in message


def test_missing_packages_are_named_with_the_extra(fails, tmp_path, monkeypatch):
    save(tmp_path / "a.ckpt", tiny)
    monkeypatch.setattr(command, "find_spec", lambda name: None if name.startswith("onnxs") else name)
    assert "ONNX needs onnxscript: pip install 'smir[export]'" in fails("export", "--ckpt=a.ckpt", "--formats=onnx")


def test_a_pretraining_is_exported_without_onnx(smir, fails, tmp_path, monkeypatch):
    network = UNetStride4(3, TINY, [16, 16, 16])
    module = ReconstructionModule(network=lambda channels: network, preprocessing=Preprocessing(view_size=64))
    record = {"format": FORMAT, "task": "pretrain", "network": network.spec, "origin": {}, "out_channels": 3}
    seen = {"mean": [0.5] * 3, "std": [0.2] * 3, "view_size": 64, "num_patches": 64}
    torch.save({"state_dict": module.state_dict(), "smir": record | {"preprocessing": seen}}, tmp_path / "a.ckpt")
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert "--opset is for ONNX files" in fails("export", "--ckpt=a.ckpt", "--opset=18")
    smir("export", "--ckpt=a.ckpt")
    assert (tmp_path / "exported/README.md").is_file()


def test_a_file_that_is_not_a_checkpoint_of_smir_is_refused(fails, tmp_path):
    assert "There is no checkpoint" in fails("export", "--ckpt=gone.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "plain.ckpt")
    assert "holds no record of smir" in fails("export", "--ckpt=plain.ckpt")
    assert "--formats knows weights, encoder, onnx" in fails("export", "--ckpt=plain.ckpt", "--formats=tflite")
