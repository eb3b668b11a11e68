// Charts. Each is built by a function of the theme and built again where the theme changes (dark,
// light, paper).

const charts = [];

// Told apart also by the colour-blind (Okabe and Ito 2008), the yellow darkened for white paper.
const HUES =
  ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#8a63d2", "#7f7f7f"];
const HUES_DARK =
  ["#4ea8e6", "#f08a4b", "#3ccb9b", "#e39ac4", "#e3b94a", "#8fd0f5", "#b297ee", "#b5b5b5"];

function theme() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const dark = matchMedia("(prefers-color-scheme: dark)").matches &&
    !document.documentElement.hasAttribute("data-print");
  const hues = dark ? HUES_DARK : HUES;
  return {
    text: colour("--text"),
    soft: colour("--soft"),
    grid: colour("--grid"),
    hue: (i) => hues[i % hues.length],
    dash: (i) => [[], [7, 3], [2, 3]][Math.floor(i / hues.length) % 3],
  };
}

function start_chart(entry) {
  if (entry.chart) entry.chart.destroy();
  const t = theme();
  const config = entry.build(t);
  config.options =
    Object.assign({responsive: true, maintainAspectRatio: false, animation: false}, config.options);
  Chart.defaults.color = t.soft;
  Chart.defaults.borderColor = t.grid;
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  entry.chart = new Chart(entry.canvas, config);
}

// Draws those that are on the page and new; forgets those that have left it.
function draw_new_charts() {
  for (let i = charts.length - 1; i >= 0; i--)
    if (charts[i].chart && !charts[i].canvas.isConnected) charts.splice(i, 1)[0].chart.destroy();
  charts.filter((entry) => !entry.chart && entry.canvas.isConnected).forEach(start_chart);
}

function redraw_charts() {
  charts.forEach(start_chart);
}

function watch_theme() {
  const paper = (on) => () => {
    document.documentElement.toggleAttribute("data-print", on);
    redraw_charts();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw_charts);
  addEventListener("beforeprint", paper(true));
  addEventListener("afterprint", paper(false));
}

// A chart with its caption. build(theme) gives Chart.js's {type, data, options}; control(redraw) an
// input for the caption.
function chart(title, note, height, build, control) {
  const canvas = el("canvas", {role: "img", "aria-label": title + (note ? ", " + note : "")});
  const entry = {canvas, build, chart: null};
  const redraw = () => start_chart(entry);
  const caption = el("figcaption", {}, el("span", {}, title),
    note ? el("span", {class: "note"}, note) : null, control ? control(redraw) : null);
  charts.push(entry);
  return el(
    "figure", {}, caption, el("div", {class: "chart", style: "height:" + height + "px"}, canvas));
}

// An axis: its title and its numbers as the page writes them.
function axis(title, more) {
  const log = more && more.type === "logarithmic";
  return Object.assign({
    title: {display: Boolean(title), text: title || ""},
    ticks: {
      maxRotation: 0,
      autoSkipPadding: 12,
      callback: (value) =>
        (log && !/^[125]/.test(Number(value).toExponential()) ? null : num(value, 3)),
    },
  },
    more);
}

function tooltips(label) {
  return {callbacks: {label}};
}

// Bars. series: [{name, values, hue or hues}]. Lying where options.lying.
function bars(title, note, names, series, options) {
  const lying = Boolean(options.lying);
  const value = options.value || ((v) => num(v));
  const height =
    options.height || (lying ? Math.max(90, 56 + names.length * (8 + 16 * series.length)) : 260);
  return chart(title, note, height, (t) => {
    const name_axis = {
      grid: {display: false},
      ticks: {
        autoSkip: !lying,
        maxRotation: lying ? 0 : 60,
        color: t.text,
        callback(v) {
          return cut(this.getLabelForValue(v), lying ? 30 : 16);
        },
      },
    };
    const value_axis = axis(options.axis, options.range ? options.range() : {beginAtZero: true});
    if (options.value) value_axis.ticks.callback = (v) => options.value(v);
    return {
      type: "bar",
      data: {
        labels: names,
        datasets: series.map((s, i) => ({
          label: s.name,
          data: s.values,
          maxBarThickness: options.touch ? undefined : 26,
          categoryPercentage: options.touch ? 0.98 : 0.8,
          barPercentage: options.touch ? 1 : 0.92,
          backgroundColor: s.hues ? s.hues.map((h) => t.hue(h))
                                  : t.hue(s.hue === undefined ? i : s.hue),
        })),
      },
      options: {
        indexAxis: lying ? "y" : "x",
        scales: lying ? {x: value_axis, y: name_axis} : {x: name_axis, y: value_axis},
        plugins: {
          legend: {display: series.length > 1, labels: {boxWidth: 14}},
          tooltip: tooltips(
            (item) => (series.length > 1 ? item.dataset.label + ": " : "") + value(item.raw)),
        },
      },
    };
  }, options.control);
}

