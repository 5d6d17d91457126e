"""`smir report` on fabricated runs; `test_cli.py` compares their layout with that of real ones."""

import csv
import itertools
import json
import re
import shutil
import statistics
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from fake_runs import CLASSES, INITS, SISTER, Run, pretraining, segmentation, write_paper

from smir.report.curve_plots import POINTS, thinned
from smir.report.estimates import Estimate, averaged, bootstrap_interval, on_common_seeds, paired
from smir.report.latex import escaped
from smir.report.stored import Point
from smir.report.svg import Axis, spread

TITLES = {"PascalVOC": "Pascal VOC", "Cityscapes": "Cityscapes", "Nassar": "Nassar 2020"}
TITLES |= {"SugarBeets": "Sugar Beets 2016"}


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """A whole paper and its report, made by a process that must not have imported torch."""
    root = tmp_path_factory.mktemp("paper")
    write_paper(root / "runs")
    code = (
        "import sys; from smir.__main__ import main\n"
        "main(sys.argv[1:]); assert not {'torch', 'lightning', 'matplotlib'} & set(sys.modules)"
    )
    words = ["report", str(root / "runs"), "--out", str(root / "report")]
    subprocess.run([sys.executable, "-c", code, *words], check=True, stdout=subprocess.DEVNULL)
    return root


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def miou(run, at="view"):
    return 100 * json.loads((run / "test/metrics.json").read_text())["metrics"][f"test/{at}/miou"]


# what the figures are


def test_every_figure_of_the_main_table_is_the_mean_over_its_seeds(paper):
    rows = {row["init"]: row for row in rows_of(paper / "report/tables/main-paper.csv")}
    assert list(rows) == list(INITS)
    for dataset, init in itertools.product(CLASSES, INITS):
        for at, column in (("view", "256-pixel view"), ("native", "label size")):
            runs = (paper / f"runs/{dataset.lower()}/segment-{init}").glob("seed*")
            values = [miou(run, at) for run in runs]
            name = f"{TITLES[dataset]}: {column}"
            assert float(rows[init][name]) == pytest.approx(statistics.mean(values), abs=1e-6)
            assert float(rows[init][f"{name} std"]) == pytest.approx(statistics.stdev(values), abs=1e-6)
            assert rows[init][f"{name} seeds"] == "3"


def test_differences_are_paired_by_seed(paper):
    rows = {row["init"]: row for row in rows_of(paper / "report/tables/differences-paper.csv")}
    for dataset, init, baseline in itertools.product(CLASSES, INITS, ("random", "imagenet")):
        name = f"{TITLES[dataset]}: - {baseline}"
        if init == baseline:
            assert rows[init][name] == "NA"
            continue
        folders = [paper / f"runs/{dataset.lower()}/segment-{word}" for word in (init, baseline)]
        gains = [miou(folders[0] / f"seed{seed}") - miou(folders[1] / f"seed{seed}") for seed in range(3)]
        assert float(rows[init][name]) == pytest.approx(statistics.mean(gains), abs=1e-6)
        low, high = exact_interval(gains)
        assert float(rows[init][f"{name} low"]) == pytest.approx(low, abs=1e-6)
        assert float(rows[init][f"{name} high"]) == pytest.approx(high, abs=1e-6)


def exact_interval(values):
    """The interval of all n^n resamples, each once."""
    means = [statistics.fmean(drawn) for drawn in itertools.product(values, repeat=len(values))]
    return np.quantile(means, [0.025, 0.975], method="inverted_cdf")


def test_the_interval_is_that_of_all_resamples():
    assert bootstrap_interval([1.5]) is None
    for values in ([1.0, 2.0], [0.1, 0.7, -0.3, 2.5], [1.0, 4.0, 2.0, 0.5, 3.1]):
        assert bootstrap_interval(values) == pytest.approx(exact_interval(values), abs=0.12)
        assert bootstrap_interval(values) == bootstrap_interval(values)


