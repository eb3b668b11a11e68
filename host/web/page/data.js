// The data: where the rows came from and went, what the transforms did, what the columns look like.

function show_data(report) {
  const prepare = get(report, "prepare");
  if (!prepare) return null;
  const parts = [
    source_part(prepare), split_part(prepare), target_part(report), transforms_part(prepare),
    drops_part(prepare)
  ].flat().filter(Boolean);
  return parts.length ? parts : null;
}

function source_part(prepare) {
  const source = get(prepare, "source");
  if (!source) return null;
  return [
    facts([
      ["Rows read", num(get(source, "rows"))],
      ["Size", bytes(get(source, "bytes"))],
      ["Skipped", get(source, "skipped") ? many(source.skipped, "row") : null],
    ]),
    get(source, "note") ? el("p", {class: "soft"}, text(source.note)) : null
  ];
}

function drops_part(prepare) {
  const drops = list(get(prepare, "rows_dropped"));
  if (drops.length === 0) return null;
  return [
    el("h3", {}, "Dropped rows"),
    table("Dropped rows", [{name: "Reason"}, {name: "Rows", num: true}],
      drops.map((d) => [text(get(d, "reason")), num(get(d, "rows"))]))
  ];
}

function split_part(prepare) {
  const split = get(prepare, "split");
  const parts =
    ["train", "validation", "test"].map((name) => [name, get(split, name)]).filter((p) => p[1] > 0);
  if (parts.length === 0) return null;
  const total = parts.reduce((sum, p) => sum + p[1], 0);
  const folds = get(split, "folds");
  return [
    el("h3", {}, "Split"), el("div", {class: "parts"}, parts.map(([name, rows]) => {
      const words = name + " " + num(rows) + " (" + percent(rows / total) + ")";
      return el("span", {"--rows": rows, title: words}, words);
    })),
    el("p", {class: "soft small"}, parts.map(([name, rows]) => name + " " + num(rows)).join(", "),
      folds > 1 ? "; cross-validated in " + num(folds) + " folds" : "")
  ];
}

function target_part(report) {
  const target = get(get(report, "prepare"), "target");
  const parts =
    ["train", "validation", "test"].filter((name) => pairs(get(target, name)).length > 0);
  if (parts.length === 0) return null;
  const classes = list(get(get(report, "goal"), "classes")).map(text);
  const regression = /^regression/.test(text(get(get(report, "goal"), "task"))) ||
    (classes.length === 0 &&
      parts.every((p) => pairs(target[p]).every(([key]) => ["mean", "min", "max"].includes(key))));
  const named = get(get(report, "goal"), "target");
  const head = el("h3", {}, "Target" + (named ? " “" + text(named) + "”" : ""));
  if (regression)
    return [
      head,
      table("Target by part",
        [
          {name: "Part"}, {name: "Mean", num: true}, {name: "Minimum", num: true},
          {name: "Maximum", num: true}
        ],
        parts.map((p) => [p, num(get(target[p], "mean")), num(get(target[p], "min")),
                    num(get(target[p], "max"))])),
      target_histogram(get(get(report, "prepare"), "profile"))
    ];
  const names = classes.length
    ? classes
    : [...new Set(parts.flatMap((p) => pairs(target[p]).map(([key]) => key)))];
  const sums = new Map(
    parts.map((p) => [p, pairs(target[p]).reduce((sum, [, n]) => sum + (isNumber(n) ? n : 0), 0)]));
  const first = (name) => get(target[parts[0]], name) || 0;
  const shown =
    names.length > 30 ? [...names].sort((a, b) => first(b) - first(a)).slice(0, 30) : names;
  const series = parts.map((p, i) => ({
    name: p,
    hue: i,
    values: shown.map((name) => (100 * (get(target[p], name) || 0)) / (sums.get(p) || 1))
  }));
  const note = "share of each part's rows" +
    (shown.length < names.length ? "; the 30 most frequent of " + num(names.length) + " classes"
                                 : "");
  return [
    head,
    bars("Classes by part", note, shown, series,
      {lying: shown.length <= 12, value: (v) => num(v, 3) + " %"})
  ];
}

function target_histogram(profile) {
  const data = get(get(profile, "target_distribution"), "histogram");
  return list(get(data, "counts")).length
    ? histogram("Distribution of the target", "all rows", data)
    : null;
}

