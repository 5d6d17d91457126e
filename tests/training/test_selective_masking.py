"""SelectiveMasking: stages inside one fit, with modules and datamodules of smir and of others."""

import csv
import json

import fake_runs
import lightning
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.demos.boring_classes import BoringModel
from torch import nn
from torch.utils.data import DataLoader, IterableDataset
from words import pretrain_words, selective_words

from smir.errors import CheckpointError, ConfigError, RunError
from smir.files.pages import overlays
from smir.method import HardestMask, ImageScore, Preprocessing, RandomMask, Stages, VarianceScore, score_views
from smir.runs.mask_files import load_arrays, load_masks
from smir.training import ReconstructionModule, SelectiveMasking
from smir.training.staged import ScoringModule, StagedData, refuse_incomplete

SIDE, COUNT = 48, 12


class ForeignModule(lightning.LightningModule):
    """A module that has only `score_views` in common with smir."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 3, padding=1))
        self.scored = []

    def training_step(self, batch, batch_idx):
        return (self.layers(batch["image"] * ~batch["mask"]) - batch["image"]).abs().mean()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)

    def score_views(self, views, keys, **options):
        self.scored.append((keys, options, self.training))
        return score_views(self.layers, views, keys, grid=grid_of(SIDE), **options)


def grid_of(side):
    return Preprocessing(view_size=SIDE, num_patches=16).grid(side, side)


class Visits(IterableDataset):
    """Visits the images of the current stage, in order, as of the beginning of an epoch."""

    def __init__(self, data):
        self.data = data

    def __iter__(self):
        stages = self.data.stages
        for index in stages.train(stages.current).tolist():
            packed = stages.mask_of(index)
            mask = RandomMask()(grid=grid_of(SIDE)) if packed is None else packed.unpack()[1]
            self.data.visited.append((stages.current, index, None if packed is None else mask.tolist()))
            yield {"image": self.data.pool[index], "mask": grid_of(SIDE).to_pixels(mask)[None]}


class ForeignData(lightning.LightningDataModule):
    """Float images in memory."""

    seed = 5

    def __init__(self):
        super().__init__()
        self.preprocessing = Preprocessing(view_size=SIDE, num_patches=16)
        self.pool = torch.randn(COUNT, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
        self.visited = []

    def use_stages(self, num_stages):
        self.stages = Stages(COUNT, num_stages)
        return self.stages

    def images(self, name):
        assert name == "pool"
        return [f"image {index}" for index in range(COUNT)]

    def view_shapes(self, indices):
        return [(SIDE, SIDE) for _ in indices]

    def scoring_dataloader(self, indices, batch_size):
        samples = [{"image": self.pool[index], "index": index} for index in indices]
        return DataLoader(samples, batch_size=batch_size)

    def train_dataloader(self):
        return DataLoader(Visits(self), batch_size=2)


def train(folder, data, *callbacks, module=None, max_epochs=6, ckpt_path=None, **options):
    options = {"num_stages": 3, "num_samples": 2, "batch_size": 2, **options}
    trainer = lightning.Trainer(
        max_epochs=max_epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[SelectiveMasking(**options), *callbacks],
    )
    module = module or ForeignModule()
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path)
    return module


def keep_all(folder):
    return ModelCheckpoint(dirpath=folder, filename="{epoch}", save_top_k=-1, save_on_train_epoch_end=True)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A complete training of a module and datamodule that are not from smir: folder, module and data."""
    folder, data = tmp_path_factory.mktemp("foreign"), ForeignData()
    return folder, train(folder, data, keep_all(folder)), data


def test_each_stage_visits_its_own_partition_with_its_masks(foreign):
    folder, _, data = foreign
    assert [stage for stage, _, _ in data.visited] == sorted(stage for stage, _, _ in data.visited)
    for stage in range(3):
        visits = [(index, mask) for s, index, mask in data.visited if s == stage]
        assert [index for index, _ in visits] == 2 * data.stages.train(stage).tolist()  # two epochs
        table = load_masks(folder / f"masks/stage-{stage:02d}.npz") if stage else None
        expected = [table.packed(index).unpack()[1].tolist() if stage else None for index, _ in visits]
        assert [mask for _, mask in visits] == expected


def test_masks_hide_the_hardest_patches_by_the_saved_scores(foreign):
    folder, _, _ = foreign
    scores = load_arrays(folder / "masks/stage-02-scores.npz", ("index", "length", "values"))
    table = load_masks(folder / "masks/stage-02.npz")
    for index, values in zip(scores["index"].tolist(), scores["values"].reshape(4, -1), strict=True):
        assert torch.equal(
            table.packed(index).unpack()[1], HardestMask()(grid=grid_of(SIDE), scores=torch.tensor(values))
        )


