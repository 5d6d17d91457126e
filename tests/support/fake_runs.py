"""Writes run folders as `fit` leaves them; `python tests/support/fake_runs.py DIR` writes a whole paper.

`test_cli.py` compares their layout with that of real runs.
"""

import copy
import csv
import io
import json
import math
import random
import sys
from pathlib import Path

import yaml
from PIL import Image, ImageDraw

VOC = "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant"
CITY = "road sidewalk building wall fence pole light sign vegetation terrain sky person rider car truck bus train"
CLASSES = {
    "PascalVOC": ["background", *VOC.split(), "sheep", "sofa", "train", "tvmonitor"],
    "Cityscapes": [*CITY.split(), "motorcycle", "bicycle"],
    "Nassar": ["background", "crop", "weed"],
    "SugarBeets": ["background", "crop", "weed"],
}
SISTER = {"PascalVOC": "Cityscapes", "Cityscapes": "PascalVOC", "Nassar": "SugarBeets", "SugarBeets": "Nassar"}
TRAIN_IMAGES = {"PascalVOC": 1464, "Cityscapes": 2380, "Nassar": 356, "SugarBeets": 529}
MASKINGS = ("random", "random-staged", "random-fixed", "selective")
INITS = ("scratch", "imagenet", *MASKINGS, "selective-cross")
BUDGETS = {5: 0.05, 10: 0.1, 20: 0.2, 50: 0.5, 100: 1.0}
GAIN = {"scratch": 0, "imagenet": 7, "random": 6, "random-staged": 6.4, "random-fixed": 6.2}
GAIN |= {"selective": 8.8, "selective-cross": 7.4}
ABSENT = "absent"
MEAN, STD = [0.4529, 0.4317, 0.3999], [0.444, 0.466, 0.489]


def mask(ratio=0.5, name="RandomMask"):
    return {"class_path": f"smir.masking.{name}", "init_args": {"ratio": ratio}}


def staged(masking, num_stages=10, policy="HardestMask"):
    policy = {"random-staged": None, "random-fixed": mask(), "selective": mask(name=policy)}[masking]
    arguments = {"num_stages": num_stages, "num_samples": 5, "policy": policy, "scoring_mask": mask()}
    return {
        "class_path": "smir.selective.SelectiveMasking",
        "init_args": {**arguments, "score_patches": "all"},
    }


def recipe(task, dataset, protocol="paper", label_budget=None, callbacks=(), max_epochs=500):
    network = {"encoder": "resnet34", "decoder_channels": [256, 128, 64], "dropout": 0.2}
    preprocessing = {"mean": MEAN, "std": STD, "view_size": 256, "num_patches": 512}
    module = "segmentation.SegmentationModule" if task == "segment" else "reconstruction.ReconstructionModule"
    own = {"classes": None} if task == "segment" else {"loss": {"class_path": "smir.losses.ReconstructionLoss"}}
    part = {"Cityscapes": {"train_share": 0.8}, "Nassar": {"label_map": None}}.get(dataset, {})
    return {
        "model": {
            "class_path": f"smir.{module}",
            "init_args": {
                **own,
                "network": {"class_path": "smir.network.UNetStride4", "init_args": network},
                "preprocessing": {"class_path": "smir.preprocessing.Preprocessing", "init_args": preprocessing},
                "lr": 0.003,
                "warmup_epochs": 10,
            },
        },
        "data": {
            "class_path": f"smir.data.{dataset}",
            "init_args": {
                **part,
                "protocol": protocol,
                "task": task,
                "batch_size": 8,
                "crop_size": 256,
                "num_patches": 512,
                "mask": mask(),
                "mean": MEAN,
                "std": STD,
                "label_budget": label_budget,
                "split_seed": 0,
                "min_side": None,
                "cache": False,
            },
        },
        "trainer": {
            "max_epochs": max_epochs,
            "max_steps": -1,
            "precision": "32-true",
            "limit_train_batches": None,
            "limit_val_batches": None,
            "overfit_batches": 0.0,
            "check_val_every_n_epoch": 1,
            "accumulate_grad_batches": 1,
            "gradient_clip_val": None,
            "gradient_clip_algorithm": None,
        },
        "callbacks": list(callbacks),
    }


