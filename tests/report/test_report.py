"""`smir report` on fabricated runs; `test_cli.py` compares their layout with that of real ones."""

import itertools
import json
import math
import re
import statistics
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from fake_runs import CLASSES, INITS, SISTER, pretraining, rows_of, segmentation, write_paper

from smir.report.document import shown
from smir.report.estimates import Difference
from smir.report.formats import escaped_latex

TITLES = {"PascalVOC": "Pascal VOC", "Cityscapes": "Cityscapes", "Nassar": "Nassar 2020"}
TITLES |= {"SugarBeets": "Sugar Beets 2016"}


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """The runs of a whole paper and their report, made by a process that must not import torch."""
    root = tmp_path_factory.mktemp("paper")
    write_paper(root / "runs")
    code = (
        "import sys; from smir.__main__ import main\n"
        "main(sys.argv[1:]); assert not {'torch', 'lightning', 'matplotlib'} & set(sys.modules)"
    )
    words = ["report", str(root / "runs"), "--out", str(root / "report"), "--expect=paper"]
    subprocess.run([sys.executable, "-c", code, *words], check=True, stdout=subprocess.DEVNULL)
    return root


def miou(run, at="view"):
    return 100 * json.loads((run / "test/metrics.json").read_text())["metrics"][f"test/{at}/miou"]


# figures


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
        reach = 4.302653 * statistics.stdev(gains) / math.sqrt(3)  # Student's t with two degrees of freedom
        low, high = statistics.mean(gains) - reach, statistics.mean(gains) + reach
        assert float(rows[init][f"{name} low"]) == pytest.approx(low, abs=1e-5)
        assert float(rows[init][f"{name} high"]) == pytest.approx(high, abs=1e-5)


def test_a_row_states_that_its_interval_leaves_out_the_luck_of_one_pretraining(paper):
    rows = {row["init"]: row for row in rows_of(paper / "report/tables/differences-paper.csv")}
    name = "not in the interval"
    assert rows["selective"][name] == "luck of the one pretraining of random and of selective"
    assert rows["scratch"][name] == "luck of the one pretraining of random"
    averages = rows_of(paper / "report/tables/averages-paper.csv")
    assert all("of selective" in row[name] for row in averages)
    text = (paper / "report/report.md").read_text()
    assert "paired t interval" in text
    assert "bootstrap" not in text
    assert "Intervals leave out the luck of images that all seeds share. About one in 20 of these 48 misses" in text


def test_with_a_pretraining_for_every_seed_the_interval_leaves_nothing_out(smir, tmp_path):
    root = tmp_path / "runs"
    for seed in range(3):
        for masking in ("random", "selective"):
            weights = pretraining(root, "Nassar", masking, seed).write().weights()
            segmentation(root, "Nassar", masking, seed, weights).write()
    smir("report", "runs")
    text = (tmp_path / "report/report.md").read_text()
    assert "not in the interval" not in text
    assert "sorted by random" in text
    assert "Selective - random is" not in text  # its lowest classes would seem to gain


def test_classes_are_sorted_by_the_iou_of_the_baseline(paper):
    rows = rows_of(paper / "report/tables/classes-paper-0.csv")
    scratch = [float(row["scratch"]) for row in rows]
    assert len(rows) == 21
    assert scratch == sorted(scratch)
    gains = [float(row["selective - random"]) for row in rows]
    assert gains == pytest.approx([float(row["selective"]) - float(row["random"]) for row in rows], abs=1e-6)
    assert "Selective - random is" in (paper / "report/report.md").read_text()


def test_a_bound_near_zero_tells_on_which_side_it_lies():
    for off, text in ((0.185, "[+0.04, +1.0]"), (0.217, "[-0.04, +1.0]"), (0, "[+0.5, +0.5]")):
        assert shown(Difference({0: 0.5 - off, 1: 0.5, 2: 0.5 + off})).interval == text


