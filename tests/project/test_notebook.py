"""Runs the cells of the notebook in order."""

import ast
import json

from documents import ROOT

NOTEBOOK = ROOT / "notebooks/photos-to-predictions.ipynb"


def run_cell(source, names):
    """Runs a cell, and returns the value of its last expression, which a notebook shows."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, NOTEBOOK.name, "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), NOTEBOOK.name, "eval"), names)


def test_the_notebook_runs_from_photos_to_predictions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
    names = {"__name__": "__main__"}
    shown = [run_cell("".join(cell["source"]), names) for cell in cells]
    *pictures, page = [value for value in shown if value is not None]
    assert len(pictures) == 3
    assert all(picture._repr_png_() for picture in pictures)  # which Jupyter calls
    assert page._repr_html_().startswith('<iframe srcdoc="&lt;!')
    assert len(list((tmp_path / "predicted").glob("*.png"))) == 13  # a label for each photo, and the preview