def test_pairs_need_both_and_averages_need_all():
    left, right = Estimate({0: 5.0, 1: 7.0}, 2), Estimate({1: 4.0, 2: 1.0}, 2)
    assert paired(left, right).by_seed == {1: 3.0}
    assert paired(left, None) is None
    assert averaged([paired(left, right), None]) is None
    assert averaged([paired(left, left), paired(left, right)]).by_seed == {1: 1.5}
    assert paired(left, Estimate({5: 1.0}, 1)).by_seed == {}
    assert on_common_seeds(left, right) == (Estimate({1: 7.0}, 1), Estimate({1: 4.0}, 1))
    assert on_common_seeds(left, Estimate({5: 1.0}, 1)) == (None, None)


def test_classes_begin_with_the_lowest_of_the_baseline(paper):
    rows = rows_of(paper / "report/tables/classes-paper-0.csv")
    scratch = [float(row["scratch"]) for row in rows]
    assert len(rows) == 21
    assert scratch == sorted(scratch)
    gains = [float(row["selective - random"]) for row in rows]
    assert gains == pytest.approx([float(row["selective"]) - float(row["random"]) for row in rows], abs=1e-6)


def test_same_and_cross_budgets_and_ablations(paper):
    cross = rows_of(paper / "report/tables/cross-paper.csv")
    assert [row["other pool"] for row in cross] == [TITLES[SISTER[dataset]] for dataset in CLASSES]
    budgets = rows_of(paper / "report/tables/budgets-paper-SugarBeets.csv")
    assert [row["labelled images"] for row in budgets] == ["26", "53", "106", "264", "529"]
    values = [miou(paper / f"runs/sugarbeets/segment-selective-labels-5/seed{seed}") for seed in range(3)]
    assert float(budgets[0]["selective"]) == pytest.approx(statistics.mean(values), abs=1e-6)
    ablations = rows_of(paper / "report/tables/ablations-paper.csv")
    assert [row["variant"] for row in ablations] == ["stages-2", "stages-5", "stages-20"]
    plain, five = (
        [miou(paper / f"runs/sugarbeets/segment-{name}/seed{seed}") for seed in range(3)]
        for name in ("selective", "selective-stages-5")
    )
    gain = statistics.mean(five) - statistics.mean(plain)
    assert float(ablations[1]["with - without"]) == pytest.approx(gain, abs=1e-6)
    text = (paper / "report/report.md").read_text()
    assert "stages-5: weights.recipe.trainer.max_epochs: 50, not 100; weights.recipe.callbacks[0]" in text


# what is written


def test_markdown_has_the_command_and_the_commit_behind_every_number(paper):
    text = (paper / "report/report.md").read_text()
    runs = list((paper / "runs").rglob("run.json"))
    assert len(runs) == 153 + 19
    for run in runs:
        (start,) = json.loads((run.parent / "environment.json").read_text())
        assert f"`{start['command']}`" in text
        assert f"{run.parent}, seed " in text
    assert text.count("commit 0123abc") >= len(runs)
    for line in text.splitlines():
        if line.startswith("| init "):
            assert line.count("|") == 10
    behind = rows_of(paper / "report/tables/runs.csv")
    assert len({row["folder"] for row in behind}) == 153
    one = next(
        row for row in behind if row["metric"] == "view/miou" and row["folder"].endswith("nassar/segment-random/seed1")
    )
    assert float(one["percent"]) == pytest.approx(miou(Path(one["folder"])), abs=1e-6)


def test_latex_has_as_many_cells_in_every_row_as_columns(paper):
    text = (paper / "report/tables.tex").read_text()
    tables = re.findall(r"\\begin\{tabular\}\{@\{\}([lr]+)@\{\}\}\n(.*?)\\end\{tabular\}", text, re.DOTALL)
    assert len(tables) == text.count(r"\begin{table}") == 3 + 4 + 1 + 1 + 1 + 1
    for columns, body in tables:
        for line in body.splitlines():
            if not line.startswith(("\\toprule", "\\midrule", "\\bottomrule", "\\cmidrule")):
                assert line.endswith(r" \\")
                spans = sum(int(span) - 1 for span in re.findall(r"\\multicolumn\{(\d+)\}", line))
                assert len(re.findall(r"(?<!\\)&", line)) + 1 + spans == len(columns)
    bare = re.sub(r"\\[%&_#$]|\\label\{.*?\}|\$[^$]*\$", "", text.split("\n", 1)[1])
    assert not set(re.sub(r"[&]", "", bare)) & set("%_#$^~|<>")
    assert escaped("50 % of a_b & {c} -0.3") == r"50 \% of a\_b \& \{c\} $-$0.3"
    assert escaped("mask-ratio-25, selective - random") == "mask-ratio-25, selective $-$ random"


