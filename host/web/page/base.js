// Elements, numbers and words. All text goes through text nodes: what a file calls its columns is
// never markup.

// The member `key` of an object, own members only ("constructor" is a fine name for a column);
// undefined else.
function get(object, key) {
  return object !== null && typeof object === "object" && Object.hasOwn(object, key) ? object[key]
                                                                                     : undefined;
}

function list(value) {
  return Array.isArray(value) ? value : [];
}

// [[key, value], …] of an object; none of anything else.
function pairs(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value)
    ? Object.entries(value)
    : [];
}

function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

function text(value) {
  return typeof value === "string"          ? value
    : value === null || value === undefined ? ""
                                            : String(value);
}

// el("td", {class: "num", title: "…"}, child, …): children are nodes, texts, numbers; null and ""
// are left out.
function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("--"))
      node.style.setProperty(name, value);
    else
      node.setAttribute(name, value === true ? "" : value);
  }
  add(node, ...children);
  return node;
}

function add(node, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === "") continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

// ---- numbers ----

function grouped(digits) {
  return digits.replace(/\B(?=(\d{3})+$)/g, ",");
}

const MINUS = "\u2212";
const NONE = "\u2013";

// At most `digits` significant ones; integers in full, with thousands separated. No number: a dash.
function num(value, digits = 5) {
  if (!isNumber(value)) return NONE;
  const sign = value < 0 ? MINUS : "";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e12) return sign + grouped(String(size));
  if (size >= 1e12 || size < 1e-4) {
    const [base, power] = size.toExponential(digits - 1).split("e");
    return sign + base.replace(/\.?0+$/, "") + "e" + power.replace("+", "").replace("-", MINUS);
  }
  if (size >= 10 ** (digits - 1)) return sign + grouped(size.toFixed(0));
  const [whole, part] = size.toPrecision(digits).split(".");
  const rest = (part || "").replace(/0+$/, "");
  return sign + grouped(whole) + (rest ? "." + rest : "");
}

function percent(share, digits = 3) {
  if (!isNumber(share)) return NONE;
  const value = share * 100;
  return (value > 0 && value < 0.01 ? "<0.01" : num(Number(value.toPrecision(digits)), digits)) +
    " %";
}

function duration(seconds) {
  if (!isNumber(seconds) || seconds < 0) return NONE;
  if (seconds > 0 && seconds < 1e-3) return num(seconds * 1e6, 3) + " µs";
  if (seconds < 1) return num(seconds * 1000, 3) + " ms";
  if (seconds < 120) return num(seconds, 3) + " s";
  const whole = Math.round(seconds);
  if (whole < 7200) return Math.floor(whole / 60) + " min " + (whole % 60) + " s";
  return num(Math.floor(whole / 3600)) + " h " + (Math.floor(whole / 60) % 60) + " min";
}

function bytes(value) {
  if (!isNumber(value)) return NONE;
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return num(value, 3) + " " + units[unit];
}

// A value that may be a number, a text (a time) or nothing.
function any(value) {
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return value ? "yes" : "no";
  return num(value);
}

function cut(value, length) {
  const letters = Array.from(text(value));
  return letters.length > length ? letters.slice(0, length - 1).join("") + "…" : letters.join("");
}

function words(name) {
  return text(name).replace(/_/g, " ");
}

function many(count, one, more) {
  return num(count) + " " + (count === 1 ? one : more || one + "s");
}

// ---- small things ----

function badge(word, kind) {
  return el("span", {class: "badge " + (kind || "")}, word);
}

// [[name, value, wide], …] as a list of facts; those without a value are left out, nothing where
// all are.
function facts(rows) {
  const shown = rows.filter(
    (row) => row[1] !== null && row[1] !== undefined && row[1] !== "" && row[1] !== NONE);
  if (shown.length === 0) return null;
  return el("dl", {class: "facts"}, shown.map(([name, value,
    wide]) => el("div", {class: wide ? "wide" : null}, el("dt", {}, name), el("dd", {}, value))));
}

function tiles(rows) {
  const shown = rows.filter((row) => row[1] !== null && row[1] !== undefined && row[1] !== NONE);
  if (shown.length === 0) return null;
  return el("div", {class: "tiles"},
    shown.map(([name, value]) => el("div", {class: "tile"}, el("div", {class: "name"}, name),
                el("div", {class: "value" + (text(value).length > 12 ? " long" : "")}, value))));
}

// A choice of several; `change` gets the index.
function choice(label, names, chosen, change) {
  const select = el(
    "select", {}, names.map((name, i) => el("option", {value: i, selected: i === chosen}, name)));
  select.addEventListener("change", () => change(Number(select.value)));
  return el("label", {class: "control"}, label, select);
}

function tick(label, on, change) {
  const box = el("input", {type: "checkbox", checked: on});
  box.addEventListener("change", () => change(box.checked));
  return el("label", {class: "control"}, box, label);
}

function more(summary, ...children) {
  return el("details", {}, el("summary", {}, summary), children);
}

function json(value) {
  return el("pre", {tabindex: "0"}, JSON.stringify(value, null, 2));
}
