"use strict";

const ink = () => getComputedStyle(document.body).color;

for (const table of document.querySelectorAll("table.board")) {
  new DataTable(table, { paging: false, info: false, searching: false, autoWidth: false, order: [], layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null } });
}

function draw() {
  for (const figure of document.querySelectorAll("figure")) {
    const { data, layout } = JSON.parse(figure.querySelector(".figure").textContent);
    layout.font = { color: ink(), size: 13 };
    Plotly.react(figure.querySelector(".chart"), data, layout, { displayModeBar: false, responsive: true, plotlyServerURL: "" });
  }
}

draw();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