class Page(HTMLParser):
    """Keeps what a page refers to, and whether its tags are nested well."""

    def __init__(self):
        super().__init__()
        self.open, self.links, self.ids = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "br", "circle", "line", "polyline"):
            self.open.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href", "srcset", "action")]
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_needs_nothing_beside_it(paper):
    text = (paper / "report/index.html").read_text()
    page = Page()
    page.feed(text)
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link.startswith("data:image/") or link.removeprefix("#") in page.ids
    assert not re.search(r"https?://|@import|url\(", text)
    assert text.count("<img") == 4 * 7 * 2 + 4 * (1 + 3 * 2)
    assert text.count("<svg") == 4 + 4 + 4 + 1 + 19


def test_figures_are_svg_with_their_text(paper):
    for path in (paper / "report/figures").glob("*.svg"):
        ElementTree.parse(path)
    names = [node.text for node in ElementTree.parse(paper / "report/figures/miou-paper-2.svg").iter() if node.text]
    assert set(INITS) < set(names)
    ends = [node.text for node in ElementTree.parse(paper / "report/figures/budgets-paper-SugarBeets.svg").iter()]
    assert {"scratch", "imagenet", "random", "selective"} < set(ends)


def test_the_same_runs_give_the_same_report(paper, smir, tmp_path):
    smir("report", "--out", tmp_path / "report", paper / "runs")
    names = json.loads((paper / "report/contents.json").read_text())
    assert {str(p.relative_to(paper / "report")) for p in (paper / "report").rglob("*.*")} == {*names, "contents.json"}
    for name in names:
        assert (paper / "report" / name).read_bytes() == (tmp_path / "report" / name).read_bytes()


def test_what_an_earlier_report_has_written_goes_and_nothing_else(smir, tmp_path):
    for protocol in ("paper", "clean"):
        segmentation(tmp_path / protocol, "Nassar", "scratch", 0, protocol=protocol).write()
    smir("report", "paper", "clean")
    own = tmp_path / "report/tables/mine.csv"
    own.write_text("1")
    (tmp_path / "kept").write_text("1")
    contents = tmp_path / "report/contents.json"
    contents.write_text(json.dumps([*json.loads(contents.read_text()), "../kept", "/kept", "..", "tables", 3]))
    assert (tmp_path / "report/tables/main-clean.csv").exists()
    smir("report", "paper")
    assert not (tmp_path / "report/tables/main-clean.csv").exists()
    assert own.exists()
    assert (tmp_path / "kept").exists()


def test_other_datasets_and_weights_have_rows_too(smir, tmp_path):
    for seed, weights in enumerate((None, {"kind": "file", "checkpoint": "from elsewhere.pth", "sha256": "ab"})):
        run = segmentation(tmp_path / "runs", "Nassar", "scratch", seed, weights)
        run.recipe["data"]["class_path"] = "smir.data.Folder"
        del run.recipe["data"]["init_args"]["protocol"]
        run.test["settings"]["data"] = run.recipe["data"]
        run.write()
    smir("report", "runs")
    rows = {row["init"]: row for row in rows_of(tmp_path / "report/tables/main-none.csv")}
    assert list(rows) == [*INITS, "weights of from elsewhere.pth"]
    assert rows["weights of from elsewhere.pth"]["Folder: 256-pixel view seeds"] == "1"
    assert not (tmp_path / "report/tables/averages-none.csv").exists()


# what is missing