function transforms_part(prepare) {
  const steps = list(get(prepare, "transforms"));
  if (steps.length === 0) return null;
  const change = (from, to) => (from === to ? num(to) : num(from) + " → " + num(to));
  return [
    el("h3", {}, "Transforms"),
    table("Transforms",
      [
        {name: "Plugin"}, {name: "Rows", num: true}, {name: "Columns", num: true},
        {name: "Values filled", num: true}, {name: "Time", num: true}
      ],
      steps.map((s) => [el("span", {class: "mono"}, text(get(s, "plugin"))),
                  change(get(s, "rows_in"), get(s, "rows_out")),
                  change(get(s, "columns_in"), get(s, "columns_out")), num(get(s, "filled")),
                  duration(get(s, "seconds"))]))
  ];
}

// ---- columns ----

const MANY_COLUMNS = 100;

// The columns: of the profile, else the bare types that the reading found.
function show_columns(prepare, cut_away, where) {
  const profile = get(prepare, "profile");
  const rows = get(profile, "rows") || get(get(prepare, "source"), "rows");
  const features = list(get(profile, "features"));
  const types = list(get(prepare, "types"));
  const left_out = (get(cut_away, features.length ? "columns" : "types")) || 0;
  const count = (features.length || types.length) + left_out;
  if (count === 0) return null;
  const body = features.length ? profile_table(features, rows) : types_table(types, rows);
  const note = left_out ? el("p", {class: "soft"},
                            "Shown are " + num(count - left_out) + " of " + num(count) +
                              " columns: the first ones, and the target. " + where)
                        : null;
  return count > MANY_COLUMNS ? [note, more("Show the table of columns", body)] : [note, body];
}

function types_table(types, rows) {
  return table("Columns",
    [{name: "Column"}, {name: "Type"}, {name: "Missing"}, {name: "Distinct", num: true}],
    types.map((t) => [text(get(t, "name")), text(get(t, "type")),
                share(rows > 0 ? get(t, "missing") / rows : null, true), num(get(t, "distinct"))]));
}

function profile_table(features, rows) {
  const told = features.some((f) => get(f, "with_target"));
  const columns = [
    {name: "Column"}, {name: "Type"}, {name: "Missing"}, {name: "Distinct", num: true},
    {name: "Values"}, {name: "Distribution"}
  ];
  if (told)
    columns.push(
      {name: "With the target", title: "Strength of the association: 0 none, 1 complete"});
  return table("Columns", columns, features.map((f) => {
    const alerts = list(get(f, "alerts"));
    const total = rows || get(f, "count") + get(f, "missing");
    const row = [
      [
        text(get(f, "name")), get(f, "role") === "target" ? [" ", badge("target", "good")] : null,
        alerts.map((a) => [" ",
                     el("span", {class: "badge warn", title: text(get(a, "message"))},
                       words(get(a, "kind")))])
      ],
      text(get(f, "type")), share(total > 0 ? get(f, "missing") / total : null, true),
      num(get(f, "distinct")), feature_values(f), feature_picture(f)
    ];
    if (told) row.push(association(get(f, "with_target")));
    return row;
  }),
    features.length > 30);
}

function association(with_target) {
  const value = get(with_target, "value");
  if (!isNumber(value)) return NONE;
  return el("div", {title: words(get(with_target, "measure"))},
    el("div", {class: "share"}, el("span", {class: "num"}, num(value, 2)), track(Math.abs(value))));
}

function feature_picture(f) {
  return sparkline(get(f, "histogram")) || tops(list(get(f, "top")), get(f, "count"), 4) || NONE;
}

function feature_values(f) {
  const length = get(f, "length");
  const rest = facts([
    ...["mean", "std", "min", "max", "sum", "skewness", "kurtosis", "zeros", "negative", "infinite",
      "entropy", "empty", "unseen", "other"]
      .map((k) => [k, get(f, k) === undefined ? null : any(f[k])]),
    [
      "most frequent",
      get(f, "most_frequent") ? any(get(f.most_frequent, "value")) + " (" +
          many(get(f.most_frequent, "count"), "row") + ")"
                              : null
    ],
    [
      "length",
      length ? any(get(length, "min")) + " to " + any(get(length, "max")) + ", mean " +
          any(get(length, "mean"))
             : null
    ],
    ...pairs(get(f, "quantiles")).map(([q, v]) => [percent(Number(q)) + " below", any(v)]),
  ]);
  const short = isNumber(get(f, "mean"))
    ? num(f.mean, 4) + (isNumber(get(f, "std")) ? " ± " + num(f.std, 3) : "")
    : get(f, "min") !== undefined ? any(f.min) + " to " + any(get(f, "max"))
    : list(get(f, "top")).length  ? "most: " + cut(get(f.top[0], "value"), 24)
                                  : NONE;
  return [el("div", {class: "small"}, short), rest ? more("more", rest) : null];
}

