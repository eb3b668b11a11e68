// After training: the stored model, its later data, and the document that the run was made from.

function show_deploy(report) {
  const deploy = get(report, "deploy");
  if (!deploy) return null;
  const latency = get(deploy, "latency"), moved = get(deploy, "moved"),
        equal = get(deploy, "bit_equal");
  const ms = (value) => (isNumber(value) ? duration(value / 1000) : null);
  return [
    el("p", {},
      equal === true      ? badge("loaded back bit-equal", "good")
        : equal === false ? badge("not bit-equal when loaded back", "bad")
                          : null,
      " ",
      moved === true                                 ? badge("endpoint moved", "good")
        : moved === false && get(deploy, "endpoint") ? badge("endpoint not moved", "warn")
                                                     : null),
    tiles([
      ["Size", bytes(get(deploy, "bytes"))], ["Latency p50", ms(get(latency, "p50_ms"))],
      ["Latency p99", ms(get(latency, "p99_ms"))]
    ]),
    facts([
      ["Model", get(deploy, "model") ? text(deploy.model) : null],
      ["Version", isNumber(get(deploy, "version")) ? num(deploy.version) : null],
      ["Endpoint", get(deploy, "endpoint") ? text(deploy.endpoint) : null],
      ["Compared", isNumber(get(deploy, "rows_checked")) ? many(deploy.rows_checked, "row") : null],
      ["Timed", isNumber(get(latency, "rows")) ? many(latency.rows, "single row") : null],
      [
        "SHA-256", get(deploy, "sha256") ? el("span", {class: "mono"}, text(deploy.sha256)) : null,
        true
      ],
    ]),
  ];
}

// ---- monitor ----

function show_monitor(report, cut_away) {
  const monitor = get(report, "monitor");
  const windows = list(get(monitor, "windows"));
  if (!monitor) return null;
  const left_out = get(cut_away, "windows") || 0;
  const alerts = list(get(monitor, "alerts"));
  const count = alerts.length + (get(cut_away, "alerts") || 0);
  return [
    el("p", {}, count ? badge(many(count, "alert"), "bad") : badge("no alerts", "good"), " ",
      many(windows.length + left_out, "window"),
      isNumber(get(monitor, "window")) ? " of " + many(monitor.window, "row") : "",
      left_out ? "; the last " + num(windows.length) + " are shown" : "", "."),
    quality_part(monitor, windows),
    drift_part(windows, cut_away),
    alerts_part(alerts, count),
  ];
}

function quality_part(monitor, windows) {
  const names =
    [...new Set(windows.flatMap((w) => pairs(get(w, "quality")).map(([name]) => name)))];
  const metric = text(get(monitor, "metric"));
  names.sort((a, b) => (b === metric) - (a === metric));
  const cards =
    names
      .map((name, hue) => {
        const line = points(windows.map((w, i) => (isNumber(get(w, "index")) ? w.index : i)),
          windows.map((w) => get(get(w, "quality"), name)));
        if (line.length === 0) return null;
        const series = [{name, points: line, hue, dots: line.length < 60}];
        const reference = name === metric ? get(monitor, "reference") : undefined;
        if (isNumber(reference))
          series.push({
            name: "at deployment",
            soft: true,
            points: [line[0], line[line.length - 1]].map((p) => ({x: p.x, y: reference}))
          });
        return lines(name + " by window", "", series, {x: "window"});
      })
      .filter(Boolean);
  return cards.length ? [el("h3", {}, "Quality"), el("div", {class: "grid"}, cards)] : null;
}

// [[feature, largest statistic, any alert], …] of a measure, the worst first.
function drifting(windows, measure) {
  const found = new Map();
  for (const w of windows)
    for (const [feature, it] of pairs(get(get(w, "drift"), measure))) {
      const seen = found.get(feature) || [feature, -Infinity, false];
      if (isNumber(get(it, "statistic"))) seen[1] = Math.max(seen[1], it.statistic);
      seen[2] = seen[2] || get(it, "alert") === true;
      found.set(feature, seen);
    }
  return [...found.values()].sort((a, b) => b[2] - a[2] || (a[1] === b[1] ? 0 : b[1] - a[1]));
}

function drift_part(windows, cut_away) {
  const measures =
    [...new Set(windows.flatMap((w) => pairs(get(w, "drift")).map(([name]) => name)))];
  if (measures.length === 0) return null;
  const place = el("div", {});
  const draw = (index) => place.replaceChildren(
    ...drift_table(windows, measures[index], get(get(cut_away, "features"), measures[index]) || 0));
  draw(0);
  return [
    el("h3", {}, "Drift against the training data"),
    measures.length > 1 ? el("div", {class: "cap"}, choice("Measure", measures, 0, draw)) : null,
    place
  ];
}

function drift_table(windows, measure, left_out) {
  const features = drifting(windows, measure);
  const high = Math.max(0, ...features.map((f) => f[1]).filter(isNumber));
  const at = (r, c) => get(get(get(windows[c], "drift"), measure), features[r][0]);
  const name = (w, i) => num(isNumber(get(w, "index")) ? w.index : i);
  const cell = (r, c) => {
    const it = at(r, c), value = get(it, "statistic");
    return {
      a: isNumber(value) ? (high > 0 ? Math.sqrt(Math.max(0, value) / high) : 0) : null,
      alert: get(it, "alert") === true,
      text: num(isNumber(value) ? Number(value.toFixed(3)) : value, 2),
      title: features[r][0] + ", window " + name(windows[c], c) + ": " + num(value) +
        (isNumber(get(it, "p_value")) ? ", p " + num(it.p_value, 3) : "") +
        (get(it, "alert") === true ? ", alert" : ""),
    };
  };
  return [
    el("div", {class: "cap"}, el("span", {}, measure), scale("0", num(high, 3)),
      el("span", {class: "scale"}, el("i", {class: "mark"}), "alert"),
      left_out ? el("span", {class: "note"},
                   "the " + num(features.length) + " features that drift most; " + num(left_out) +
                     " more are in report.json")
               : null),
    heat(features.map((f) => f[0]), windows.map(name), cell,
      {label: "Drift, " + measure, corner: "feature \\ window", tight: windows.length > 24}),
  ];
}

function alerts_part(alerts, count) {
  if (alerts.length === 0) return null;
  const item = (a) =>
    el("li", {}, badge(words(get(a, "kind")), "bad"), el("span", {}, text(get(a, "message"))));
  const rest = alerts.slice(12);
  return [
    el("h3", {}, "Alerts"), el("ul", {class: "alerts"}, alerts.slice(0, 12).map(item)),
    rest.length
      ? more("Show " + num(rest.length) + " more", el("ul", {class: "alerts"}, rest.map(item)))
      : null,
    count > alerts.length
      ? el("p", {class: "soft small"}, num(count - alerts.length) + " more are in report.json.")
      : null
  ];
}

function show_document(report) {
  const from = get(report, "document");
  return from ? more("Show the pipeline document", json(from)) : null;
}
