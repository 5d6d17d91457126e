"""Every row of the paper, run by the real command line on tiny fakes, and its settings compared with METHOD.md."""

import json
from pathlib import Path

import pytest
import yaml
from fakes import write_cityscapes, write_imagenet, write_nassar, write_pascal_voc, write_sugar_beets
from freeze import experiments, parse, parsed, recipe_hash
from words import EXPERIMENTS, QUIET, REPOSITORY, TINY_NETWORK

from smir.__main__ import main

SISTERS = {
    "pascal_voc": "cityscapes",
    "cityscapes": "pascal_voc",
    "nassar": "sugar_beets",
    "sugar_beets": "nassar",
}
PRETRAININGS = ("random", "selective", "random-staged", "random-fixed")
INITS = ("scratch", "imagenet", *PRETRAININGS, "selective-cross")
BATCH_SIZES = {"pascal_voc": 128, "cityscapes": 128, "nassar": 256, "sugar_beets": 64}
ABLATIONS = sorted(path.stem for path in (EXPERIMENTS / "ablations").glob("*.yaml"))
ENCODER = ["batch-norm", "encoder-lr-0.1", "encoder-only", "frozen-encoder"]
SEGMENT = [*ENCODER, "label-draws", *(name for name in ABLATIONS if name.startswith("labels-"))]
"""Ablations of a segmentation; the others are of a pretraining."""
CHANGES = {
    "batch-norm": {"model.reestimate_batch_norm": True, "model.freeze_encoder_epochs": -1},
    "dropout-0": {"model.network.dropout": 0.0},
    "encoder-lr-0.1": {"model.encoder_lr_factor": 0.1},
    "encoder-only": {"model.weights_part": "encoder"},
    "frozen-encoder": {"model.freeze_encoder_epochs": -1},
    "label-draws": {"data.label_budget": 0.05, "data.budget_seed": "run"},
    "local-loss": {"model.loss": "smir.method.LocalReconstructionLoss"},
    "loss-masked": {"model.loss": "smir.method.MaskedReconstructionLoss"},
    "masked-patches-only": {"score_patches": "masked"},
    "patches-128": {"data.num_patches": 128},
    "patches-1024": {"data.num_patches": 1024},
    "samples-1": {"num_samples": 1},
    "samples-10": {"num_samples": 10},
    "score-excess": {"score_patches": "excess", "paired_samples": True},
    "score-interpolation": {"score": "smir.method.InterpolationScore"},
    "score-variance": {"score": "smir.method.VarianceScore"},
    "ssim-unit-range": {"model.ssim_unit_range": True},
    "stages-2": {"num_stages": 2, "max_epochs": 2000},
    "stages-5": {"num_stages": 5, "max_epochs": 5000},
    "stages-20": {"num_stages": 20, "max_epochs": 20000},
    "mask-ratio-25": {"data.mask": 0.25, "policy": 0.25, "scoring_mask": 0.25},
    "mask-ratio-75": {"data.mask": 0.75, "policy": 0.75, "scoring_mask": 0.75},
    "policy-mixed": {"policy.class_path": "smir.method.MixedMask", "policy.hardest": 0.5},
    "policy-ramp": {"policy.class_path": "smir.method.RampMask", "policy.last": 9},
    "policy-proportional": {"policy.class_path": "smir.method.ProportionalMask"},
    "policy-blocks": {
        "data.mask.class_path": "smir.method.BlockMask",
        "data.mask.smallest": 16,
        "data.mask.aspect": 0.3,
        "policy": None,
    },
    "labels-5": {"data.label_budget": 0.05},
    "labels-10": {"data.label_budget": 0.1},
    "labels-20": {"data.label_budget": 0.2},
    "labels-50": {"data.label_budget": 0.5},
    "labels-100": {"data.label_budget": 1.0},
}


# One dataset has all stages of the paper, one epoch each; the code is the same for all datasets.
STAGES = {"pascal_voc": 2, "cityscapes": 2, "nassar": 10, "sugar_beets": 2}
FAST = [*TINY_NETWORK, *QUIET, "--trainer.num_sanity_val_steps=0"]
"""Beyond `experiments/smoke`: an even smaller network, and no validation before the only one."""
FEW_SAMPLES = "--trainer.callbacks.num_samples=2"


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """Runs a row as `make paper-smoke` does, after its pretraining, and only once; returns its folder."""
    root = tmp_path_factory.mktemp("paper")
    data, size = root / "data", (192, 256)
    write_pascal_voc(data, unlabelled=2, size=size)
    write_cityscapes(data, extra=2, train=5, val=2, test=2, size=size)
    write_nassar(data, train=20, tiles=20, size=size)
    write_sugar_beets(data, plain=4, size=size)
    for stages in (2, 5, 20):  # a stage needs two images
        write_nassar(root / f"{stages} stages", train=0, val=0, test=0, tiles=2 * stages, size=size)
    write_imagenet(data / "imagenet.pth", "test_efficientnet")

    def run(dataset, row, *more):
        folder = root / "runs" / dataset / row / "seed0"
        if not (folder / "DONE").is_file():
            kind = "segment" if row.startswith("segment") else "pretrain"
            words = [f"--config={EXPERIMENTS / 'smoke' / name}.yaml" for name in (kind, "all")]
            words += ["--seed_everything=0", f"--data.root={root / 'data'}", f"--run.root={root / 'runs'}", *FAST]
            if kind == "pretrain" and row != "random":
                words += [f"--trainer.callbacks.num_stages={STAGES[dataset]}", FEW_SAMPLES]
            if kind == "pretrain":
                words.append(f"--trainer.max_epochs={STAGES[dataset] if row != 'random' else 1}")
            else:
                words += ["--trainer.max_epochs=1", "--data.crop_size=64"]
            if row == "segment-imagenet":
                words.append(f"--model.imagenet_file={root / 'data/imagenet.pth'}")
            elif kind == "segment" and row != "segment-scratch":
                cross = row.endswith("-cross")
                start = run(SISTERS[dataset] if cross else dataset, row.removeprefix("segment-").removesuffix("-cross"))
                words.append(f"--model.weights={start / 'checkpoints/best.ckpt'}")
            main(["fit", f"--config={EXPERIMENTS / dataset / row}.yaml", *words, *more])
            assert (folder / "DONE").is_file()
        return folder

    run.root = root
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAKELEVEL", "1")
        yield run


