// The run: what came out, the goal's checks, the candidates side by side, how they learned.

function status_badge(status) {
  const kinds = {
    succeeded: "good",
    trained: "",
    cached: "",
    goal_not_met: "warn",
    failed: "bad",
    cancelled: "bad"
  };
  return status ? badge(words(status), Object.hasOwn(kinds, status) ? kinds[status] : "") : null;
}

function candidates_of(report) {
  return list(get(report, "candidates")).filter((c) => c !== null && typeof c === "object");
}

function selected_of(report) {
  return candidates_of(report).find((c) => c.name === get(report, "selected"));
}

// Is less better of the goal's metric?
function falling(report) {
  return get(get(report, "goal"), "higher_is_better") === false;
}

function show_header(report) {
  const machine = get(report, "machine");
  const name = text(get(report, "name")) || "Lathe run";
  const started =
    text(get(report, "started")).replace("T", " ").replace(/\.\d+/, "").replace("Z", " UTC");
  const cores = get(machine, "cores"), threads = get(machine, "threads");
  document.title = name + " – Lathe report";
  return el("header", {class: "top"},
    el("div", {class: "line"}, el("h1", {}, name), status_badge(text(get(report, "status")))),
    get(report, "description") ? el("p", {}, text(report.description)) : null,
    summary_tiles(report), facts([
      ["Run", get(report, "run") ? el("span", {class: "mono"}, text(report.run)) : null],
      ["Started", started],
      ["Took", duration(get(report, "seconds"))],
      ["Seed", any(get(report, "seed"))],
      ["Machine", text(get(machine, "cpu"))],
      [
        "Compute",
        [
          isNumber(cores) ? many(cores, "core") : null,
          isNumber(threads) ? many(threads, "thread") : null, text(get(machine, "level"))
        ].filter(Boolean)
          .join(", ")
      ],
      ["Lathe", text(get(machine, "version"))],
    ]));
}

function summary_tiles(report) {
  const goal = get(report, "goal"), best = selected_of(report), deploy = get(report, "deploy");
  const metric = text(get(goal, "metric"));
  const part = get(best, "test") ? "test" : "validation";
  const score = get(get(best, part), metric);
  return tiles([
    ["Task", get(goal, "task") ? text(goal.task) : null],
    ["Target", get(goal, "target") ? text(goal.target) : null],
    ["Selected", get(report, "selected") ? text(report.selected) : null],
    [metric + ", " + part, isNumber(score) ? num(score) : null],
    ["Model", deploy ? bytes(get(deploy, "bytes")) : null],
    [
      "Latency p99",
      isNumber(get(get(deploy, "latency"), "p99_ms")) ? duration(deploy.latency.p99_ms / 1000)
                                                      : null
    ],
  ]);
}

// ---- goal ----

function show_goal(report) {
  const goal = get(report, "goal");
  const checks = list(get(goal, "checks"));
  if (!goal || (checks.length === 0 && typeof get(goal, "met") !== "boolean")) return null;
  if (checks.length === 0) return el("p", {}, "Nothing was required of this run.");
  const met = (value) => (value === true ? badge("met", "good") : badge("not met", "bad"));
  const columns = [
    {name: "Measure"}, {name: "Required", num: true}, {name: "Measured", num: true}, {name: ""}
  ];
  const rows = checks.map((c) => {
    const required = text(get(c, "require")).replace(">=", "≥").replace("<=", "≤");
    return [text(get(c, "metric")), required, num(get(c, "value")), met(get(c, "met"))];
  });
  const all = typeof get(goal, "met") === "boolean" ? el("p", {}, met(goal.met)) : null;
  return [all, table("Goal checks", columns, rows)];
}

// ---- leaderboard ----

function metric_names(candidates, goal_metric) {
  const names = new Set(goal_metric ? [goal_metric] : []);
  for (const c of candidates)
    for (const part of ["validation", "test"])
      pairs(get(c, part)).forEach(([name]) => names.add(name));
  return [...names].filter((name) => candidates.some((c) => ["validation", "test"].some(
                                                       (p) => get(get(c, p), name) !== undefined)));
}

