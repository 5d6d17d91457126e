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