def test_the_lists_of_rows_and_ablations_are_complete():
    for dataset in SISTERS:
        rows = {path.stem for path in (EXPERIMENTS / dataset).glob("*.yaml")} - {"pretrain", "segment"}
        assert rows == {*PRETRAININGS, *(f"segment-{init}" for init in INITS)}
    assert sorted(CHANGES) == ABLATIONS


@pytest.mark.parametrize("row", PRETRAININGS)
@pytest.mark.parametrize("dataset", SISTERS)
def test_a_pretraining_runs(paper, dataset, row):
    folder = paper(dataset, row)
    masks = sorted(path.name for path in (folder / "masks").glob("stage-*"))
    kinds = {"random": [], "random-staged": [], "random-fixed": [""], "selective": ["", "-scores"]}[row]
    stages = range(1, STAGES[dataset])
    assert masks == sorted(f"stage-{stage:02d}{kind}.npz" for stage in stages for kind in kinds)


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("dataset", SISTERS)
def test_a_segmentation_runs(paper, dataset, init):
    folder = paper(dataset, f"segment-{init}")
    assert (folder / "test/metrics.json").is_file()
    weights = yaml.safe_load((folder / "run.json").read_text())["inputs"]["weights"]
    if init in ("scratch", "imagenet"):
        assert weights["kind"] == init
    else:
        home = SISTERS[dataset] if init.endswith("-cross") else dataset
        assert weights["experiment"] == f"{home}/{init.removesuffix('-cross')}"


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_runs(paper, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    row, kind, seed = ("segment-scratch", "segment", 0) if name in SEGMENT else ("selective", "pretrain", 3741)
    root = paper.root
    files = (f"nassar/{row}", f"ablations/{name}", f"smoke/{kind}", "smoke/all")
    words = [f"--config={EXPERIMENTS / file}.yaml" for file in files]
    stages, data = 2, "data"
    if kind == "pretrain":  # the rows of the paper have run all ten
        stages = CHANGES[name].get("num_stages", stages)
        data = f"{stages} stages"
        words.append(f"--trainer.callbacks.num_stages={stages}")
        words += [FEW_SAMPLES] if name.startswith("stages-") else []  # as many scorings as stages
    else:
        words.append("--data.crop_size=64")
    if name in ENCODER:
        words.append(f"--model.weights={paper('nassar', 'random') / 'checkpoints/best.ckpt'}")
    main(["fit", *words, f"--trainer.max_epochs={stages}", f"--data.root={root / data}", *FAST])
    assert (tmp_path / f"runs/nassar/{row}-{name}/seed{seed}/DONE").is_file()


@pytest.mark.parametrize("dataset", SISTERS)
@pytest.mark.parametrize("row", PRETRAININGS)
def test_pretraining_has_the_settings_of_the_paper(dataset, row):
    config = parsed(f"{dataset}/{row}").fit
    model, data, trainer = config.model.init_args, config.data.init_args, config.trainer
    network = model.network.init_args
    assert (config.seed_everything, trainer.precision) == (3741, "32-true")
    assert (network.encoder, list(network.decoder_channels), network.dropout) == ("resnet34", [256, 128, 64], 0.2)
    assert (model.lr, model.warmup_epochs, model.loss.class_path) == (3e-3, 10, "smir.method.ReconstructionLoss")
    assert (data.task, data.crop_size, data.num_patches, data.mask.init_args.ratio) == ("pretrain", 256, 512, 0.5)
    assert (data.batch_size, data.protocol, data.label_budget) == (BATCH_SIZES[dataset], "paper", None)
    assert (data.mean, data.std) == ((0.4529, 0.4317, 0.3999), (0.444, 0.466, 0.489))
    assert config.run.experiment == f"{dataset}/{row}"
    if row == "random":
        assert (trainer.max_epochs, trainer.callbacks) == (1000, None)
        return
    ((stages,), options) = trainer.callbacks, trainer.callbacks[0].init_args
    assert stages.class_path == "smir.training.SelectiveMasking"
    assert (trainer.max_epochs, options.num_stages, options.num_samples) == (10 * 1000, 10, 5)
    assert (options.scoring_mask.init_args.ratio, options.score_patches) == (0.5, "all")
    policies = {"selective": "smir.method.HardestMask", "random-fixed": "smir.method.RandomMask"}
    assert (options.policy and options.policy.class_path) == policies.get(row)
    assert options.policy is None or options.policy.init_args.ratio == 0.5


@pytest.mark.parametrize("dataset", SISTERS)
@pytest.mark.parametrize("init", INITS)
def test_segmentation_has_the_settings_of_the_paper(dataset, init):
    config = parsed(f"{dataset}/segment-{init}").fit
    model, data, trainer = config.model.init_args, config.data.init_args, config.trainer
    network = model.network.init_args
    assert (network.encoder, list(network.decoder_channels), network.dropout) == ("resnet34", [256, 128, 64], 0.2)
    assert (model.lr, model.warmup_epochs, trainer.max_epochs, trainer.precision) == (3e-3, 10, 500, "32-true")
    assert (data.task, data.batch_size, data.crop_size, data.protocol) == ("segment", 8, 256, "paper")
    assert (data.mean, data.std) == ((0.4529, 0.4317, 0.3999), (0.444, 0.466, 0.489))
    assert (data.label_budget, data.get("labels", "paper"), trainer.callbacks) == (None, "paper", None)
    home = SISTERS[dataset] if init == "selective-cross" else dataset
    weights = Path(f"runs/{home}/{init.removesuffix('-cross')}/seed3741/checkpoints/best.ckpt")
    assert model.weights == {"scratch": None, "imagenet": "imagenet"}.get(init, weights)
    assert config.run.experiment == f"{dataset}/segment-{init}"


def flat(value, name=""):
    """Returns the settings of a config by name, without class_path, init_args and positions in lists."""
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else ((None, item) for item in value)
        return {k: v for key, item in items for k, v in flat(item, f"{name}.{key}" if key else name).items()}
    name = name.replace(".init_args", "").replace("trainer.callbacks.", "").removeprefix(".")
    name = name.removesuffix(".ratio" if "mask" in name or "policy" in name else ".class_path")
    return {name: getattr(value, "value", value)}


READ_BEFORE = {"config", "include"}  # settings of files, which the parser ignores
SHARED = {"mask-ratio-75": {"data.mask": 0.75}, "patches-128": {"data.num_patches": 128}}


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("row", ["random", "random-staged", "random-fixed"])
def test_an_ablation_shared_by_all_maskings_changes_only_its_own_settings(monkeypatch, row, name):
    monkeypatch.chdir(EXPERIMENTS.parent)
    files = [f"--config=experiments/nassar/{row}.yaml", f"--config=experiments/ablations/{name}.yaml"]
    before, after = (flat(parse(words).fit.as_dict()) for words in (files[:1], files))
    found = {key: value for key, value in after.items() if value != before.get(key, "not there")}
    found = {key: value for key, value in found.items() if key.partition(".")[0] not in READ_BEFORE}
    fixed = {"policy": 0.75, "scoring_mask": 0.75} if (row, name) == ("random-fixed", "mask-ratio-75") else {}
    assert found == {"run.variant": name, **SHARED[name], **fixed}  # epochs, stages and so image visits are unchanged
    assert before.keys() - after.keys() <= READ_BEFORE


@pytest.mark.parametrize(
    ("row", "name", "lacks"),
    [
        ("random", "samples-10", "select no masks by their scores"),
        ("random-staged", "score-variance", "select no masks by their scores"),
        ("random", "stages-5", "have no stages"),
    ],
)
def test_an_ablation_of_selective_masking_is_refused_on_a_random_row(fails, row, name, lacks):
    files = [f"--config={EXPERIMENTS}/nassar/{row}.yaml", f"--config={EXPERIMENTS}/ablations/{name}.yaml"]
    said = fails("fit", *files)
    assert f"{name}.yaml changes" in said
    assert lacks in said


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_changes_only_the_settings_that_it_names(name):
    row = "segment-random" if name in SEGMENT else "selective"
    before, after = (flat(parsed(which).fit.as_dict()) for which in (f"nassar/{row}", f"ablations/{name}"))
    found = {key: value for key, value in after.items() if value != before.get(key, "not there")}
    found = {key: value for key, value in found.items() if key.partition(".")[0] not in READ_BEFORE}
    assert all(key.removesuffix(".class_path") in found for key in before.keys() - after.keys() - READ_BEFORE)
    assert found.pop("run.variant") == name
    assert {key.removeprefix("trainer."): value for key, value in found.items()} == CHANGES[name]


def test_recipes_keep_the_hashes_of_version_0_1_0(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    expected = json.loads((REPOSITORY / "tests/frozen/recipes.json").read_text())
    assert {name: recipe_hash(name) for name in experiments() if name in expected} == expected
