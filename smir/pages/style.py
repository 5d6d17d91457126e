"""The frame of a page and its look: light or dark as the reader has it, for screens of any width and for paper."""

STYLE = """
:root { color-scheme: light dark; --ink: #222; --faint: #6a6a6a; --line: #dcdcdc; --link: #0a58a6; --paper: #fff;
        --hair: #eee; --soft: #f6f6f6; --warn: #fff6ef; --gone: #737373 }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e4e4e4; --faint: #a3a3a3; --line: #454545; --link: #7db7f0; --paper: #17181a; --hair: #303134;
          --soft: #242528; --warn: #33251b; --gone: #8c8c8c }
  figure svg { background: #fff; border-radius: 4px; padding: 6px }
}
* { box-sizing: border-box }
body { font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
       color: var(--ink); background: var(--paper); max-width: 1180px; margin: 0 auto; padding: 2em 1.2em 4em }
h1 { font-size: 1.75em; line-height: 1.2; margin: 0 0 .2em } .summary { color: var(--faint); margin: 0 0 1em }
h2 { font-size: 1.3em; margin: 2.6em 0 .6em; padding-top: .6em; border-top: 2px solid var(--ink) }
h3 { font-size: 1.02em; margin: 1.8em 0 .5em }
p { max-width: 78ch } a { color: var(--link) }
nav { display: flex; flex-wrap: wrap; gap: .3em 1.3em; font-size: .93em } nav a { text-decoration: none }
.scroll { overflow-x: auto }
table { border-collapse: separate; border-spacing: 0; font-size: 14px; font-variant-numeric: tabular-nums;
        border-top: 1.5px solid var(--ink); border-bottom: 1.5px solid var(--ink) }
th { font-weight: 600; text-align: right; vertical-align: bottom; padding: .4em .75em }
th.group { text-align: center; border-bottom: 1px solid var(--line) } th.group:empty { border: 0 }
th.text, td.text { text-align: left } th.text:first-child, td.text:first-child { padding-left: .1em }
thead tr:last-child th { border-bottom: 1px solid var(--ink) }
td { padding: .38em .75em; text-align: right; vertical-align: top; border-bottom: 1px solid var(--hair);
     white-space: nowrap }
td.text { white-space: normal; min-width: 4em; max-width: 24em }
td:first-child { position: sticky; left: 0; background: var(--paper) }
td small { display: block; color: var(--faint); font-size: 11.5px; line-height: 1.3 }
td.missing { color: var(--gone); font-style: italic }
.note, figcaption { color: var(--faint); font-size: 13px; line-height: 1.45 } .note { margin: .6em 0 1.2em }
.warning { border-left: 4px solid #d55e00; background: var(--warn); padding: .5em .9em; margin: 1em 0;
           overflow-wrap: anywhere }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 350px), 1fr)); gap: 1.6em;
           align-items: start; margin: 1.4em 0 }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr)); gap: 1.4em;
            align-items: start }
figure { margin: 0; break-inside: avoid }
figure svg { width: 100%; height: auto } img { max-width: 100%; display: block }
li { margin: .5em 0; overflow-wrap: anywhere }
pre { font: 12px/1.45 ui-monospace, Menlo, Consolas, monospace; background: var(--soft);
      padding: .5em .7em; margin: .3em 0; white-space: pre-wrap; overflow-wrap: anywhere }
details { margin: .4em 0 } summary { cursor: pointer; font-weight: 600; font-size: .95em }
code { font: .88em ui-monospace, Menlo, Consolas, monospace }
@media print {
  body { font-size: 10.5px; max-width: none; padding: 0 } nav { display: none } .scroll { overflow: visible }
  table { font-size: 9px } td, th { padding: .25em .4em } td small { font-size: 8px } h2 { break-after: avoid }
  .figures { grid-template-columns: repeat(3, 1fr) } .pictures { grid-template-columns: repeat(2, 1fr) }
  pre { font-size: 8px } .note, figcaption { font-size: 8.5px }
  tr { break-inside: avoid } td:first-child { position: static }
}
"""

_UNFOLD = "addEventListener('beforeprint', () => document.querySelectorAll('details').forEach(d => d.open = true))"
"""Paper shows what is folded on the screen."""


def frame(title: str, summary: str, links: str, body: str, *, style: str = "", script: str = "") -> str:
    """Returns a whole page, which needs nothing beside it.

    Args:
        title: Plain text, the heading.
        summary: HTML, a sentence under the heading.
        links: HTML, links to the sections.
        body: HTML, the sections.
        style: CSS beside that of every page.
        script: JavaScript beside that of every page.
    """
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{STYLE}{style}</style></head><body>
<h1>{title}</h1><p class="summary">{summary}</p><nav>{links}</nav>
{body}
<script>{_UNFOLD}{script}</script>
</body></html>
"""