def test_every_image_of_a_partition_is_scored_once_in_eval_mode(foreign):
    folder, module, _ = foreign
    keys = [key for keys, _, _ in module.scored for key in keys]
    assert keys == [1, 4, 7, 10, 2, 5, 8, 11]
    assert not any(training for _, _, training in module.scored)
    assert {(o["stage"], o["seed"], o["num_samples"], o["over"], o["paired"]) for _, o, _ in module.scored} == {
        (1, 5, 2, "all", False),
        (2, 5, 2, "all", False),
    }
    assert (folder / "images/stage-01.png").is_file()
    assert (folder / "masks/images.json").is_file()


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_resumed_training_equals_an_uninterrupted_one(foreign, tmp_path, epoch):
    """From the checkpoint at the end of stage 0, and from one within stage 1."""
    folder, module, whole = foreign
    data = ForeignData()
    again = train(tmp_path, data, ckpt_path=folder / f"epoch={epoch}.ckpt")
    assert data.visited == whole.visited[-len(data.visited) :]
    assert {stage for stage, _, _ in data.visited} == {1, 2}
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), again.parameters(), strict=True))


def test_a_checkpoint_of_more_stages_is_refused(foreign, tmp_path):
    with pytest.raises(CheckpointError, match="no stage 2: the stages are 0 to 1"):
        train(tmp_path, ForeignData(), num_stages=2, ckpt_path=foreign[0] / "epoch=4.ckpt")


def test_a_checkpoint_of_other_images_is_refused(foreign, tmp_path):
    with pytest.raises(CheckpointError, match="other images than those of stage 1"):
        train(tmp_path, ForeignData(), num_stages=2, ckpt_path=foreign[0] / "epoch=2.ckpt")


def test_stages_without_a_policy_score_nothing_and_use_no_masks(tmp_path):
    data = ForeignData()
    module = train(tmp_path, data, policy=None)
    assert {stage for stage, _, _ in data.visited} == {0, 1, 2}
    assert {mask for _, _, mask in data.visited} == {None}
    assert module.scored == []
    assert not (tmp_path / "masks").exists()


def test_a_score_without_a_network_chooses_the_masks_and_resumes(tmp_path):
    whole, data = tmp_path / "whole", ForeignData()
    train(whole, data, keep_all(whole), score=VarianceScore())
    for stage in (1, 2):
        table = load_masks(whole / f"masks/stage-{stage:02d}.npz")
        for index in table.indices.tolist():
            variances, _ = VarianceScore()(data.pool[index][None], grid_of(SIDE))
            expected = HardestMask()(grid=grid_of(SIDE), scores=variances[0])
            assert torch.equal(table.packed(index).unpack()[1], expected)
    again = ForeignData()
    train(tmp_path / "again", again, score=VarianceScore(), ckpt_path=whole / "epoch=1.ckpt")
    assert again.visited == data.visited[-len(again.visited) :]


def test_excess_without_pairs_is_refused_before_training():
    with pytest.raises(ConfigError, match=r"every patch needs both\. Set paired_samples: true"):
        SelectiveMasking(score_patches="excess")


# Requirements for modules and datamodules


def test_a_module_without_scores_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"needs score_views, which BoringModel does not have. Use ReconstructionM"):
        train(tmp_path, ForeignData(), module=BoringModel())


@pytest.mark.parametrize("name", ["images", "scoring_dataloader", "use_stages", "view_shapes"])
def test_a_method_that_a_datamodule_lacks_is_named(tmp_path, monkeypatch, name):
    monkeypatch.delattr(ForeignData, name)
    with pytest.raises(ConfigError, match=f"needs {name}, which ForeignData does not have. Use a datamodule of smir"):
        train(tmp_path, ForeignData())


def test_a_training_without_a_datamodule_is_refused_with_all_that_it_needs(tmp_path):
    trainer = lightning.Trainer(max_epochs=2, accelerator="cpu", callbacks=[SelectiveMasking(2)], logger=False)
    with pytest.raises(ConfigError, match="images, preprocessing, scoring_dataloader, seed, use_stages, view_shapes"):
        trainer.fit(ForeignModule(), DataLoader([torch.zeros(1)]))


@pytest.mark.parametrize(("owner", "protocol"), [(ForeignModule, ScoringModule), (ForeignData, StagedData)])
def test_complete_modules_and_datamodules_are_accepted(owner, protocol):
    refuse_incomplete(owner(), protocol, "nothing")


@pytest.mark.parametrize("max_epochs", [4, -1])
def test_epochs_must_divide_into_stages(tmp_path, max_epochs):
    with pytest.raises(ConfigError, match=rf"\({max_epochs}\) is the total over all stages and must be a multiple"):
        train(tmp_path, ForeignData(), max_epochs=max_epochs)


# Through the command line