def test_what_has_no_run_is_missing_and_never_zero(smir, tmp_path, capsys):
    for seed in (0, 1):
        segmentation(tmp_path / "runs", "Nassar", "scratch", seed).write()
    random = pretraining(tmp_path / "runs", "Nassar", "random").write()
    run = segmentation(tmp_path / "runs", "Nassar", "random", 1, random.weights())
    run.test["metrics"]["test/view/iou/weed"] = None
    run.write()
    smir("report", "runs")
    rows = {row["init"]: row for row in rows_of(tmp_path / "report/tables/main-paper.csv")}
    assert list(rows) == list(INITS)
    assert [rows["selective"][name] for name in list(rows["selective"])[1:]] == ["NA"] * 6
    assert rows["random"]["Nassar 2020: 256-pixel view std"] == "NA"
    said = capsys.readouterr().out
    assert re.search(r"\| selective +\| missing +\| missing +\|", said)
    assert "Number of seeds" not in said
    assert re.search(r"\| scratch +\| [-+][\d.]+ \(1\) +\| missing +\|", said) or "rests on a single seed" in said
    classes = {row["class"]: row for row in rows_of(tmp_path / "report/tables/classes-paper-0.csv")}
    assert classes["weed"]["random"] == "NA"
    assert classes["weed"]["scratch seeds"] == "2"
    assert classes["crop"]["random seeds"] == "1"


def test_a_class_that_some_seeds_lack_says_so(smir, tmp_path):
    for seed in range(3):
        run = segmentation(tmp_path / "runs", "Nassar", "scratch", seed)
        if seed == 1:
            run.test["metrics"]["test/view/iou/weed"] = None
        run.write()
    smir("report", "runs")
    assert re.search(r"\| weed +\| [\d.]+ ± [\d.]+ \(2 of 3\) ", (tmp_path / "report/report.md").read_text())


def test_unfinished_runs_and_useless_tests_are_listed(smir, tmp_path):
    segmentation(tmp_path / "runs", "Nassar", "scratch").write()
    pretraining(tmp_path / "runs", "Nassar", "selective", epochs=5).write(done=False)
    begun = pretraining(tmp_path / "runs", "Nassar", "random")
    begun.curve = begun.curve[:3]
    begun.write(done=False)
    late = segmentation(tmp_path / "runs", "Nassar", "imagenet", 1)
    late.test["checkpoint"] = "last.ckpt"
    late.write()
    other = segmentation(tmp_path / "runs", "Nassar", "imagenet", 2)
    other.test["settings"]["limit_test_batches"] = 2
    other.write()
    untested = segmentation(tmp_path / "runs", "Nassar", "imagenet", 3)
    untested.test = None
    untested.write()
    sweep = segmentation(tmp_path / "runs", "Nassar", "imagenet", 4)
    sweep.experiment += "/sweep-ab12/cd34"
    sweep.write()
    smir("report", "runs")
    text = (tmp_path / "report/report.md").read_text()
    assert "runs/nassar/selective/seed3741: 50 of 50 epochs, in stage 9" in text
    assert "runs/nassar/random/seed3741: 3 of 10 epochs" in text
    assert "segment-imagenet/seed1: test/ tests last.ckpt, not best.ckpt" in text
    assert "segment-imagenet/seed2: test/ tests with other settings" in text
    assert "segment-imagenet/seed3: has no test" in text
    assert "segment-imagenet/seed4: is of a sweep" in text
    rows = {row["init"]: row for row in rows_of(tmp_path / "report/tables/main-paper.csv")}
    assert rows["imagenet"]["Nassar 2020: 256-pixel view"] == "NA"


# what is refused


def test_runs_of_other_settings_are_not_averaged(fails, smir, tmp_path):
    segmentation(tmp_path / "runs", "Nassar", "scratch", 0).write()
    other = segmentation(tmp_path / "runs", "Nassar", "scratch", 1)
    other.recipe["model"]["init_args"]["lr"] = 0.001
    other.recipe["trainer"]["max_epochs"] = 400
    other.write()
    said = fails("report", "runs")
    assert "runs/nassar/segment-scratch/seed0\n" in said
    assert "runs/nassar/segment-scratch/seed1\n" in said
    assert "recipe.model.init_args.lr: 0.003, not 0.001" in said
    assert "recipe.trainer.max_epochs: 500, not 400" in said
    assert not (tmp_path / "report").exists()
    smir("report", "runs/nassar/segment-scratch/seed0")


def test_runs_on_other_images_are_not_averaged(fails, tmp_path):
    segmentation(tmp_path / "runs", "Nassar", "scratch", 0).write()
    other = segmentation(tmp_path / "runs", "Nassar", "scratch", 1)
    other.inputs["data"]["train"]["names"] = "another list"
    other.write()
    assert "data.train.names: train of Nassar, 356, not another list" in fails("report", "runs")


