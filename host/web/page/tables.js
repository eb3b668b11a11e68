// Tables, heat tables, and the small pictures that stand in table cells.

// A region that scrolls on its own where its content is wide; reachable by keyboard.
function scroller(label, content, tall) {
  return el("div",
    {class: "scroll" + (tall ? " tall" : ""), tabindex: "0", role: "region", "aria-label": label},
    content);
}

// columns: [{name, num, title}]; rows: lists of cells (nodes, texts), the first of each is the
// row's header. A row may carry `chosen`, and a `note` that stands below it in its whole width.
function table(label, columns, rows, tall) {
  const head = el("tr", {},
    columns.map(
      (c) => el("th", {scope: "col", class: c.num ? "num" : null, title: c.title}, c.name)));
  const body = rows.map(
    (row) => [el("tr", {
      class: [row.chosen && "chosen", row.note && "noted"].filter(Boolean).join(" ") || null
    },
                row.map((cell, i) => {
                  const kind = columns[i].num ? "num" : null;
                  return i === 0 ? el("th", {scope: "row", class: kind}, cell)
                                 : el("td", {class: kind}, cell);
                })),
      row.note ? el("tr", {},
                   el("td", {colspan: columns.length, class: "reason"}, el("div", {}, row.note)))
               : null]);
  return scroller(label, el("table", {}, el("thead", {}, head), el("tbody", {}, body)), tall);
}

// A heat table. rows, columns: names. cell(r, c) gives {a: 0 … 1 or null, other, alert, text,
// small, title}. options: label, corner, tight (cells without text), totals: {name, values}.
function heat(rows, columns, cell, options) {
  const slant = columns.some((name) => text(name).length > (options.tight           ? 1
                                                               : columns.length > 8 ? 4
                                                                                    : 9));
  const titles =
    columns.map((name) => el("th", {scope: "col", class: slant ? "slant" : null, title: name},
                  slant ? el("span", {}, cut(name, 18)) : name));
  if (options.totals) titles.push(el("th", {scope: "col"}, options.totals.name));
  const body = rows.map((name, r) => {
    const row =
      el("tr", {}, el("th", {scope: "row", title: name}, options.tight ? cut(name, 22) : name));
    columns.forEach((_, c) => {
      const it = cell(r, c);
      const kinds =
        [it.other && "other", it.alert && "alert", it.a === null && "none"].filter(Boolean).join(
          " ");
      const a = it.a === null ? 0 : Math.min(1, Math.max(0, it.a)) * 0.75;
      add(row,
        el("td", {class: kinds || null, title: it.title, "--a": a.toFixed(3)},
          options.tight ? null : it.text,
          options.tight || !it.small ? null : el("small", {}, it.small)));
    });
    if (options.totals) add(row, el("td", {class: "total"}, num(options.totals.values[r])));
    return row;
  });
  const head = el("thead", {},
    el("tr", {}, el("th", {scope: "col", class: "soft"}, options.corner || ""), titles));
  return scroller(options.label,
    el("table", {
      class: "heat" +
        (options.tight            ? (columns.length > 60 ? " tight tiny" : " tight")
            : columns.length > 12 ? " dense"
                                  : "")
    },
      head, el("tbody", {}, body)),
    rows.length > 30);
}

function scale(low, high, two) {
  return el("span", {class: "scale"}, low, el("i", {class: two ? "two" : null}), high);
}

function track(part, lack) {
  return el("span", {class: "track" + (lack ? " lack" : "")},
    el("i", {"--part": Math.min(1, Math.max(0, part)).toFixed(4)}));
}

function share(part, lack) {
  return el("div", {class: "share"}, el("span", {class: "num"}, percent(part)),
    track(isNumber(part) ? part : 0, lack));
}

// {low, high, counts} as a picture of a cell's size.
function sparkline(histogram) {
  const counts = list(get(histogram, "counts")).map((c) => (isNumber(c) ? c : 0));
  const high = Math.max(0, ...counts);
  if (counts.length === 0 || high === 0) return null;
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  const parts = counts.map((c, i) => {
    const height = c > 0 ? Math.max(0.6, (30 * c) / high) : 0;  // what is there is seen
    return "M" + (i + 0.05) + " 30v" + (-height).toFixed(2) + "h.9v" + height.toFixed(2) + "z";
  });
  path.setAttribute("d", parts.join(""));
  svg.setAttribute("viewBox", "0 0 " + counts.length + " 30");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "hist");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label",
    "Histogram from " + any(get(histogram, "low")) + " to " + any(get(histogram, "high")));
  svg.append(path);
  const date = (end) => cut(any(end), 10);
  return el("div", {}, svg,
    el("div", {class: "ends"}, el("span", {}, date(get(histogram, "low"))),
      el("span", {}, date(get(histogram, "high")))));
}

// The most frequent values with their shares of `count`.
function tops(values, count, shown) {
  if (values.length === 0 || !(count > 0)) return null;
  return el("div", {class: "tops"}, values.slice(0, shown).flatMap((top) => {
    const part = get(top, "count") / count;
    const name = text(get(top, "value"));
    return [
      el("span", {class: "name", title: name}, name === "" ? "(empty)" : name), track(part),
      el("span", {class: "num"}, percent(part, 2))
    ];
  }));
}
