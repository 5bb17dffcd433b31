"use strict";

// Plotly figures in the page's colours. Numbers come from data files and JSON blocks; text is set by Plotly, never as HTML.
const COLOURS = { unlearned: "#0072b2", a: "#0072b2", b: "#d55e00", retrained: "#009e73", original: "#8a8a8a" };
const DASHES = { unlearned: "solid", a: "solid", b: "dash", retrained: "dot", original: "dashdot" };
const MARK = 0.01; // the false positive rate that tables report

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const plain = (text) => String(text).slice(0, 60).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

const drawn = new Map();

// Plotly is large and the table is what readers came for, so it is fetched once the page stands.
const plotly = new Promise((resolve) => {
  addEventListener("load", () => {
    const script = document.createElement("script");
    script.src = "static/vendor/plotly-cartesian.min.js";
    script.addEventListener("load", resolve);
    document.body.append(script);
  });
});

async function draw(id, data, layout) {
  const place = document.querySelector(`#${id} .chart`);
  if (!place) return null;
  place.closest("figure").hidden = false;
  drawn.set(place, [data, layout]);
  await plotly;
  const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line"), automargin: true };
  const full = {
    ...layout,
    font: { color: colour("--ink"), size: 13, family: "system-ui, sans-serif" },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    xaxis: { ...axis, ...layout.xaxis },
    yaxis: { ...axis, ...layout.yaxis },
    shapes: (layout.shapes || []).map((shape) => ({ ...shape, line: { ...shape.line, color: colour("--quiet") } })),
  };
  Plotly.react(place, data, full, { displayModeBar: false, responsive: true, plotlyServerURL: "", showSendToCloud: false });
  return place;
}

// A figure without data does not stay from the runs before.
function erase(...ids) {
  for (const id of ids) {
    const figure = document.getElementById(id);
    if (figure) figure.hidden = true;
  }
}

const redraw = () => drawn.forEach(([data, layout], place) => draw(place.closest("figure").id, data, layout));
document.addEventListener("theme", redraw);
addEventListener("beforeprint", redraw);
addEventListener("afterprint", redraw);

const frame = (across, up) => ({
  xaxis: { title: { text: across } },
  yaxis: { title: { text: up }, rangemode: "tozero" },
  margin: { l: 56, r: 16, t: 16, b: 48 },
  legend: innerWidth < 600 ? { orientation: "h", y: -0.25, yanchor: "top" } : { orientation: "h", y: 1.14 },
});

// sides: [[key of COLOURS, name, values], ...]
function drawEpsilons(sides) {
  const data = sides.map(([side, name, values]) => ({
    type: "histogram", x: values.filter((value) => value !== null), name: plain(name), opacity: sides.length > 1 ? 0.6 : 1,
    marker: { color: COLOURS[side] }, xbins: { start: 0, end: 50.5, size: 0.5 },
  }));
  draw("epsilons", data, { ...frame("epsilon", "forget examples"), barmode: "overlay", showlegend: sides.length > 1 });
}

function drawLosses(id, edges, sides) {
  const data = sides.filter(([, , values]) => values).map(([side, name, values]) => ({
    x: edges.slice(0, -1), y: values, name: plain(name), mode: "lines", line: { shape: "hv", color: COLOURS[side], dash: DASHES[side] },
    fill: side === "retrained" ? "tozeroy" : "none", fillcolor: "rgba(0,158,115,.15)",
  }));
  const layout = frame("cross-entropy, nats", "share of answers");
  Object.assign(layout.xaxis, { type: "log", exponentformat: "power" });
  draw(id, data, layout);
}

function drawRoc(rates, sides) {
  const data = sides.filter(([, , values]) => values).map(([side, name, values, dash]) => ({
    x: rates, y: values, name: plain(name), mode: "lines", line: { color: COLOURS[side], dash },
  }));
  data.push({ x: rates, y: rates, name: "guessing", mode: "lines", line: { color: colour("--quiet"), width: 1, dash: "dot" } });
  const layout = frame("false positive rate", "true positive rate");
  layout.xaxis.type = layout.yaxis.type = "log";
  delete layout.yaxis.rangemode;
  layout.shapes = [{ type: "line", x0: MARK, x1: MARK, yref: "paper", y0: 0, y1: 1, line: { width: 1, dash: "dash" } }];
  draw("roc", data, layout);
}

function drawBars(id, names, sides) {
  const data = sides.map(([side, name, values]) => ({ type: "bar", x: names.map(plain), y: values, name: plain(name), marker: { color: COLOURS[side] } }));
  draw(id, data, { ...frame("", "accuracy"), barmode: "group" });
}

// Figures that the page brings with it: a click on a point leads to its row.
document.addEventListener("DOMContentLoaded", async () => {
  for (const block of document.querySelectorAll("figure.plot script[type='application/json']")) {
    const { data, layout } = JSON.parse(block.textContent);
    const place = await draw(block.closest("figure").id, data, layout);
    place.on("plotly_click", ({ points }) => {
      if (typeof points[0].customdata !== "string") return;
      const target = `#row-${points[0].customdata}`;
      if (location.hash === target) dispatchEvent(new Event("hashchange"));
      else location.hash = target;
    });
  }
});