// Best first by the part that selects (validation, else test); those without a value last.
function ranked(report) {
  const metric = get(get(report, "goal"), "metric");
  const score = (c) => {
    const v = get(get(c, "validation"), metric);
    const value = isNumber(v) ? v : get(get(c, "test"), metric);
    return isNumber(value) ? (falling(report) ? -value : value) : -Infinity;
  };
  return candidates_of(report)
    .map((c) => [score(c), c])
    .sort((a, b) => (a[0] === b[0] ? 0 : b[0] - a[0]))
    .map((p) => p[1]);
}

// The best of a column; null where there is nothing to compare.
function best_value(candidates, part, metric, less) {
  const values = candidates.map((c) => get(get(c, part), metric)).filter(isNumber);
  return values.length > 1 ? (less ? Math.min(...values) : Math.max(...values)) : null;
}

function leaderboard_table(report, candidates) {
  const goal_metric = text(get(get(report, "goal"), "metric"));
  const columns = [{name: "Candidate"}, {name: "Plugin"}, {name: ""}];
  const scores = [];
  for (const metric of metric_names(candidates, goal_metric))
    for (const part of ["validation", "test"])
      if (candidates.some((c) => get(get(c, part), metric) !== undefined)) {
        const head = el("span", {}, metric, el("br"), el("span", {class: "small"}, part));
        columns.push({name: head, num: true});
        scores.push([
          part, metric,
          metric === goal_metric ? best_value(candidates, part, metric, falling(report)) : null
        ]);
      }
  columns.push({name: "Time", num: true});
  const rows = candidates.map((c) => {
    const chosen = c.name === get(report, "selected");
    const row = [
      [text(c.name), chosen ? [" ", badge("selected", "good")] : null],
      [
        el("span", {class: "mono"}, text(c.plugin)),
        get(c, "component") ? more("settings", json(c.component)) : null
      ],
      status_badge(text(c.status)), ...scores.map(([part, metric, best]) => {
        const value = get(get(c, part), metric);
        return best !== null && value === best
          ? el("span", {class: "best", title: "best"}, num(value))
          : num(value);
      }),
      duration(c.seconds)
    ];
    row.chosen = chosen;
    row.note = [get(c, "where"), get(c, "error")].filter(Boolean).map(text).join(": ");
    return row;
  });
  return table("Leaderboard", columns, rows);
}

function leaderboard_chart(report, candidates) {
  const metric = text(get(get(report, "goal"), "metric"));
  const scored =
    candidates.filter((c) => ["validation", "test"].some((p) => isNumber(get(get(c, p), metric))))
      .slice(0, 40);
  if (!metric || scored.length === 0) return null;
  const state = {zoom: false};
  const series = ["validation", "test"]
                   .map((part, i) => ({
                     name: part,
                     hue: i,
                     values: scored.map((c) => {
                       const v = get(get(c, part), metric);
                       return isNumber(v) ? v : null;
                     })
                   }))
                   .filter((s) => s.values.some(isNumber));
  const all = series.flatMap((s) => s.values).filter(isNumber);
  const low = Math.min(...all), high = Math.max(...all), edge = (high - low) * 0.08;
  const control =
    high > low && low > 0 ? (redraw) => tick("zoom in on the differences", false, (on) => {
      state.zoom = on;
      redraw();
    }) : null;
  return bars(metric, falling(report) ? "less is better" : "more is better",
    scored.map((c) => (c.name === get(report, "selected") ? "▸ " : "") + text(c.name)), series, {
      lying: true,
      control,
      range: () => (state.zoom ? {min: low - edge, max: high + edge} : {beginAtZero: true})
    });
}

function show_leaderboard(report) {
  const candidates = ranked(report);
  if (candidates.length === 0) return null;
  return [leaderboard_table(report, candidates), leaderboard_chart(report, candidates)];
}

// ---- learning curves ----

function show_curves(report) {
  const candidates = candidates_of(report);
  const curves = new Map();  // name of the curve → its lines
  candidates.forEach((c, hue) => {
    for (const [name, steps] of pairs(get(c, "curves"))) {
      const line = points(list(steps).map((s) => get(s, "0")), list(steps).map((s) => get(s, "1")));
      if (line.length === 0) continue;
      if (!curves.has(name)) curves.set(name, []);
      curves.get(name).push({name: text(c.name), points: line, hue});
    }
  });
  if (curves.size === 0) return null;
  return el("div", {class: "grid"},
    [...curves].map(
      ([name, series]) => lines(words(name), series.length === 1 ? series[0].name : "", series,
        {x: "step", log: true, stretch: true})));
}
