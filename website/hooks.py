"""The events of mkdocs, and what is done at them; `mkdocs.yml` names this file."""

import logging
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parents[1]))  # `mkdocs` alone does not look for packages in the working folder

from website import api, classes, commands, links, repository, snippets

_log = logging.getLogger("mkdocs.hooks.smir")  # below `mkdocs`, where a strict build counts the warnings
_SOURCE = "---\nsearch:\n  exclude: true\nhide: [navigation, toc]\n---\n\n"
_ALONE = "---\nhide: [navigation]\n---\n\n"
_made: dict[str, str] = {}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Makes the reference pages, and appends them to the navigation behind the overview that stands there."""
    repository.forget()
    _made.clear()
    _made.update({**commands.pages(), classes.PAGE: classes.page(), **api.pages()})
    for file, page in repository.PAGES.items():
        path = repository.ROOT / file
        _made[page] = links.rewritten(path.read_text(encoding="utf-8"), path, page)
    _made["index.md"] = _ALONE + _made["index.md"]
    for entry in config.nav or []:
        for pages in entry.values():
            if isinstance(pages, list) and pages[-1] in ("commands/index.md", "api/index.md"):
                folder = pages[-1].partition("/")[0]
                pages.extend(page for page in _made if page.startswith(f"{folder}/") and page not in pages)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that no file of `docs/` holds."""
    for page, text in _made.items():
        files.append(File.generated(config, page, content=text))
    for file in repository.shown_files():
        files.append(File.generated(config, repository.page_of(file), content=f"{_SOURCE}# {file}\n"))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Points links out of `docs/` to pages, and shows the code of symbols."""
    name = page.file.src_uri
    if name not in _made:
        markdown = links.rewritten(markdown, repository.DOCS / name, name)
    return snippets.with_code(markdown, name, _log.warning)


def on_page_content(html: str, page: Page, **_: Any) -> str:
    """Draws formulas, and makes links of the names of symbols and files."""
    name = page.file.src_uri
    if name.startswith("source/"):
        return html + repository.source_html(name.removeprefix("source/").removesuffix(".md"))
    return links.linked(snippets.with_formulas(html), name, _log.warning)
