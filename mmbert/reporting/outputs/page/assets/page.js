"use strict";
const root = document.documentElement;
const wished = matchMedia("(prefers-color-scheme: dark)");
const theme = () => root.dataset.theme;
const colours = name => getComputedStyle(root).getPropertyValue(name).trim();

function setTheme(name) {
  root.dataset.theme = name;
  document.querySelectorAll(".plot").forEach(place => { if (place.data) draw(place); });
}
setTheme(wished.matches ? "dark" : "light");
wished.addEventListener("change", event => setTheme(event.matches ? "dark" : "light"));
document.querySelector("button.theme").addEventListener("click", () => setTheme(theme() === "dark" ? "light" : "dark"));

function draw(place) {
  const figure = JSON.parse(document.getElementById(place.dataset.figure).textContent);
  const ink = colours("--ink"), line = colours("--line");
  const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true };
  const layout = Object.assign({
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, size: 12 },
    margin: { l: 50, r: 15, t: 10, b: 45 }, legend: { orientation: "h", y: -0.22 }, hovermode: "closest",
    colorway: ["#1f77b4", "#e6851e", "#2ca02c", "#d1495b", "#8f6bb8", "#8c6d5a", "#c2589b", "#7d8893", "#a8a42a", "#17a3b8"],
  }, figure.layout);
  layout.xaxis = Object.assign({}, axis, figure.layout.xaxis);
  layout.yaxis = Object.assign({}, axis, figure.layout.yaxis);
  Plotly.react(place, figure.data, layout, { responsive: true, displaylogo: false, displayModeBar: "hover" });
}

const seen = new IntersectionObserver(entries => entries.forEach(entry => {
  if (entry.isIntersecting) { seen.unobserve(entry.target); draw(entry.target); }
}), { rootMargin: "400px" });
document.querySelectorAll(".plot").forEach(place => seen.observe(place));

const value = cell => { const number = Number(cell.dataset.value); return cell.dataset.value === "" || isNaN(number) ? null : number; };
function sortBy(table, column, head) {
  const rising = head.getAttribute("aria-sort") === "descending" || (!head.hasAttribute("aria-sort") && head.classList.contains("word"));
  table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows], sign = rising ? 1 : -1;
  rows.sort((a, b) => {
    const x = a.cells[column], y = b.cells[column], m = value(x), n = value(y);
    if (m === null && n === null) return sign * x.textContent.localeCompare(y.textContent, undefined, { numeric: true });
    if (m === null || n === null) return m === null ? 1 : -1;
    return sign * (m - n);
  });
  table.tBodies[0].append(...rows);
}
document.querySelectorAll("table.sorted").forEach(table => table.querySelectorAll("th").forEach((head, column) =>
  head.firstElementChild.addEventListener("click", () => sortBy(table, column, head))));

document.querySelectorAll(".filter input").forEach(input => input.addEventListener("input", () => {
  const table = document.getElementById(input.dataset.table), words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  let left = 0;
  for (const row of table.tBodies[0].rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every(word => text.includes(word));
    left += !row.hidden;
  }
  input.nextElementSibling.textContent = words.length ? `${left} of ${table.tBodies[0].rows.length}` : "";
}));

document.querySelectorAll("select.choice").forEach(select => select.addEventListener("change", () =>
  document.querySelectorAll(`[data-choice="${select.id}"]`).forEach(part => {
    part.hidden = part.dataset.value !== select.value;
    if (!part.hidden) part.querySelectorAll(".plot").forEach(place => { seen.unobserve(place); draw(place); });
  })));