def test_the_recipe_of_the_pretraining_counts_and_its_seed_does_not(smir, fails, tmp_path):
    for seed in (0, 1):
        weights = pretraining(tmp_path / "runs", "Nassar", "selective", seed).write().weights()
        segmentation(tmp_path / "runs", "Nassar", "selective", seed, weights).write()
    smir("report", "runs")
    other = pretraining(tmp_path / "other", "Nassar", "selective", 2)
    other.recipe["callbacks"][0]["init_args"]["num_samples"] = 1
    segmentation(tmp_path / "runs", "Nassar", "selective", 2, other.write().weights()).write()
    said = fails("report", "runs")
    assert "weights.recipe.callbacks[0].init_args.num_samples: 5, not 1" in said


def test_protocols_have_tables_of_their_own(smir, tmp_path):
    for protocol in ("paper", "clean"):
        segmentation(tmp_path / protocol, "Nassar", "scratch", 0, protocol=protocol).write()
    segmentation(tmp_path / "paper", "Nassar", "scratch", 1).write()
    smir("report", "paper", "clean", "--out=report")
    counts = {
        name: rows_of(tmp_path / f"report/tables/main-{name}.csv")[0]["Nassar 2020: 256-pixel view seeds"]
        for name in ("paper", "clean")
    }
    assert counts == {"paper": "2", "clean": "1"}
    text = (tmp_path / "report/report.md").read_text()
    assert text.index("## Main table, protocol: paper") < text.index("## Main table, protocol: clean")


def test_the_same_seed_twice_is_refused(fails, tmp_path):
    for root in ("a", "b"):
        segmentation(tmp_path / root, "Nassar", "scratch").write()
    assert "are the same run twice: seed 0, equal settings" in fails("report", "a", "b")


def test_rows_that_differ_in_more_than_their_start_get_a_warning(smir, tmp_path):
    segmentation(tmp_path / "runs", "Nassar", "scratch").write()
    other = segmentation(tmp_path / "runs", "Nassar", "imagenet")
    other.recipe["model"]["init_args"]["lr"] = 0.001
    other.write()
    segmentation(tmp_path / "runs", "Nassar", "random", 0, pretraining(tmp_path, "Nassar", "random").weights()).write()
    smir("report", "runs")
    text = (tmp_path / "report/report.md").read_text()
    assert text.count("**Warning:** Rows that are compared differ") == 1
    assert "segment-imagenet/seed0 differs from " in text
    assert "recipe.model.init_args.lr: 0.001, not 0.003." in text


# where a run belongs


def test_the_row_comes_from_the_records_and_not_from_names(smir, tmp_path):
    pools = {"random": "Nassar", "random-staged": "Nassar", "random-fixed": "Nassar", "selective": "SugarBeets"}
    for number, (masking, pool) in enumerate(pools.items()):
        source = pretraining(tmp_path / "runs", pool, masking)
        source.experiment = f"mine/{number}"
        run = segmentation(tmp_path / "runs", "Nassar", masking, weights=source.weights())
        run.folder = tmp_path / f"runs/mine/selective-{number}/seed0"
        run.write()
    smir("report", "runs")
    known = {row["init"] for row in rows_of(tmp_path / "report/tables/runs.csv")}
    assert known == {"random", "random-staged", "random-fixed", "selective-cross"}


def test_weights_that_tell_no_recipe_are_known_by_the_run_in_the_tree(smir, tmp_path):
    source = pretraining(tmp_path / "runs", "Nassar", "random-fixed").write()
    weights = {name: value for name, value in source.weights().items() if name not in ("recipe", "inputs", "variant")}
    segmentation(tmp_path / "runs", "Nassar", "random-fixed", weights=weights).write()
    smir("report", "runs")
    assert {row["init"] for row in rows_of(tmp_path / "report/tables/runs.csv")} == {"random-fixed"}
    shutil.rmtree(source.folder)
    smir("report", "runs")
    assert {row["init"] for row in rows_of(tmp_path / "report/tables/runs.csv")} == {"weights of nassar/random-fixed"}