// ---- alerts, correlations, the profile's own page ----

function show_profile_alerts(profile) {
  const alerts = [...list(get(profile, "alerts"))];
  if (alerts.length === 0) return null;
  const kinds = new Map();
  for (const a of alerts)
    kinds.set(text(get(a, "kind")), (kinds.get(text(get(a, "kind"))) || 0) + 1);
  const often = (a) => kinds.get(text(get(a, "kind")));
  alerts.sort((a, b) => often(a) -
      often(b));  // what is said of one column is not lost behind what is said of all
  const item = (a) => el("li", {}, badge(words(get(a, "kind")), "warn"),
    el("span", {}, get(a, "column") ? [el("b", {}, text(a.column)), ": "] : null,
      text(get(a, "message"))));
  const rest = alerts.slice(12);
  return [
    el("p", {}, [...kinds].map(([kind,
      n]) => [badge(words(kind) + (n > 1 ? " × " + num(n) : ""), "warn"), " "])),
    el("ul", {class: "alerts"}, alerts.slice(0, 12).map(item)),
    rest.length
      ? more("Show " + num(rest.length) + " more", el("ul", {class: "alerts"}, rest.map(item)))
      : null
  ];
}

function show_correlations(profile, cut_away) {
  const data = get(profile, "correlations");
  const names = list(get(data, "names")).map(text);
  const kinds = ["pearson", "spearman"].filter((kind) => list(get(data, kind)).length > 0);
  if (names.length < 2 || kinds.length === 0) return null;
  const place = el("div", {});
  const draw = (index) => {
    const matrix = list(data[kinds[index]]);
    place.replaceChildren(heat(names, names, (r, c) => {
      const value = get(matrix[r], String(c));
      return {
        a: isNumber(value) && r !== c ? Math.abs(value) : null,
        other: value < 0,
        text: r === c       ? ""
          : isNumber(value) ? num(Number(value.toFixed(2)))
                            : NONE,
        title: names[r] + ", " + names[c] + ": " + num(value, 4),
      };
    }, {label: "Correlations"}));
  };
  draw(0);
  const left_out = get(cut_away, "correlations") || 0;
  return [
    el("div", {class: "cap"}, scale(MINUS + "1", "1", true),
      left_out ? el("span", {class: "note"},
                   "the first " + num(names.length) + " numeric columns; " + num(left_out) +
                     " more were computed")
               : null,
      kinds.length > 1
        ? choice("Measure",
            kinds.map((k) => (k === "pearson" ? "Pearson (linear)" : "Spearman (ranks)")), 0, draw)
        : null),
    place
  ];
}

function show_profile_header(title, profile) {
  document.title = title + " – Lathe data profile";
  const cells = get(profile, "rows") * get(profile, "columns");
  const missing = get(profile, "missing_cells"), twice = get(profile, "duplicate_rows");
  return el("header", {class: "top"}, el("h1", {}, title), tiles([
    ["Rows", num(get(profile, "rows"))],
    ["Columns", num(get(profile, "columns"))],
    [
      "Missing values",
      isNumber(missing)
        ? num(missing) + (cells > 0 && missing > 0 ? " (" + percent(missing / cells) + ")" : "")
        : null
    ],
    ["Repeated rows", num(twice)],
    ["In memory", bytes(get(profile, "bytes"))],
    ["Target", get(profile, "target") ? text(profile.target) : null],
  ]));
}

function show_profile_target(profile) {
  const data = get(profile, "target_distribution");
  const classes = list(get(data, "classes"));
  if (classes.length === 0) return target_histogram(profile);
  const shown = [...classes].sort((a, b) => get(b, "count") - get(a, "count")).slice(0, 30);
  return bars("Classes of “" + text(get(profile, "target")) + "”",
    shown.length < classes.length ? "the 30 most frequent of " + num(classes.length) : "rows",
    shown.map((c) => text(get(c, "value"))),
    [{name: "rows", values: shown.map((c) => get(c, "count"))}], {lying: shown.length <= 12});
}