class Run:
    """A run folder; tests may change `recipe`, `inputs`, `test` or `variant` before `write`."""

    def __init__(self, root, experiment, seed, recipe, inputs, variant=None):
        self.experiment = experiment + (f"-{variant}" if variant else "")
        self.folder = root / self.experiment / f"seed{seed}"
        self.seed, self.recipe, self.inputs, self.variant = seed, copy.deepcopy(recipe), copy.deepcopy(inputs), variant
        self.test, self.curve, self.pictures = None, [], {}
        self.commit = "0123abc"

    @property
    def hashes(self):
        text = json.dumps([self.recipe, self.inputs], sort_keys=True)
        return {"recipe_hash": f"{hash_of(json.dumps(self.recipe))}", "hash": f"{hash_of(text)}"}

    @property
    def command(self):
        return f"python -m smir fit --config experiments/{self.experiment}.yaml --seed_everything {self.seed}"

    def weights(self):
        """Returns the record of these weights in a run that starts from them."""
        own = {"experiment": self.experiment, "variant": self.variant, "seed": self.seed, "commit": self.commit}
        own |= {"recipe_hash": self.hashes["recipe_hash"], "run_hash": self.hashes["hash"], "image_visits": 12000}
        file = {"kind": "file", "checkpoint": "best.ckpt", "sha256": hash_of(self.experiment + str(self.seed))}
        return {**own, "recipe": self.recipe, "inputs": self.inputs, **file}

    def write(self, done=True):
        record = {"format": 1, "experiment": self.experiment, "seed": self.seed, **self.hashes}
        self.json("run.json", {**record, "recipe": self.recipe, "inputs": self.inputs})
        config = {"seed_everything": self.seed, "run": {"experiment": self.experiment, "variant": self.variant}}
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config))
        versions = {"torch": "2.14.1", "lightning": "2.6.6"}
        start = {"time": "2026-01-01T00:00:00+0000", "command": self.command, "commit": self.commit}
        machine = {"python": "3.11.7", "platform": "Linux", "device": "cpu", "threads": 2, "processes": 1}
        self.json("environment.json", [{**start, **machine, "versions": versions}])
        (self.folder / "metrics.csv").write_text(table(self.curve))
        for name, picture in self.pictures.items():
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_bytes(picture)
        if self.test is not None:
            self.json("test/metrics.json", self.test)
        if done:
            self.json("DONE", {"epochs": self.recipe["trainer"]["max_epochs"], "image_visits": 12000, "files": {}})
        return self

    def json(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n")


def pretraining(root, dataset, masking, seed=3741, variant=None, protocol="paper", num_stages=10, epochs=10, **more):
    callbacks = [] if masking == "random" else [staged(masking, num_stages, **more)]
    stages = 1 if masking == "random" else num_stages
    settings = recipe("pretrain", dataset, protocol, callbacks=callbacks, max_epochs=epochs * stages)
    inputs = {"data": {"pool": {"images": 12000, "names": f"pool of {dataset}"}}, "weights": {"kind": "scratch"}}
    run = Run(root, f"{dataset.lower()}/{masking}", seed, settings, inputs, variant)
    for epoch in range(epochs * stages):
        stage, within = epoch // epochs, epoch % epochs / epochs
        loss = 1.1 * math.exp(-2 * within) / (1 + 0.1 * stage) + 0.3 + 0.02 * math.sin(epoch)
        row = {"epoch": epoch, "step": epoch, "lr": 0.003, "stage": float(stage), "train/loss": 0.95 * loss}
        run.curve.append({**row, "val/loss": loss, "val/mean_fill": 0.7, "val/inpaint": 0.5, "seconds": 1.0})
    run.pictures = {"images/final.png": picture(run.experiment, 5)}
    if masking != "random":
        run.pictures[f"images/stage-{stages - 1:02}.png"] = picture(f"{run.experiment} stage", 5)
    return run


def segmentation(root, dataset, init, seed=0, weights=None, variant=None, budget=None, protocol="paper", miou=None):
    settings = recipe("segment", dataset, protocol, budget)
    images = TRAIN_IMAGES[dataset] if budget is None else max(1, round(TRAIN_IMAGES[dataset] * budget))
    splits = {"train": images, "val": 33, "test": 266}
    data = {name: {"images": count, "names": f"{name} of {dataset}, {count}"} for name, count in splits.items()}
    weights = weights or {"kind": init}
    run = Run(root, f"{dataset.lower()}/segment-{init}", seed, settings, {"data": data, "weights": weights}, variant)
    dice = random.Random(f"{dataset} {init} {seed} {variant}")
    least = 30 + 25 * len(CLASSES[dataset]) % 40 + 6 * math.log(images / TRAIN_IMAGES[dataset])
    metrics = {}
    for at in ("view", "native", "boundary", "small", "medium", "large"):
        for number, name in enumerate(CLASSES[dataset]):
            lift = GAIN[init] * 1.5 / (1 + number % 7) + dice.gauss(0, 1.2) - (1 if at == "native" else 0)
            metrics[f"test/{at}/iou/{name}"] = min(0.99, max(0.0, (least + 5 * (number % 7) + lift) / 100))
        values = list(metrics.values())[-len(CLASSES[dataset]) :]
        head = {f"test/{at}/miou": sum(values) / len(values) if miou is None else miou}
        head |= {f"test/{at}/iou_std": 0.1, f"test/{at}/iou_min": min(values)}
        metrics = {**metrics, **head}
    settings = {"data": run.recipe["data"], "precision": "32-true", "limit_test_batches": None}
    run.test = {
        "checkpoint": str(run.folder / "checkpoints/best.ckpt"),
        "weights": "fcb4e678f0a85d8f",
        "data": dataset,
        "protocol": protocol,
        "images": {"number": 266, "names": data["test"]["names"], "bytes": "d0", "root": "data", "labels": "5e"},
        "settings": settings,
        "hash": "ade086b38b60",
        "metrics": metrics,
        "classes": CLASSES[dataset],
    }
    run.curve = [{"epoch": 0, "step": 1, "lr": 0.003, "stage": 0.0, "train/loss": 0.9, "val/miou": 0.3, "seconds": 1.0}]
    for number in range(4):
        run.pictures[f"test/overlay-{number}.png"] = picture(f"{run.experiment} {number}", 3)
    return run


def write_paper(root, seeds=(0, 1, 2), paired=False, ablated="SugarBeets"):
    """Writes the runs of four datasets and seven inits, and budgets and ablations of one dataset."""

    def weights_of(dataset, masking, seed, **more):
        run = pretraining(root, dataset, masking, seed if paired else 3741, **more)
        return (run if run.folder.exists() else run.write()).weights()

    for dataset in CLASSES:
        for seed in seeds:
            for masking in MASKINGS:
                weights = weights_of(dataset, masking, seed)
                segmentation(root, dataset, masking, seed, weights).write()
            weights = weights_of(SISTER[dataset], "selective", seed)
            segmentation(root, dataset, "selective-cross", seed, weights).write()
            for init in ("scratch", "imagenet"):
                segmentation(root, dataset, init, seed).write()
    for seed in seeds:
        for number in (2, 5, 20):
            weights = weights_of(ablated, "selective", seed, variant=f"stages-{number}", num_stages=number)
            segmentation(root, ablated, "selective", seed, weights, f"stages-{number}").write()
        weights = weights_of(ablated, "selective", seed, variant="policy-mixed", policy="MixedMask")
        segmentation(root, ablated, "selective", seed, weights, "policy-mixed").write()
        for percent, budget in BUDGETS.items():
            for init in ("scratch", "imagenet", "random", "selective"):
                weights = weights_of(ablated, init, seed) if init in MASKINGS else None
                segmentation(root, ablated, init, seed, weights, f"labels-{percent}", budget).write()


def hash_of(text):
    return f"{random.Random(text).getrandbits(48):012x}"


def picture(text, columns):
    """Writes a picture of coloured squares."""
    dice = random.Random(text)
    image = Image.new("RGB", (columns * 262 - 6, 220), "white")
    draw = ImageDraw.Draw(image)
    for column in range(columns):
        draw.rectangle((column * 262, 22, column * 262 + 255, 219), fill=tuple(dice.choices(range(80, 220), k=3)))
    draw.text((4, 4), text, fill="black")
    data = io.BytesIO()
    image.save(data, format="PNG")
    return data.getvalue()


def table(rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def unlike(fake, real):
    """Returns the differences in names between a run written here and a real one; a real one may have more options."""
    found = [
        f"{path.name} is not in {real}"
        for path in sorted(fake.rglob("*.*"))
        if not (real / path.relative_to(fake)).exists() and path.suffix != ".png"
    ]
    for name in ("run.json", "DONE", "environment.json", "test/metrics.json"):
        if (fake / name).exists():
            contents = [json.loads((folder / name).read_text()) for folder in (fake, real)]
            found += [f"{name}{place}" for place in unlike_names(*contents)]
    heads = [(folder / "metrics.csv").read_text().split("\n")[0].split(",") for folder in (fake, real)]
    return found + sorted(set(heads[0]) - set(heads[1]))


def unlike_names(fake, real, place=""):
    if place.endswith((".versions", ".files")):
        return []
    if isinstance(fake, dict) and isinstance(real, dict):
        keys = fake if place.endswith(".init_args") else {**fake, **real}
        pairs = [(fake.get(key, ABSENT), real.get(key, ABSENT), f"{place}.{key}") for key in keys]
        return [name for pair in pairs for name in unlike_names(*pair)]
    if isinstance(fake, list) and isinstance(real, list) and fake and real:
        return unlike_names(fake[0], real[0], place + "[0]")
    alike = type(fake) is type(real) or None in (fake, real)
    return [] if alike and ABSENT not in (fake, real) else [place]


def rows_of(path):
    """Returns the rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    write_paper(Path(sys.argv[1]))
