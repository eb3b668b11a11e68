// How good the selected candidate is: curves, calibration, confusion, residuals; and what it looks
// at.

const UNIT = {
  min: 0,
  max: 1
};
const DIAGONAL = [{x: 0, y: 0}, {x: 1, y: 1}];

function show_evaluation(report) {
  const e = get(report, "evaluation");
  if (!e) return null;
  const cards =
    [roc_chart(e), recall_chart(e), calibration_chart(e), ...residual_charts(e)].filter(Boolean);
  const confusion = confusion_part(e);
  if (cards.length === 0 && !confusion) return null;
  const small = list(get(get(e, "confusion"), "classes")).length <= 5;
  const positive = get(get(report, "goal"), "positive");
  const part = text(get(e, "part"));
  return [
    el("p", {class: "soft"},
      get(report, "selected") ? "“" + text(report.selected) + "”" : "The selected candidate",
      part ? (part === "cross-validation" ? " in " : " on the ") + part +
          (part === "cross-validation" ? "" : " part")
           : "",
      isNumber(get(e, "rows")) ? ", " + many(e.rows, "row") : "",
      positive !== undefined ? "; the positive class is “" + text(positive) + "”" : "", "."),
    el("div", {class: "grid"}, cards, small ? el("div", {}, confusion) : null),
    small ? null : confusion,
  ];
}

function roc_chart(e) {
  const line = points(get(get(e, "roc"), "fpr"), get(get(e, "roc"), "tpr"));
  if (line.length < 2) return null;
  return lines("ROC curve", "the dashed line is chance",
    [{name: "ROC", points: line, hue: 0}, {name: "chance", points: DIAGONAL, soft: true}],
    {x: "false positive rate", y: "true positive rate", range: UNIT});
}

function recall_chart(e) {
  const line =
    points(get(get(e, "precision_recall"), "recall"), get(get(e, "precision_recall"), "precision"));
  if (line.length < 2) return null;
  return lines("Precision and recall", "", [{name: "precision", points: line, hue: 2}],
    {x: "recall", y: "precision", range: UNIT});
}

function calibration_chart(e) {
  const line =
    points(get(get(e, "calibration"), "predicted"), get(get(e, "calibration"), "observed"));
  if (line.length === 0) return null;
  return lines("Calibration", "on the dashed line a predicted 30 % happens in 30 of 100",
    [
      {name: "observed", points: line, hue: 0, dots: true},
      {name: "perfect", points: DIAGONAL, soft: true}
    ],
    {x: "predicted probability", y: "observed share", range: UNIT});
}

// ---- confusion ----

function confusion_part(e) {
  const classes = list(get(get(e, "confusion"), "classes")).map(text);
  const counts = list(
    get(get(e, "confusion"),
      "counts")).map((row) => list(row).map((n) => (isNumber(n) ? n : 0)));
  if (classes.length === 0 || counts.length !== classes.length) return null;
  const totals = counts.map((row) => row.reduce((a, b) => a + b, 0));
  const tight = classes.length > 20;
  const cell = (r, c) => {
    const n = counts[r][c] || 0;
    const part = totals[r] > 0 ? n / totals[r] : 0;
    return {
      a: n === 0  ? null
        : r === c ? part
                  : Math.sqrt(part),  // rare mistakes shall be seen too
      other: r !== c,
      text: num(n),
      small: n === 0 ? "" : percent(part, part < 0.1 ? 2 : 3),
      title: "true “" + classes[r] + "”, predicted “" + classes[c] + "”: " + num(n) + " (" +
        percent(part) + " of the row)",
    };
  };
  return [
    el("h3", {}, "Confusion matrix"),
    el("p", {class: "soft small"},
      "Rows are the true classes, columns the predicted ones; shares are of the row. " +
        "Blue is right, orange is wrong."),
    classes.length > 100
      ? el("p", {}, "There are " + num(classes.length) + " classes: too many to draw.")
      : heat(classes, classes, cell, {
          label: "Confusion matrix",
          corner: "true \\ predicted",
          tight,
          totals: {name: "rows", values: totals}
        }),
    classes.length > 2 ? mistakes(classes, counts, totals) : null,
  ];
}

// The most frequent confusions, for matrices in which one does not see them at a glance.
function mistakes(classes, counts, totals) {
  const found = [];
  counts.forEach((row, r) => row.forEach((n, c) => {
    if (r !== c && n > 0) found.push([n, r, c]);
  }));
  found.sort((a, b) => b[0] - a[0]);
  if (found.length === 0) return null;
  return [
    el("h3", {}, "Most frequent mistakes"),
    table("Most frequent mistakes",
      [
        {name: "True"}, {name: "Predicted"}, {name: "Rows", num: true},
        {name: "Share of the true class", num: true}
      ],
      found.slice(0, 8).map(([n, r,
        c]) => [classes[r], text(classes[c]), num(n), percent(totals[r] > 0 ? n / totals[r] : 0)]))
  ];
}

// ---- residuals ----