def test_selective_pretraining_writes_a_complete_run_folder(smir, field, tmp_path, capsys):
    smir(*selective_words(field))
    run = tmp_path / "runs/demo/selective/seed0"
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["data"]["init_args"]["batch_size"] == 4
    environment = json.loads((run / "environment.json").read_text())
    assert len(environment) == 1
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert [float(row["stage"]) for row in rows] == [0, 0, 1, 1]
    # warm-up and cosine start again in the second stage
    assert [float(row["lr"]) for row in rows] == pytest.approx([3e-5, 3e-3] * 2)
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt", "previous.ckpt"}
    assert {"stage-01.png", "final.png"} == {path.name for path in (run / "images").iterdir()}
    names = json.loads((run / "masks/images.json").read_text())
    assert len(names) == 12
    table = load_masks(run / "masks/stage-01.npz")
    assert table.indices.tolist() == [1, 3, 5, 7, 9, 11]
    scores = load_arrays(run / "masks/stage-01-scores.npz", ("index", "length", "values"))
    first = torch.from_numpy(scores["values"][: scores["length"][0]])
    mask = table.packed(1).unpack()[1]
    assert mask.sum() == len(mask) // 2
    assert first[mask].min() >= first[~mask].max()
    done = json.loads((run / "DONE").read_text())
    assert (done["epochs"], done["image_visits"]) == (4, 4 * 4)
    fake = fake_runs.pretraining(tmp_path / "fake", "Nassar", "selective").write()
    assert fake_runs.unlike(fake.folder, run) == []

    capsys.readouterr()
    before = (run / "metrics.csv").read_bytes()
    smir(*selective_words(field))
    assert "has finished before" in capsys.readouterr().out
    assert (run / "metrics.csv").read_bytes() == before


def test_random_pretraining_has_one_stage(smir, field, tmp_path):
    smir(*pretrain_words(field, "--run.experiment=r", "--trainer.max_epochs=2"))
    assert not (tmp_path / "runs/r/seed0/masks").exists()


@pytest.mark.parametrize(
    ("policy", "captions"),
    [
        (None, {"random mask"}),
        ("RandomMask", {"random mask"}),
        ("HardestMask", {"mask of stage 2", "chosen mask"}),
    ],
)
def test_pictures_show_which_masks_are_random(smir, field, tmp_path, monkeypatch, policy, captions):
    written, write = set(), overlays.write
    monkeypatch.setattr(overlays, "write", lambda canvas, text, *rest: (written.add(text), write(canvas, text, *rest)))
    word = f"--trainer.callbacks.policy={policy or 'null'}"
    smir(*selective_words(field, word, "--trainer.max_epochs=2", "--model.warmup_epochs=0", "--data.mask.ratio=0.75"))
    assert {text for text in written if "mask" in text} - {"masked input"} == captions
    pictures = {path.name for path in (tmp_path / "runs/demo/selective/seed0/images").iterdir()}
    assert pictures == {"final.png", *(["stage-01.png"] if policy == "HardestMask" else [])}


def test_a_limit_of_batches_is_counted(smir, field, tmp_path, caplog):
    smir(*selective_words(field, "--data.batch_size=2", "--trainer.limit_train_batches=1"))
    assert "4 epochs in 2 stages, of 1 step (2 crops of 5 images), 4 steps in all" in caplog.text
    run = tmp_path / "runs/demo/selective/seed0"
    assert json.loads((run / "DONE").read_text())["image_visits"] == 4 * 2
    assert len((run / "metrics.csv").read_text().splitlines()) == 5


def test_the_last_picture_shows_the_masks_that_the_stages_choose(smir, field, monkeypatch):
    scored, score = [], ReconstructionModule.score_views

    def noted(self, views, keys, **how):
        scored.append(how)
        return score(self, views, keys, **how)

    monkeypatch.setattr(ReconstructionModule, "score_views", noted)
    smir(*selective_words(field, "--trainer.callbacks.score=VarianceScore", "--trainer.callbacks.num_samples=3"))
    assert len(scored) >= 2
    assert all(how["num_samples"] == 3 and type(how["score"]).__name__ == "VarianceScore" for how in scored)


def test_a_datamodule_that_leaves_out_images_to_score_is_named(tmp_path):
    class Lossy(ForeignData):
        def scoring_dataloader(self, indices, batch_size):
            return super().scoring_dataloader(indices[1:], batch_size)

    with pytest.raises(RunError, match="scoring_dataloader of Lossy left out 1 of 4 images of stage 2"):
        train(tmp_path, Lossy(), max_epochs=3)


class Holes(ImageScore):
    def __call__(self, image, grid, loss=None):
        return torch.full((len(image), len(grid)), float("nan")), image


class Pixels(ImageScore):
    def __call__(self, image, grid, loss=None):
        return image.mean(dim=1), image


class AllButOne(HardestMask):
    def __call__(self, *, grid, scores=None, generator=None, stage=0):
        return scores > scores.min()


class Forgetful(HardestMask):
    needs_scores = False


def test_a_score_or_policy_of_ones_own_is_tried_out_before_the_training(tmp_path, recwarn):
    data = ForeignData()
    with pytest.raises(ConfigError, match="Pixels returned"):
        train(tmp_path, data, score=Pixels())
    with pytest.raises(ConfigError, match="Forgetful needs the patch scores"):
        train(tmp_path, data, policy=Forgetful())
    assert data.visited == []
    with pytest.raises(RunError, match="correct Holes, which computes them from the image alone"):
        train(tmp_path, data, score=Holes(), policy=AllButOne())
    warned = [str(each.message) for each in recwarn]
    assert "AllButOne masks 15 of 16 patches; by its ratio of 0.5, it would be 8." in warned
