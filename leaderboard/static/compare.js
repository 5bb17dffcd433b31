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

// z of a difference: from resamples that both runs share, else from both intervals; null: nothing is known.
function zOf(name, a, b) {
  const [one, other] = [a.scorecard.measures[name], b.scorecard.measures[name]];
  const gap = one.value - other.value;
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

function verdict(a, b) {
  if (a.slug === b.slug) return "Choose two different runs.";
  const lacking = [a, b].find((run) => !run.scorecard.measures.final_score);
  if (lacking) return `${lacking.label} has no final score.`;
  const found = zOf("final_score", a, b);
  const [one, other] = [a, b].map((run) => run.scorecard.measures.final_score.value);
  if (!found || Math.abs(found.z) <= Z) return `${a.label} (${number(one)}) and ${b.label} (${number(other)}) cannot be told apart by their final scores.`;
  const [better, worse] = one > other ? [a, b] : [b, a];
  return `${better.label} has the better final score: ${number(Math.max(one, other))} against ${number(Math.min(one, other))} for ${worse.label}.`;
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
