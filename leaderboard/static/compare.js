"use strict";

// Two runs of a division side by side; their data files call benchRun, the list of all runs calls benchRuns.
const Z = 1.959964;
const runs = new Map();
let divisions = [];

const at = (id) => document.getElementById(id);

function benchRuns(found) {
  divisions = found;
}

function benchRun(run) {
  runs.set(run.slug, run);
  show();
}

function load(slug) {
  if (!slug || runs.has(slug) || document.querySelector(`script[data-run="${slug}"]`)) return;
  const script = document.createElement("script");
  script.src = `runs/${slug}.js`;
  script.dataset.run = slug;
  document.body.append(script);
}

function option(value, text) {
  const made = document.createElement("option");
  made.value = value;
  made.textContent = text;
  return made;
}

function fill(a, b) {
  const [, , members] = divisions[at("division").selectedIndex];
  for (const [id, wanted] of [["a", a], ["b", b]]) {
    at(id).replaceChildren(...members.map(([slug, label]) => option(slug, label)));
    const other = id === "b" ? at("a").value : "";
    const otherwise = members.find(([slug]) => slug !== other) || members[0];
    at(id).value = members.some(([slug]) => slug === wanted) ? wanted : otherwise[0];
  }
}

function choose() {
  const [a, b] = [at("a").value, at("b").value];
  history.replaceState(null, "", `#a=${a}&b=${b}`);
  load(a);
  load(b);
  show();
}

const deviation = (values) => {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
};

// z of a difference of |memory left|, as bench/metrics/memory_order.py has it; null: a run does not say what it is linear in.
function memoryZ(a, b) {
  const parts = (run, name) => run.details[`memory_left_${name}`] || [];
  const squares = (name) => {
    const [ours, theirs] = [parts(a, name), parts(b, name)];
    return ours.length === theirs.length ? ours.reduce((sum, value, index) => sum + (value - theirs[index]) ** 2, 0) : NaN;
  };
  const models = parts(a, "by_trial").length;
  const [slope, spread, ...floor] = parts(a, "retrained");
  const slopes = (slope - parts(b, "retrained")[0]) ** 2;
  const trials = deviation(parts(a, "by_trial").map((value, index) => value - parts(b, "by_trial")[index]));
  const apart = deviation(parts(a, "by_trial")) ** 2 + deviation(parts(b, "by_trial")) ** 2;
  const paired = apart ? Math.min(trials ** 2 / apart, 1) : 1;
  const people = ["by_forgotten", "by_stranger"].map((name, place) => (
    Math.max(squares(name) - paired * (parts(a, "noise")[place] + parts(b, "noise")[place]) - slopes * floor[place], 0)));
  const variance = trials ** 2 / models + slopes * spread + people[0] + people[1];
  const [one, other] = [a, b].map((run) => Math.abs(run.scorecard.measures.memory_left.value));
  if (!Number.isFinite(variance)) return null;
  return { z: variance ? (one - other) / Math.sqrt(variance) : one - other ? Infinity * Math.sign(one - other) : 0, paired: true };
}

// z of a difference: from resamples that both runs share, else from both intervals; null: nothing is known.
function zOf(name, a, b) {
  const shared = name === "memory_left" ? memoryZ(a, b) : null;
  if (shared) return shared;
  const [one, other] = [a.scorecard.measures[name], b.scorecard.measures[name]];
  const size = name === "memory_left" ? Math.abs : Number; // nearer 0 is better
  const gap = size(one.value) - size(other.value);
  const [ours, theirs] = [a.details[`resampled_${name}`], b.details[`resampled_${name}`]];
  if (ours && theirs && ours.length === theirs.length && ours.length > 1) {
    const spread = deviation(ours.map((value, index) => value - theirs[index]));
    return { z: spread ? gap / spread : gap ? Infinity * Math.sign(gap) : 0, paired: true };
  }
  if (!one.interval || !other.interval) return null;
  const spread = Math.hypot(...[one, other].map(({ interval }) => (interval[1] - interval[0]) / (2 * Z)));
  return spread ? { z: gap / spread, paired: false } : null;
}

const number = (value) => {
  if (value === null || value === undefined) return "–";
  return Math.abs(value) < 1e5 ? Number(value).toFixed(4) : Number(value).toExponential(3);
};