// Lines of very different length may be stretched to the same: then x is the share of each one's
// last x.
function stretched(s) {
  const last = s.points[s.points.length - 1].x;
  return s.points.map((p) => ({x: last > 0 ? (100 * p.x) / last : 100, y: p.y, step: p.x}));
}

// Lines through points {x, y}. series: [{name, points, hue, soft, dots}]; soft ones are for
// reference.
function lines(title, note, series, options) {
  const ends = series.map((s) => s.points[s.points.length - 1].x);
  const uneven = options.stretch && Math.max(...ends) > 5 * Math.min(...ends);
  const state = {log: false, stretch: uneven};
  const can_log = options.log && series.every((s) => s.points.every((p) => p.y > 0));
  const control = (redraw) => [uneven ? tick("stretch to equal length", true, (on) => {
    state.stretch = on;
    redraw();
  }) : null, can_log ? tick("log scale", false, (on) => {
    state.log = on;
    redraw();
  }) : null];
  return chart(title, note, options.height || 280, (t) => ({
    type: "line",
    data: {
      datasets: series.map((s, i) => {
        const hue = s.hue === undefined ? i : s.hue;
        const colour = s.soft ? t.soft : t.hue(hue);
        return {
          label: s.name,
          data: state.stretch ? stretched(s) : s.points,
          parsing: false,
          borderColor: colour,
          backgroundColor: colour,
          borderWidth: s.soft ? 1.5 : 2,
          borderDash: s.soft ? [5, 4] : t.dash(hue),
          pointRadius: s.dots || (!s.soft && s.points.length < 25) ? 2.5 : 0,
          pointHitRadius: 6,
        };
      }),
    },
    options: {
      interaction: {mode: "nearest", axis: "xy", intersect: false},
      scales: {
        x: Object.assign(axis(state.stretch ? "% of its steps" : options.x,
                           state.stretch ? {max: 100} : options.range),
          {type: "linear"}),
        y:
          axis(options.y, Object.assign({}, options.range, state.log ? {type: "logarithmic"} : {})),
      },
      plugins: {
        legend: {display: series.length > 1, labels: {boxWidth: 16, boxHeight: 2}},
        tooltip: {
          callbacks: {
            title: (items) => (items.length ? (options.x ? options.x + " " : "") +
                  num(items[0].raw.step === undefined ? items[0].raw.x : items[0].raw.step)
                                            : ""),
            label: (item) => cut(item.dataset.label, 40) + ": " + num(item.raw.y),
          },
        },
      },
    },
  }),
    control);
}

// Counts of a histogram {low, high, counts} as touching bars.
function histogram(title, note, data, height) {
  const counts = list(data.counts);
  const width = (data.high - data.low) / counts.length;
  const numeric = isNumber(width);
  const middles =
    counts.map((_, i) => (numeric ? num(Number((data.low + width * (i + 0.5)).toPrecision(3)), 3)
                   : i === 0      ? any(data.low)
                   : i === counts.length - 1 ? any(data.high)
                                             : ""));
  return bars(
    title, note, middles, [{name: "rows", values: counts}], {touch: true, axis: "rows", height});
}

// The points of two lists of equal length; pairs with a number missing are left out.
function points(xs, ys) {
  const out = [];
  list(xs).forEach((x, i) => {
    if (isNumber(x) && isNumber(list(ys)[i])) out.push({x, y: ys[i]});
  });
  return out;
}