def test_cross_set_budget_and_ablation_tables_have_the_expected_figures(paper):
    cross = rows_of(paper / "report/tables/cross-paper.csv")
    assert [row["other pool"] for row in cross] == [TITLES[SISTER[dataset]] for dataset in CLASSES]
    budgets = rows_of(paper / "report/tables/budgets-paper-SugarBeets.csv")
    assert [row["labelled images"] for row in budgets] == ["26", "53", "106", "264", "529"]
    values = [miou(paper / f"runs/sugarbeets/segment-selective-labels-5/seed{seed}") for seed in range(3)]
    assert float(budgets[0]["selective"]) == pytest.approx(statistics.mean(values), abs=1e-6)
    ablations = rows_of(paper / "report/tables/ablations-paper.csv")
    assert [row["variant"] for row in ablations] == ["policy-mixed", "stages-2", "stages-5", "stages-20"]
    assert {row["init"] for row in ablations} == {"selective"}
    plain, five = (
        [miou(paper / f"runs/sugarbeets/segment-{name}/seed{seed}") for seed in range(3)]
        for name in ("selective", "selective-stages-5")
    )
    gain = statistics.mean(five) - statistics.mean(plain)
    assert float(ablations[2]["with - without"]) == pytest.approx(gain, abs=1e-6)
    text = (paper / "report/report.md").read_text()
    assert (
        "stages-5: the pretraining's --trainer.max_epochs: 50, not 100; the pretraining's --trainer.callbacks." in text
    )


# files


def test_markdown_has_the_command_and_the_commit_behind_every_number(paper):
    text = (paper / "report/report.md").read_text()
    runs = list((paper / "runs").rglob("run.json"))
    assert len(runs) == 156 + 20
    for run in runs:
        (start,) = json.loads((run.parent / "environment.json").read_text())
        assert f"`{start['command']}`" in text
        assert f"{run.parent}, seed " in text
    assert text.count("commit 0123abc") >= len(runs)
    for line in text.splitlines():
        if line.startswith("| init "):
            assert line.count("|") == 10 + ("not in the interval" in line)
    behind = rows_of(paper / "report/tables/runs.csv")
    assert len({row["folder"] for row in behind}) == 156
    one = next(
        row for row in behind if row["metric"] == "view/miou" and row["folder"].endswith("nassar/segment-random/seed1")
    )
    assert float(one["percent"]) == pytest.approx(miou(Path(one["folder"])), abs=1e-6)


def test_every_row_of_the_latex_tables_has_all_columns(paper):
    text = (paper / "report/tables.tex").read_text()
    tables = re.findall(r"\\begin\{tabular\}\{@\{\}([lr]+)@\{\}\}\n(.*?)\\end\{tabular\}", text, re.DOTALL)
    assert len(tables) == text.count(r"\begin{table}") == 4 + 4 + 4 + 1 + 1 + 1 + 1
    for columns, body in tables:
        for line in body.splitlines():
            if not line.startswith(("\\toprule", "\\midrule", "\\bottomrule", "\\cmidrule")):
                assert line.endswith(r" \\")
                spans = sum(int(span) - 1 for span in re.findall(r"\\multicolumn\{(\d+)\}", line))
                assert len(re.findall(r"(?<!\\)&", line)) + 1 + spans == len(columns)
    bare = re.sub(r"\\[%&_#$]|\\label\{.*?\}|\$[^$]*\$", "", text.split("\n", 1)[1])
    assert not set(re.sub(r"[&]", "", bare)) & set("%_#$^~|<>")
    assert escaped_latex("50 % of a_b & {c} -0.3") == r"50 \% of a\_b \& \{c\} $-$0.3"
    assert escaped_latex("mask-ratio-25, selective - random") == "mask-ratio-25, selective $-$ random"


class Page(HTMLParser):
    """Collects the links and ids of a page, and checks that its tags are nested correctly."""

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


def test_the_page_is_self_contained(paper):
    text = (paper / "report/index.html").read_text()
    page = Page()
    page.feed(text)
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link.startswith("data:image/") or link.removeprefix("#") in page.ids
    assert not re.search(r"https?://|@import|url\(", text)
    assert text.count("<img") == 4 * 7 * 2 + 4 * (1 + 3 * 2)
    assert text.count("<svg") == 4 + 4 + 4 + 1 + 20