// A measure with its age group in words, and its unit.
function named(name, run, measure) {
  const [stem, group] = name.split(".");
  const groups = run.record.task.groups || [];
  const words = `${stem.replaceAll("_", " ")}${group === undefined ? "" : ` ${groups[Number(group)] || group}`}`;
  return measure.unit ? `${words} (${measure.unit})` : words;
}

function row(name, a, b) {
  const [one, other] = [a.scorecard.measures[name], b.scorecard.measures[name]];
  const found = one && other ? zOf(name, a, b) : null;
  const line = document.createElement("tr");
  const cells = [
    named(name, a, one || other), number(one && one.value), number(other && other.value), one && other ? number(one.value - other.value) : "–",
    found ? `${Number.isFinite(found.z) ? found.z.toFixed(2) : found.z > 0 ? "∞" : "−∞"}${found.paired ? " *" : ""}` : "–", found ? (Math.abs(found.z) > Z ? "yes" : "no") : "unknown",
  ];
  cells.forEach((text, index) => {
    const cell = document.createElement(index ? "td" : "th");
    if (!index) cell.scope = "row";
    cell.textContent = text;
    line.append(cell);
  });
  return line;
}

const percent = (value) => `${(100 * value).toFixed(0)} %`;
const JUDGED = [ // by which the board ranks; the smaller a cost, the better
  ["memory_left", "memory left", "has less memory left", Math.abs, percent],
  ["final_score", "final score", "has the better final score", (value) => -value, number],
];

function verdict(a, b) {
  if (a.slug === b.slug) return "Choose two different runs.";
  return JUDGED.map((judged) => sentence(a, b, ...judged)).join(" ");
}

function sentence(a, b, key, name, better, cost, written) {
  const lacking = [a, b].find((run) => !run.scorecard.measures[key]);
  if (lacking) return `${lacking.label} has no ${name}.`;
  const found = zOf(key, a, b);
  const value = (run) => run.scorecard.measures[key].value;
  if (!found || Math.abs(found.z) <= Z) return `${a.label} (${written(value(a))}) and ${b.label} (${written(value(b))}) cannot be told apart by their ${name}.`;
  const [first, second] = cost(value(a)) < cost(value(b)) ? [a, b] : [b, a];
  return `${first.label} ${better}: ${written(value(first))} against ${written(value(second))} for ${second.label}.`;
}

function show() {
  const [a, b] = [runs.get(at("a").value), runs.get(at("b").value)];
  if (!a || !b) return;
  const scored = a.scorecard && b.scorecard;
  at("differences").hidden = at("pictures").hidden = !scored;
  if (!scored) {
    at("verdict").textContent = `${(a.scorecard ? b : a).label} has no score: ${(a.scorecard ? b : a).failure}`;
    return;
  }
  at("verdict").textContent = verdict(a, b);
  const names = [...new Set([...Object.keys(a.scorecard.measures), ...Object.keys(b.scorecard.measures)])];
  at("differences").tBodies[0].replaceChildren(...names.map((name) => row(name, a, b)));
  erase("epsilons", "forget_loss", "roc");
  const sides = [["a", `A: ${a.label}`, a], ["b", `B: ${b.label}`, b]];
  if (a.details.epsilons && b.details.epsilons) drawEpsilons(sides.map(([key, name, run]) => [key, name, run.details.epsilons]));
  if (!a.details.loss_edges || !b.details.loss_edges) return;
  const losses = sides.map(([key, name, run]) => [key, name, run.details["forget_loss.unlearned"]]);
  drawLosses("forget_loss", a.details.loss_edges, [...losses, ["retrained", "retrained", a.details["forget_loss.retrained"]]]);
  const curves = [["ulira_roc", "U-LiRA", "solid"], ["rmia_roc", "RMIA", "dash"]];
  drawRoc(a.details.false_positive_rates, curves.flatMap(([key, attack, dash]) => sides.map(([side, name, run]) => [side, `${attack}, ${name}`, run.details[`${key}.unlearned`], dash])));
}

function restore() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const holds = ([, , members]) => members.some(([slug]) => slug === wanted.get("a"));
  at("division").selectedIndex = Math.max(0, divisions.findIndex(holds));
  fill(wanted.get("a"), wanted.get("b"));
  choose();
}

document.addEventListener("DOMContentLoaded", () => {
  at("division").replaceChildren(...divisions.map(([slug, title]) => option(slug, title)));
  at("division").addEventListener("change", () => { fill(); choose(); });
  at("a").addEventListener("change", choose);
  at("b").addEventListener("change", choose);
  addEventListener("hashchange", restore);
  restore();
});
