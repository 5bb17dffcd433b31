"use strict";

// The pictures of one run, from its data file, which calls benchRun.
let received = null;

function benchRun(run) {
  received = run;
}

document.addEventListener("DOMContentLoaded", () => {
  const { details, scorecard, record } = received;
  if (!details.epsilons) return;
  drawEpsilons([["unlearned", "unlearned", details.epsilons]]);
  const sides = ["original", "unlearned", "retrained"];
  if (details.loss_edges) {
    for (const split of ["forget_loss", "test_loss"]) {
      drawLosses(split, details.loss_edges, sides.map((side) => [side, side, details[`${split}.${side}`]]));
    }
    const curves = [["ulira_roc", "U-LiRA", "solid"], ["rmia_roc", "RMIA", "dash"]];
    drawRoc(details.false_positive_rates, curves.flatMap(([key, name, dash]) => sides.map((side) => [side, `${name}, ${side}`, details[`${key}.${side}`], dash])));
  }
  const groups = Object.entries(scorecard.measures).filter(([name]) => name.startsWith("group_accuracy."));
  const named = groups.map(([name]) => (record.task.groups || [])[Number(name.split(".")[1])] || name.split(".")[1]);
  drawBars("groups", named, [["unlearned", "unlearned", groups.map(([, m]) => m.value)], ["retrained", "retrained", groups.map(([, m]) => m.retrained)]]);
});