# wrong input


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("run.json", "[]", "run.json is damaged"),
        ("run.json", '{"format": 1, "seed": 0, "recipe": {}}', "run.json is damaged"),
        ("run.json", '{"format": 2}', "run.json has format 2"),
        ("environment.json", "{}", "environment.json is damaged"),
        ("environment.json", "[{", "environment.json cannot be read"),
        ("config.yaml", "run: [", "config.yaml cannot be read"),
        ("config.yaml", "- 1", "config.yaml cannot be read"),
        ("DONE", "3", "run.json is damaged"),
        ("test/overlay-0.png", "no picture", "overlay-0.png is no picture that can be read"),
        ("test/metrics.json", "{}", "metrics.json is damaged"),
        ("test/metrics.json", None, "metrics.json is damaged"),
    ],
)
def test_damaged_records_name_the_file(fails, tmp_path, name, content, said):
    run = segmentation(tmp_path / "runs", "Nassar", "scratch")
    run.test["metrics"]["test/view/iou/weed"] = "high" if content is None else 0.5
    run.write()
    if content is not None:
        (run.folder / name).write_text(content)
    assert said in fails("report", "runs")


def test_a_report_that_cannot_be_written_says_where(fails, tmp_path):
    segmentation(tmp_path / "runs", "Nassar", "scratch").write()
    (tmp_path / "taken").write_text("a file")
    assert "taken" in fails("report", "runs", "--out=taken")
    assert (tmp_path / "taken").read_text() == "a file"


def test_damaged_curves_name_the_file(fails, tmp_path):
    segmentation(tmp_path / "runs", "Nassar", "scratch").write()
    run = pretraining(tmp_path / "runs", "Nassar", "random").write()
    (run.folder / "metrics.csv").write_text("epoch,stage,val/loss\nx,0,1\n")
    assert "metrics.csv is damaged" in fails("report", "runs")


def test_a_folder_without_results_says_what_it_holds(fails, tmp_path):
    assert f"There is no folder {tmp_path / 'runs'}" in fails("report")
    pretraining(tmp_path / "runs", "Nassar", "random").write()
    assert "holds 1 runs, but none that is finished and tested" in fails("report", "runs")


def test_names_cannot_break_out_of_the_page(smir, tmp_path):
    run = Run(tmp_path / "runs", "x", 0, {}, {})
    run.__dict__.update(segmentation(tmp_path / "runs", "Nassar", "scratch").__dict__)
    run.test["metrics"] = {"test/view/miou": 0.5, "test/view/iou/a_<b>|&%": 0.5}
    run.commit = "<script>alert(1)</script>"
    run.write()
    smir("report", "runs")
    text = (tmp_path / "report/index.html").read_text()
    assert "<b>|" not in text
    assert "<script>alert" not in text
    assert r"a\_\textless{}b\textgreater{}\textbar{}\&\% &" in (tmp_path / "report/tables.tex").read_text()


# plots


def test_labels_move_apart_and_keep_their_order():
    moved = spread([50.0, 52.0, 10.0, 51.0], 14)
    assert moved == pytest.approx([37.0, 65.0, 10.0, 51.0])
    dice = np.random.default_rng(0)
    for _ in range(50):
        places = list(dice.uniform(0, 100, size=6))
        moved = spread(places, 14)
        assert np.argsort(moved).tolist() == np.argsort(places).tolist()
        assert np.diff(sorted(moved)).min() >= 14 - 1e-9


@pytest.mark.parametrize("values", [[49.7, 54.8], [0.0], [1e-4, 2e-4], [-3.0, 1500.0]])
def test_ticks_are_round_and_on_the_axis(values):
    axis = Axis(values, 0, 300)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 7
    assert all(0 <= axis(tick) <= 300 for tick in ticks)


def test_long_curves_are_thinned_within_their_stages():
    curve = [Point(epoch, epoch // 1000, float(epoch % 1000)) for epoch in range(10_000)]
    drawn = thinned(curve)
    assert len(drawn) <= 1.1 * POINTS
    assert {point.stage for point in drawn} == set(range(10))
    assert statistics.fmean(point.value for point in drawn) == pytest.approx(499.5, rel=0.01)
