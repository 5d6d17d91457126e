"""`trainer.precision: auto` becomes what the device computes with natively, in config and recipe."""

import pytest
import yaml
from fakes import write_folder

from smir.cli import precision
from smir.runs.recipe import recipe_of

TRY = (
    "fit",
    "--model=ReconstructionModule",
    "--data=Folder",
    "--data.task=pretrain",
    "--data.root=root",
    "--data.crop_size=192",
)
SHORT = (
    "--trainer.accelerator=cpu",
    "--trainer.max_epochs=1",
    "--model.warmup_epochs=0",
    "--data.num_workers=0",
    "--data.crop_size=192",
)
NETWORK = ("--model.network.encoder=tu-test_efficientnet", "--model.network.decoder_channels=[8,8,8]")


@pytest.mark.parametrize(("flags", "became"), [({"avx2", "amx_bf16"}, "bf16-mixed"), ({"avx512f"}, "32-true")])
def test_auto_is_recorded_as_the_precision_that_it_chose(smir, tmp_path, monkeypatch, flags, became):
    write_folder(tmp_path / "root", size=(192, 192))
    monkeypatch.setattr(precision, "_processor_flags", lambda: flags)
    smir(*TRY, *SHORT, *NETWORK, "--data.batch_size=4", "--trainer.precision=auto")
    config = yaml.safe_load((tmp_path / "runs/folder/pretrain/seed0/config.yaml").read_text())
    assert config["trainer"]["precision"] == became
    assert recipe_of(config)["trainer"].get("precision", "32-true") == became


def test_a_gpu_computes_in_bfloat16_if_it_has_it(monkeypatch):
    monkeypatch.setattr(precision, "_processor_flags", lambda: set())
    monkeypatch.setattr(precision.torch.cuda, "is_available", lambda: True)
    for has in (True, False):
        monkeypatch.setattr(precision.torch.cuda, "is_bf16_supported", lambda including_emulation, has=has: has)
        assert precision.native_precision("auto") == ("bf16-mixed" if has else "32-true")
        assert precision.native_precision("cpu") == "32-true"


def test_the_flags_of_this_processor_are_read():
    assert isinstance(precision._processor_flags(), set)


def test_an_invalid_precision_is_refused_with_the_valid_ones(fails):
    message = fails(*TRY, *SHORT, "--trainer.precision=64-true")
    assert "trainer.precision must be 32-true, 16-mixed, bf16-mixed or auto. Got 64-true." in message


def test_float16_on_a_cpu_is_refused_instead_of_recorded_while_another_is_used(fails, tmp_path):
    write_folder(tmp_path / "root", size=(192, 192))
    message = fails(*TRY, *SHORT, *NETWORK, "--trainer.precision=16-mixed", "--trainer.accelerator=cpu")
    assert "trainer.precision 16-mixed needs a GPU. On a CPU, Lightning would compute in bf16-mixed. Set" in message
    assert not (tmp_path / "runs").exists()
