"""The look of an inspection, beside that of every page, and how its tables are sorted."""

STYLE = """
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .7em; margin: .5em 0 }
.row img { width: 100% } .row figcaption { margin-top: .2em }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 235px), 1fr)); gap: 1.1em .9em }
.sheet.wide { grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)) }
.tile { font-size: 13px; line-height: 1.4; overflow-wrap: anywhere; min-width: 0 } .tile p { margin: .2em 0 }
.tile div { display: flex; gap: 3px } .tile img { flex: 1 1 0; min-width: 0; align-self: start }
article h3 { margin: 1.5em 0 .1em; overflow-wrap: anywhere } article .note { margin: 0 0 .3em }
.scale { display: flex; gap: .5em; align-items: center; max-width: 26em; font-size: 12px; color: var(--faint);
         font-variant-numeric: tabular-nums; margin: .3em 0 }
.scale i { flex: 1; height: 9px; border-radius: 2px }
.key { display: flex; flex-wrap: wrap; gap: .2em 1.1em; font-size: 13px; margin: .5em 0 1em }
.chip { display: inline-block; width: .85em; height: .85em; border: 1px solid var(--faint); border-radius: 2px;
        margin-right: .4em; vertical-align: -.08em }
.class { display: inline-flex; align-items: baseline } .class .chip { flex: none }
.facts { display: flex; flex-wrap: wrap; gap: .8em 2.2em; margin: 1em 0 } .facts b { display: block; font-size: 1.5em }
.facts span { color: var(--faint); font-size: 13px }
td.shade { background: rgb(var(--hue) / calc(var(--share) * .75)) }
td.text { overflow-wrap: break-word } .summary { overflow-wrap: anywhere }
th button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer;
            text-align: inherit }
th button:hover, th button:focus-visible { text-decoration: underline }
th[aria-sort=ascending] button::after { content: " \\25b2" }
th[aria-sort=descending] button::after { content: " \\25bc" }
"""

SCRIPT = """
document.querySelectorAll('th button').forEach(button => button.onclick = () => {
  const head = button.parentElement, table = head.closest('table'), body = table.tBodies[0];
  const up = head.getAttribute('aria-sort') === 'descending';
  table.querySelectorAll('th').forEach(other => other.removeAttribute('aria-sort'));
  head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
  const value = row => row.cells[head.cellIndex].dataset.v ?? row.cells[head.cellIndex].textContent;
  const order = (a, b) => isNaN(a) || isNaN(b) ? String(a).localeCompare(b, undefined, {numeric: true}) : a - b;
  const rows = [...body.rows].sort((a, b) => order(value(a), value(b)) * (up ? 1 : -1));
  body.append(...rows.filter(row => value(row) !== ''), ...rows.filter(row => value(row) === ''));
});
"""