def test_figures_are_svg_with_their_text(paper):
    for path in (paper / "report/figures").glob("*.svg"):
        ElementTree.parse(path)
    names = [node.text for node in ElementTree.parse(paper / "report/figures/miou-paper-2.svg").iter() if node.text]
    assert set(INITS) < set(names)
    ends = [node.text for node in ElementTree.parse(paper / "report/figures/budgets-paper-SugarBeets.svg").iter()]
    assert {"scratch", "imagenet", "random", "selective"} < set(ends)


def test_the_same_runs_give_the_same_report(paper, smir, tmp_path):
    smir("report", "--out", tmp_path / "report", paper / "runs", "--expect=paper")
    names = json.loads((paper / "report/contents.json").read_text())
    assert {str(p.relative_to(paper / "report")) for p in (paper / "report").rglob("*.*")} == {*names, "contents.json"}
    for name in names:
        assert (paper / "report" / name).read_bytes() == (tmp_path / "report" / name).read_bytes()


def test_a_short_report_prints_one_line_for_each_row(smir, tmp_path, capsys):
    for init in ("scratch", "selective"):
        segmentation(tmp_path / init, "Nassar", init, 0).write()
    smir("report", "scratch", "selective", "--short=true")
    said = capsys.readouterr().out.split("\n")
    metrics = json.loads(next((tmp_path / "scratch").rglob("metrics.json")).read_text())["metrics"]
    (row,) = (line for line in said if line.startswith("scratch "))
    assert f"mIoU {100 * metrics['test/view/miou']:.1f}  (" in row
    for name in ("weed", "crop", "background"):
        assert f"{name} {100 * metrics[f'test/view/iou/{name}']:.1f}" in row
    assert [line.split()[0] for line in said if "mIoU" in line] == ["scratch", "selective"]
    assert (tmp_path / "report/index.html").exists()


def test_a_short_report_warns_and_states_what_it_leaves_out(smir, tmp_path, capsys):
    segmentation(tmp_path / "runs", "Nassar", "scratch").write()
    other = segmentation(tmp_path / "runs", "Nassar", "imagenet")
    other.recipe["model"]["init_args"]["lr"] = 0.001
    other.write()
    for seed in range(2):
        segmentation(tmp_path / "runs", "Nassar", "scratch", seed, variant="lr-0.1").write()
    smir("report", "runs", "--short=true")
    said = capsys.readouterr().out
    assert "Warning: Rows that are compared differ in more than the weights they start from. " in said
    assert "2 runs of variants are not shown here (scratch-lr-0.1), but in the tables of the report." in said
    assert "4 tested segmentations" in said


def test_a_new_report_deletes_only_the_files_of_an_earlier_one(smir, tmp_path):
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
    elsewhere = {"kind": "file", "checkpoint": "from elsewhere.pth", "sha256": "ab"}
    library = {"kind": "pretrained", "name": "convnextv2_atto.fcmae", "licence": "cc-by-nc-4.0"}
    for seed, weights in enumerate((None, elsewhere, library)):
        run = segmentation(tmp_path / "runs", "Nassar", "scratch", seed, weights)
        run.recipe["data"]["class_path"] = "smir.data.Folder"
        del run.recipe["data"]["init_args"]["protocol"]
        run.test["settings"]["data"] = run.recipe["data"]
        run.write()
    smir("report", "runs")
    rows = {row["init"]: row for row in rows_of(tmp_path / "report/tables/main-none.csv")}
    assert list(rows) == [
        "scratch",
        "convnextv2_atto.fcmae",
        "weights of from elsewhere.pth",
    ]  # rows of the paper without runs are left out
    assert rows["weights of from elsewhere.pth"]["Folder: 256-pixel view seeds"] == "1"
    heads = list(rows_of(tmp_path / "report/tables/differences-none.csv")[0])
    assert "Folder: - scratch" in heads
    assert not any("random" in head or "imagenet" in head for head in heads)
    page = (tmp_path / "report/index.html").read_text()
    assert "Difference to random weights" in page
    assert "Same set against cross set" not in page
    assert page.count(", from convnextv2_atto.fcmae (licence: cc-by-nc-4.0)") == 1
    assert not (tmp_path / "report/tables/averages-none.csv").exists()
