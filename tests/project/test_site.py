"""The site builds in strict mode, has no broken links, loads nothing from elsewhere, and is complete."""

import html
import json
import os
import posixpath
import re
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from documents import ROOT

from smir.__main__ import PLAIN, TRAINING
from website import classes
from website.api import GROUPS
from website.links import linked
from website.options import options
from website.repository import find
from website.rooms import PICTURE, draw, imports


@pytest.fixture(scope="module")
def site(python, tmp_path_factory):
    """The text of every page, by path."""
    folder = tmp_path_factory.mktemp("site")
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    words = [python, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    texts = (".html", ".css", ".json", ".js")
    return {name: path.read_text("utf-8") if path.suffix in texts else "" for name, path in files.items()}


def test_every_link_of_every_page_has_a_target(site):
    ids = {name: set(re.findall(r' (?:id|name)="([^"]+)"', text)) for name, text in site.items()}
    lost = []
    for name, text in site.items():
        if not name.endswith(".html") or name == "404.html":  # its links start at the root of a server
            continue
        for target in set(re.findall(r'<[a-z]+ [^<>]*?\b(?:href|src)="([^"<>]*)"', text)):
            parts = urlsplit(html.unescape(target))
            if parts.scheme in ("http", "https", "data", "mailto"):
                continue
            folder = posixpath.dirname(name)
            file = posixpath.normpath(posixpath.join(folder, unquote(parts.path))) if parts.path else name
            if file not in site or (parts.fragment and unquote(parts.fragment) not in ids[file]):
                lost.append(f"{name}: {target}")
    assert not lost, lost[:20]


def test_pages_load_nothing_from_other_servers(site):
    """Scripts, styles, fonts and pictures come from the site; only links may lead away."""
    for name, text in site.items():
        if name.endswith(".html"):
            tags = re.findall(r"<(?:script|link|img|iframe|source|use)\b[^>]*>", text)
            assert not [tag for tag in tags if re.search(r'(?:src|href)="(?:https?:)?//', tag)], name
        elif name.endswith(".css"):
            assert not re.search(r"url\(['\"]?(?:https?:)?//|@import", text), name


def test_the_search_works_without_a_server(site):
    """A browser lets a page that is a local file neither read other files nor start a worker."""
    script = site["search/search_index.js"]
    assert json.loads(script.removeprefix("var __index = ")) == json.loads(site["search/search_index.json"])
    for name in ("index.html", "api/index.html"):
        assert re.search(r'<script src="(\.\./)?iframe-worker\.js">', site[name])


def test_every_picture_has_an_alternative_text(site):
    """README.md has its own texts, so index.html is left out."""
    for name, text in site.items():
        pictures = re.findall(r"<img\b[^>]*>", text) if name.endswith(".html") and name != "index.html" else []
        assert not [picture for picture in pictures if not re.search(r'alt="[^"]{10,}"', picture)], name


def test_every_command_and_class_is_documented(site):
    index = site["commands/index.html"]
    for command, text in {**TRAINING, **PLAIN}.items():
        assert f'href="{command}.html"' in index
        assert html.escape(text, quote=False) in index
    kinds = [kind for base, _ in classes.KINDS.values() for kind in classes.concrete(base)]
    named = [kind.__name__ for kind in kinds if kind.__module__.startswith("smir.")]  # tests load other classes
    assert {"Folder", "Nassar", "SelectiveMasking", "HardestMask", "UNetStride4", "SegmentationModule"} <= set(named)
    for name in named:
        assert f'<h3 id="{name.lower()}">' in site["commands/classes.html"]


def test_documented_options_match_the_parser(site):
    assert "<code>--archives</code> · <em>Path | null</em>" in site["commands/prepare.html"]
    assert "<code>--show</code> · <em>NonNegativeInt</em> · default <code>20</code>" in site["commands/check.html"]
    assert "<code>--trainer.max_epochs</code>" in site["commands/fit.html"]
    assert "<code>policy</code>" in site["commands/classes.html"]
    assert "default <code>HardestMask(ratio=0.5)</code>" in site["commands/classes.html"]


def test_every_module_is_on_a_page(site):
    for _, modules in GROUPS.values():
        for module in modules.split():
            assert (ROOT / "smir" / module).is_dir() or (ROOT / "smir" / f"{module}.py").is_file()
    pages = "".join(text for name, text in site.items() if name.startswith("api/"))
    for path in [*(ROOT / "smir").glob("[a-z]*.py"), *(ROOT / "smir").glob("*/[a-z]*.py")]:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        assert f'id="{module}"' in pages, module


def test_equations_are_shown_with_their_code(site):
    page = site["algorithm.html"]
    assert page.count("<math ") > 20
    assert "arithmatex" not in page
    assert not re.search(r"</math></span>[.,:;)]", page)  # on a narrow screen, a line would begin with it
    loss = find("smir.method.losses.patch_loss")
    assert f'href="source/smir/method/losses.py.html#L-{loss.first}"' in page
    assert f"smir/method/losses.py, lines {loss.first} to {loss.last}" in page
    assert (ROOT / "smir/method/losses.py").read_text().splitlines()[loss.first - 1].startswith("def patch_loss(")


def test_a_name_that_does_not_exist_is_reported():
    """Such a name makes the strict build fail."""
    problems = []
    linked(
        "<p><code>smir.method.losses.patch_los</code> and <code>smir/loses.py</code> "
        "<code>test_it_does_nothing</code></p>",
        "paper.md",
        problems.append,
    )
    assert problems == [
        "paper.md: There is no smir.method.losses.patch_los in smir.",
        "paper.md: there is no file smir/loses.py.",
        "paper.md: There is no test test_it_does_nothing.",
    ]


def test_the_picture_of_the_rooms_matches_the_code():
    assert PICTURE.read_text(encoding="utf-8") == draw(imports()), "run python -m website.rooms"


def test_the_search_finds_pages_and_no_source(site):
    places = {Path(entry["location"].split("#")[0]) for entry in json.loads(site["search/search_index.json"])["docs"]}
    assert {Path("errors.html"), Path("commands/report.html"), Path("api/method.html")} <= places
    assert not [place for place in places if place.parts[:1] == ("source",)]


def test_option_types_are_written_as_unions():
    import argparse

    from jsonargparse import ArgumentParser

    parser = ArgumentParser()
    parser.add_argument("--both", type=int | str | None, help="One of two.")
    parser.add_argument("--hidden", help=argparse.SUPPRESS)
    assert [(found.name, found.kind, found.text) for found in options(parser, parser._actions)] == [
        ("--both", "int | str | null", "One of two.")
    ]
