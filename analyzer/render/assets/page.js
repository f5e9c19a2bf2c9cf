(() => {
"use strict";
// Everything here is an addition: without it the page holds the same facts.
const all = (what, where = document) => [...where.querySelectorAll(what)];
const make = (name, text, where) => {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (where) where.append(made);
  return made;
};
const put = (made, values) => {
  for (const key in values) made.setAttribute(key, values[key]);
  return made;
};
const button = (text, where, act) => {
  const made = put(make("button", text, where), { type: "button" });
  made.onclick = act;
  return made;
};

// Copy buttons beside commands and snippets.
all(".cmd code, .snippet code").forEach(code => {
  const made = button("Copy", null, () => {
    const done = () => { made.textContent = "Copied"; setTimeout(() => { made.textContent = "Copy"; }, 1500); };
    const select = () => {
      const range = document.createRange();
      range.selectNodeContents(code);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      document.execCommand("copy");
      done();
    };
    if (navigator.clipboard) navigator.clipboard.writeText(code.textContent).then(done, select); else select();
  });
  put(made, { "aria-label": "Copy: " + code.textContent.slice(0, 120) });
  code.after(made);
});

// Long tables get a filter.
all("table[data-filter]").forEach(table => {
  const rows = all("tbody tr:not(.of)", table);
  if (rows.length < 8) return;
  const bar = put(make("p"), { class: "tools" }), input = make("input", "", bar), words = "Filter " + table.dataset.filter;
  const told = put(make("small", "", bar), { role: "status" });
  put(input, { type: "search", placeholder: words, "aria-label": words });
  input.oninput = () => {
    const wanted = input.value.toLowerCase();
    rows.forEach(row => row.classList.toggle("miss", !row.textContent.toLowerCase().includes(wanted)));
    told.textContent = wanted ? rows.filter(row => !row.matches(".miss,.out")).length + " of " + rows.length : "";
  };
  table.parentNode.before(bar);
});

// Filters by severity, namespace and time: data-f holds kind;rank;namespaces;first;last. What is not known is not hidden,
// but a namespace hides what names none.
const facets = all("[data-f]").map(el => {
  const [kind, rank, names, a, b] = el.dataset.f.split(";");
  return { el, kind, rank, names: names.split(" "), a: a && +a, b: b && +b };
});
let reset = () => {}, scope = () => {};
if (facets.some(one => one.kind)) {
  const bar = put(make("div"), { class: "tools filters", role: "search", "aria-label": "Filter findings and rows" });
  const said = put(make("p"), { class: "said-filter", role: "status" });
  const day = new Date(Math.min(...facets.map(one => one.a).filter(Boolean)) * 1000 || 0).toISOString().slice(0, 10);
  const field = (text, made) => {
    const label = make("label", text + " ", bar);
    label.append(made);
    made.onchange = () => sift();
    return made;
  };
  const choice = (text, options) => {
    const made = field(text, make("select"));
    options.forEach(([value, words]) => { make("option", words, made).value = value; });
    return made;
  };
  const time = text => put(field(text, make("input")), { placeholder: day + " 00:00", size: 15 });
  const names = [...new Set(facets.flatMap(one => one.names))].filter(Boolean).sort();
  const least = choice("Severity", [["", "all"], ["1", "≥ medium"], ["2", "≥ high"], ["3", "critical"]]);
  const space = choice("Namespace", [["", "all"], ...names.map(name => [name, name])]);
  space.parentNode.hidden = !names.length;
  const from = time("From, UTC"), to = time("To, UTC");
  const seconds = made => {
    const text = made.value.trim(), t = text && Date.parse((text.includes("-") ? text : day + " " + text).replace(" ", "T") + "Z");
    put(made, { "aria-invalid": t !== t });
    return t / 1000 || 0;
  };
  const sift = () => {
    const a = seconds(from), b = seconds(to);
    facets.forEach(one => one.el.classList.toggle("out", !!(
      least.value && one.rank && one.rank < least.value ||
      space.value && !one.names.includes(space.value) ||
      a && one.b !== "" && one.b < a || b && one.a !== "" && one.a > b)));
    const main = facets.filter(one => one.kind && one.el.id), rest = facets.filter(one => !one.kind);
    const count = list => list.filter(one => !one.el.matches(".out")).length + " of " + list.length;
    said.textContent = least.value || space.value || a || b ? "Filtered: " + count(main) + " findings and " + count(rest) + " rows are shown." : "";
    scope(a || -Infinity, b || Infinity);
  };
  reset = () => { [least, space, from, to].forEach(made => { made.value = ""; }); sift(); };
  bar.append(button("Show all", null, reset));
  document.querySelector("main").before(bar, said);
}

// A link to what is folded or filtered shows it; printing unfolds all.
const unfold = () => {
  const aim = location.hash && document.getElementById(location.hash.slice(1));
  if (!aim) return;
  if (aim.matches(".out")) reset();
  if (aim.tagName === "DETAILS") aim.open = true;
  aim.scrollIntoView();
};
addEventListener("hashchange", unfold);
unfold();
let folded = [];
addEventListener("beforeprint", () => {
  folded = all("details:not([open]):not(.data)");
  folded.forEach(one => { one.open = true; });
});
addEventListener("afterprint", () => folded.forEach(one => { one.open = false; }));

// What scrolls sideways must be reachable by keyboard.
all(".scroll").forEach(box => {
  if (box.scrollWidth <= box.clientWidth) return;
  const caption = box.querySelector("caption, title");
  put(box, { tabindex: 0, role: "group", "aria-label": caption ? caption.textContent : "Chart" });
});

// Charts: one zoom for all on the shared axis, a cursor with the values of its moment.
const island = document.getElementById("values");
if (!island) return;
const data = JSON.parse(island.textContent), SVG = "http://www.w3.org/2000/svg";
const tip = put(make("div", "", document.body), { class: "tip" });
tip.hidden = true;
const clock = (t, short) => {
  const text = new Date(t * 1000).toISOString(), end = text.slice(16, 19);
  return short ? text.slice(11, 16) + (t % 60 ? end : "") : text.slice(0, 10) + " " + text.slice(11, 16) + end + "Z";
};
const node = (name, set, where) => {
  const made = put(document.createElementNS(SVG, name), set);
  if (where) where.append(made);
  return made;
};
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

const charts = all("svg.plot[data-a]").map(svg => {
  const d = svg.dataset;
  const plot = { svg, a: +d.a, b: +d.b, from: +d.a, to: +d.b, l: +d.l, r: +d.r, t: +d.t, h: +d.h, width: svg.viewBox.baseVal.width };
  plot.paths = all("path[data-s]", svg).map(path => ({ path, first: path.getAttribute("d"), ...path.dataset }));
  plot.ticks = all(".tick", svg);
  plot.spans = all("[data-from]", svg).map(el => ({ el, x: el.getAttribute("x"), w: el.getAttribute("width") }));
  plot.labels = all("[data-of]", svg).map(el => ({ el, x: +el.getAttribute("x") }));
  plot.x = t => plot.l + (plot.r - plot.l) * (t - plot.a) / (plot.b - plot.a);
  plot.time = x => plot.a + (x - plot.l) / (plot.r - plot.l) * (plot.b - plot.a);
  plot.at = e => { const box = svg.getBoundingClientRect(); return (e.clientX - box.left) * plot.width / box.width; };
  plot.cross = node("path", { stroke: "currentColor", "stroke-dasharray": "3 3", visibility: "hidden" }, svg);
  plot.pick = node("rect", { y: plot.t, height: plot.h - plot.t, fill: "currentColor", "fill-opacity": .12, visibility: "hidden" }, svg);
  return plot;
});

const outline = (plot, p) => {
  const group = data.groups[p.s], filled = p.kind !== "lines", lanes = group.v;
  const lo = Math.max(0, Math.floor((plot.a - group.t) / group.d)), hi = Math.min(lanes[0].length, Math.ceil((plot.b - group.t) / group.d));
  const count = Math.min(hi - lo, 480), clip = t => plot.x(Math.min(Math.max(t, plot.a), plot.b)).toFixed(1);
  let out = "", pen = false;
  for (let n = 0; n < count; n++) {
    const i = lo + Math.floor(n * (hi - lo) / count), j = lo + Math.floor((n + 1) * (hi - lo) / count);
    let value = null, total = -1;
    for (let k = i; k < j; k++) {
      if (p.kind === "stack") {
        const sum = lanes.reduce((s, lane) => s + (lane[k] || 0), 0);
        if (sum <= total) continue;
        total = sum;
        value = lanes.every(lane => lane[k] == null) ? null : lanes.slice(0, +p.k + 1).reduce((s, lane) => s + (lane[k] || 0), 0);
      } else if (lanes[p.k][k] != null && (value === null || lanes[p.k][k] > value)) value = lanes[p.k][k];
    }
    const x = clip(group.t + i * group.d), end = clip(group.t + j * group.d);
    if (value === null) { if (pen && filled) out += "V" + p.y + "Z"; pen = false; continue; }
    const y = (p.y - p.h * Math.min(value / p.max, 1)).toFixed(1);
    out += (pen ? "" : filled ? "M" + x + " " + p.y : "M" + x + " " + y) + "V" + y + "H" + end;
    pen = true;
  }
  return out + (pen && filled ? "V" + p.y + "Z" : "");
};

const draw = plot => {
  const whole = plot.a === plot.from && plot.b === plot.to;
  plot.paths.forEach(p => p.path.setAttribute("d", whole ? p.first : outline(plot, p)));
  plot.spans.forEach(({ el, x, w }) => {
    const a = Math.max(+el.dataset.from, plot.a), b = Math.min(+el.dataset.to, plot.b);
    put(el, {
      visibility: a > b ? "hidden" : "visible",
      x: whole ? x : plot.x(a).toFixed(1),
      width: whole ? w : Math.max(plot.x(b) - plot.x(a), 3).toFixed(1)
    });
  });
  plot.labels.forEach(({ el, x }) => {
    const t = +el.dataset.of, gap = el.getAttribute("text-anchor") === "end" ? -4 : 4;
    put(el, {
      x: whole ? x : plot.x(Math.min(Math.max(t, plot.a), plot.b)) + gap,
      visibility: !whole && (t < plot.a || t > plot.b) ? "hidden" : "visible"
    });
  });
  all(".tick", plot.svg).forEach(old => old.remove());
  if (whole) { plot.svg.append(...plot.ticks); return; }
  const span = plot.b - plot.a, step = STEPS.find(s => span / s <= 8) || 86400 * Math.ceil(span / 691200);
  for (let t = Math.ceil(plot.a / step) * step; t <= plot.b; t += step) {
    const g = node("g", { class: "tick" }, plot.svg), x = plot.x(t).toFixed(1);
    node("path", { class: "grid", d: "M" + x + " " + plot.t + "V" + (plot.h + 4) }, g);
    node("text", { x, y: plot.h + 16, "text-anchor": "middle", class: "lab" }, g).textContent = step >= 86400 ? clock(t).slice(5, 10) : clock(t, true);
  }
};
const zoom = (a, b) => charts.forEach(plot => {
  const from = Math.max(a, plot.from), to = Math.min(b, plot.to);
  [plot.a, plot.b] = to - from > 0 ? [from, to] : [plot.from, plot.to];
  draw(plot);
});
const whole = () => zoom(-Infinity, Infinity);
scope = zoom;

const hide = plot => { tip.hidden = true; plot.cross.setAttribute("visibility", "hidden"); };
const show = (plot, t, e) => {
  const x = plot.x(t), seen = new Set(), lines = [clock(t)];
  plot.paths.slice().sort((p, q) => p.s - q.s || p.k - q.k).forEach(p => {
    const group = data.groups[p.s], key = p.s + "." + p.k, i = Math.floor((t - group.t) / group.d);
    if (seen.has(key) || i < 0 || i >= group.v[p.k].length) return;
    seen.add(key);
    const value = group.v[p.k][i];
    lines.push((value === null ? "no data" : value.toLocaleString("en")).padStart(9) + "  " + group.n[p.k]);
  });
  put(plot.cross, { d: "M" + x + " " + plot.t + "V" + plot.h, visibility: "visible" });
  tip.textContent = lines.join("\n");
  tip.hidden = false;
  const box = plot.svg.getBoundingClientRect(), left = box.left + x * box.width / plot.width;
  tip.style.left = Math.max(4, left + tip.offsetWidth + 24 > innerWidth ? left - tip.offsetWidth - 12 : left + 12) + "px";
  tip.style.top = Math.max(4, Math.min((e ? e.clientY : box.top) + 14, innerHeight - tip.offsetHeight - 8)) + "px";
  return lines.map(line => line.trim()).join(", ");
};

charts.forEach((plot, n) => {
  let start = null;
  const inside = x => Math.min(Math.max(x, plot.l), plot.r);
  plot.svg.addEventListener("pointermove", e => {
    const x = plot.at(e);
    if (start !== null) {
      put(plot.pick, { x: Math.min(start, inside(x)), width: Math.abs(start - inside(x)), visibility: "visible" });
    }
    if (x < plot.l || x > plot.r) hide(plot); else show(plot, plot.time(x), e);
  });
  plot.svg.addEventListener("pointerleave", () => hide(plot));
  plot.svg.addEventListener("pointerdown", e => { if (e.pointerType === "mouse" && !e.button) { start = inside(plot.at(e)); e.preventDefault(); } });
  addEventListener("pointerup", e => {
    if (start === null) return;
    const a = plot.time(Math.min(start, inside(plot.at(e)))), b = plot.time(Math.max(start, inside(plot.at(e))));
    const wide = plot.x(b) - plot.x(a) > 8;
    start = null;
    plot.pick.setAttribute("visibility", "hidden");
    if (wide) zoom(a, b);
  });
  plot.svg.addEventListener("dblclick", whole);
  // Small charts inside findings have their table.
  if (plot.svg.id[0] === "e") return;
  const bar = put(make("div"), { class: "tools" }), range = make("input");
  if (n === 0) data.windows.slice(0, 8).forEach(([id, a, b]) => {
    const edge = Math.max((b - a) * .25, 30);
    button("Zoom to " + id, bar, () => zoom(a - edge, b + edge));
  });
  button("Whole window", bar, whole);
  put(range, { type: "range", min: 0, max: 1000, value: 0, "aria-label": "Time cursor: reads the values of one moment" });
  range.oninput = () => put(range, { "aria-valuetext": show(plot, plot.a + (plot.b - plot.a) * range.value / 1000.001) });
  range.onblur = () => hide(plot);
  bar.append(range);
  plot.svg.parentNode.after(bar);
});
addEventListener("keydown", e => { if (e.key === "Escape") { whole(); charts.forEach(hide); } });
})();
