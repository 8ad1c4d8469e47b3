// What can be chosen on the page: the order of tables, the split, a class's score, a variant's confusion, verdicts.
"use strict";

const order = new Intl.Collator("en", {numeric: true});

// A cell's value: what data-value says, else its text.
function valueOf(row, column) {
  const cell = row.cells[column], text = cell.dataset.value ?? cell.textContent.trim();
  return text === "–" ? "" : text;
}

function sort(table, head) {
  const kind = head.dataset.sort, column = Number(head.dataset.column);
  const before = head.getAttribute("aria-sort");
  // The first click puts the best on top: high numbers, low ones where lower is better, names from A.
  const natural = kind === "text" || "lower" in head.dataset ? "ascending" : "descending";
  const now = !before ? natural : before === "ascending" ? "descending" : "ascending";
  const sign = now === "ascending" ? 1 : -1, body = table.tBodies[0];
  const rows = [...body.rows].map(row => ({row, value: valueOf(row, column)}));
  rows.sort((a, b) => {
    if (a.value === "" || b.value === "") return (a.value === "") - (b.value === "");  // empty cells stay last
    return sign * (kind === "text" ? order.compare(a.value, b.value) : parseFloat(a.value) - parseFloat(b.value));
  });
  body.append(...rows.map(({row}) => row));
  table.querySelectorAll("[aria-sort]").forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", now);
}

for (const head of document.querySelectorAll("table.sortable th[data-sort]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = [...head.childNodes].filter(node => node instanceof Text).map(node => node.data.trim()).join(" ").trim();
  [...head.childNodes].forEach(node => { if (node instanceof Text) node.remove(); });  // what explains the title stays below
  head.prepend(button);
  button.addEventListener("click", () => sort(head.closest("table"), head));
}

function chooseSplit(section, split) {
  section.querySelectorAll("[data-split]").forEach(part => { part.hidden = part.dataset.split !== split; });
}

// Another score by class: its value alone, since only IoU has an interval there.
function chooseClassScore(section, select) {
  const n = Number(select.value);
  section.querySelector(".class-title").textContent = select.options[select.selectedIndex].text;
  for (const cell of section.querySelectorAll(".by-class td[data-scores]")) {
    cell.first ??= cell.innerHTML;  // as the builder wrote it, escaped
    const value = cell.dataset.scores.split(" ")[n];
    cell.dataset.value = value;
    if (n === 0) cell.innerHTML = cell.first;
    else cell.textContent = value;
  }
}

function chooseConfusion(section, confusion, variant) {
  section.querySelectorAll(".confusion-name").forEach(name => { name.textContent = variant; });
  for (const table of section.querySelectorAll(".matrix")) {
    const rows = confusion[table.dataset.kind][variant];
    [...table.tBodies[0].rows].forEach((row, i) => [...row.querySelectorAll("td")].forEach((cell, j) => {
      const [share, count] = rows ? rows[i][j] : [null, null];
      cell.style.setProperty("--share", share ?? 0);
      cell.firstChild.data = share === null ? "–" : count ? `${(100 * share).toFixed(1)} %` : "·";
      cell.querySelector("small").textContent = count ? count.toLocaleString("en") : "";
    }));
  }
}

const viewer = new Viewer();
for (const section of document.querySelectorAll("section.dataset")) {
  const data = window.seglibData[section.dataset.dataset];
  const on = (selector, action) => section.querySelectorAll(selector).forEach(part => part.addEventListener("change", () => action(part)));
  on(".splits input", input => chooseSplit(section, input.value));
  on(".class-score", select => chooseClassScore(section, select));
  on(".confusion-variant", select => chooseConfusion(section, data.confusion, select.value));
  on(".verdicts input", input => section.querySelectorAll(".verdicts ~ .claims > li").forEach(claim => {
    claim.hidden = input.value !== "" && claim.dataset.verdict !== input.value;
  }));
  const gallery = section.querySelector(".gallery");
  if (gallery) new Gallery(gallery, data.gallery, viewer);
}

// On paper nothing unfolds, so all but long lists is open.
const folded = new Set();
addEventListener("beforeprint", () => document.querySelectorAll("details:not([open], .long)").forEach(part => { part.open = true; folded.add(part); }));
addEventListener("afterprint", () => { folded.forEach(part => { part.open = false; }); folded.clear(); });