function residual_charts(e) {
  const both = points(get(get(e, "residuals"), "predicted"), get(get(e, "residuals"), "actual"));
  if (both.length === 0) return [];
  let low = Infinity, high = -Infinity;
  for (const p of both) {
    low = Math.min(low, p.x, p.y);
    high = Math.max(high, p.x, p.y);
  }
  const scatter = chart("Predicted and actual", "on the line they are equal", 320, (t) => ({
    type: "scatter",
    data: {
      datasets: [
        {
          label: "rows",
          data: both,
          backgroundColor: t.hue(0) + "88",
          borderColor: t.hue(0) + "88",
          pointRadius: both.length > 300 ? 2 : 3
        },
        {
          label: "equal",
          type: "line",
          data: [{x: low, y: low}, {x: high, y: high}],
          borderColor: t.soft,
          borderDash: [5, 4],
          borderWidth: 1.5,
          pointRadius: 0,
          pointHitRadius: 0
        },
      ],
    },
    options: {
      scales: {x: Object.assign(axis("predicted"), {type: "linear"}), y: axis("actual")},
      plugins: {
        legend: {display: false},
        tooltip: tooltips((item) => "predicted " + num(item.raw.x) + ", actual " + num(item.raw.y))
      },
    },
  }));
  return [scatter, residual_histogram(both)];
}

function residual_histogram(both) {
  const residuals = both.map((p) => p.y - p.x);
  const mean = residuals.reduce((a, b) => a + b, 0) / residuals.length;
  const low = residuals.reduce((a, b) => Math.min(a, b)),
        high = residuals.reduce((a, b) => Math.max(a, b));
  const bins = high > low ? Math.max(5, Math.min(40, Math.ceil(Math.sqrt(residuals.length)))) : 1;
  const counts = new Array(bins).fill(0);
  for (const r of residuals)
    counts[high > low ? Math.min(bins - 1, Math.floor(((r - low) / (high - low)) * bins)) : 0]++;
  return histogram(
    "Residuals", "actual less predicted; mean " + num(mean, 3), {low, high, counts}, 320);
}

// ---- importance ----

// What a model owes to each column: [{name, items: [{feature, value}], note}] by measure.
function measures_of(report, candidate) {
  const known = list(get(candidate, "importance")).filter((i) => isNumber(get(i, "value")));
  const shuffled = candidate.name === get(report, "selected") ? get(report, "permutation") : null;
  const of = (name, title, note) => ({
    name: title,
    note,
    items: known.filter((i) => isNumber(get(i, name))).map((i) => ({feature: i.feature, value: i[name]})),
  });
  const found = [
    {
      name: "drop when shuffled",
      note: shuffled ? text(shuffled.metric) + " " + num(shuffled.score, 5) + " of " +
          many(shuffled.rows, "row") + " of the " + text(shuffled.part) + " part; each column shuffled " +
          many(shuffled.repeats, "time") + "; the table has the standard deviation" : "",
      items: list(get(shuffled, "features")).filter((i) => isNumber(get(i, "drop")))
               .map((i) => ({feature: i.feature, value: i.drop, sd: i.sd})),
    },
    of("value", "share", "share of what the model itself adds up"),
    of("gain", "gain", "total gain of the splits on the column"),
    of("splits", "splits", "how many splits use the column"),
    of("weight", "weight", "the column's weights"),
  ];
  return found.filter((m) => m.items.length > 0);
}

function importance_table(candidate, measures) {
  const names = [...new Set(measures.flatMap((m) => m.items.map((i) => text(i.feature))))];
  const value = (m, name) => {
    const item = m.items.find((i) => text(i.feature) === name);
    if (!item) return NONE;
    return num(item.value, 4) + (isNumber(item.sd) ? " ± " + num(item.sd, 2) : "");
  };
  return more("All columns",
    table("Importance in " + text(candidate.name),
      [{name: "Column"}, ...measures.map((m) => ({name: words(m.name), num: true}))],
      names.map((name) => [name, ...measures.map((m) => value(m, name))]), true));
}

function show_importance(report) {
  const able = candidates_of(report).filter((c) => measures_of(report, c).length > 0);
  if (able.length === 0) return null;
  const first = Math.max(0, able.findIndex((c) => c.name === get(report, "selected")));
  const place = el("div", {}), control = el("span", {});
  const draw = (index, which) => {
    const measures = measures_of(report, able[index]), m = measures[which];
    const shown = [...m.items].sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, 20);
    const note = [m.note, m.items.length > shown.length ? "the " + shown.length + " largest" : ""]
                   .filter(Boolean).join("; ");
    control.replaceChildren(choice("Measure", measures.map((one) => one.name), which,
      (chosen) => draw(index, chosen)));
    place.replaceChildren(
      bars(text(able[index].name), note, shown.map((i) => text(i.feature)),
        [{name: m.name, values: shown.map((i) => i.value)}], {lying: true, axis: m.name}),
      importance_table(able[index], measures));
    draw_new_charts();
  };
  draw(first, 0);
  return [
    el("div", {class: "cap"},
      able.length > 1
        ? choice("Candidate", able.map((c) => text(c.name)), first, (index) => draw(index, 0))
        : null,
      control),
    place
  ];
}
