// Refreshes the page, searches the fleet, and draws charts.
"use strict";

const byId = (id) => document.getElementById(id);
const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
const element = (kind, properties) => Object.assign(document.createElement(kind), properties);
const main = byId("fleet") ?? byId("server");
const MINUTE = 60_000;
/** Milliseconds, by a clock that nobody sets. */
const clock = () => performance.now();

// Times

/** The zone of a time: CET, CEST, GMT+5:30. */
const zone = (time) =>
  new Intl.DateTimeFormat([], { timeZoneName: "short" }).formatToParts(time).find(({ type }) => type === "timeZoneName").value;
const withZone = (time, style) => `${new Date(time).toLocaleString([], style)} ${zone(time)}`;
const SHORT = { dateStyle: "short", timeStyle: "short" };

/** The server's time: this machine's may be wrong. */
let read = { at: Date.now(), by: clock() };
const now = () => read.at + clock() - read.by;

const noteTime = () => { read = { at: Date.parse(byId("at").dateTime), by: clock() }; };

// Requests

/** Milliseconds after which a request counts as failed. */
const PATIENCE = 10_000;
/** When the requests began that have not been answered. */
const waiting = new Set();
/** Whether there is nothing to ask for without signing in again. */
let isOver = false;

/** Fetches a text; says above the page if that fails, and returns null. */
async function load(path) {
  const began = clock();
  waiting.add(began);
  const signal = AbortSignal.timeout(PATIENCE);
  try {
    for (let pause = 500; ; pause *= 2) {
      const response = await fetch(path, { signal });
      const text = await response.text();
      if (response.ok) {
        byId("stale").hidden = true;
        // One that began earlier may still hang.
        waiting.clear();
        return text;
      }
      if (response.status === 401) return endSession();
      if (response.status !== 429) throw new Error(text.slice(0, 300));
      // There were too many: not all come back at the same time.
      await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random())));
    }
  } catch (error) {
    if (!isOver) sayStale(error.name === "TimeoutError" ? "no response" : error.message);
    return null;
  } finally {
    waiting.delete(began);
  }
}

function sayStale(reason) {
  const stale = byId("stale");
  const words = `Not refreshed since ${withZone(read.at, { timeStyle: "short" })}: ${reason}. It is tried again.`;
  // A screen reader says it once.
  if (stale.textContent !== words) stale.textContent = words;
  stale.hidden = false;
}

function endSession() {
  isOver = true;
  const link = element("a", { href: "", textContent: "Sign in" });
  byId("stale").replaceChildren("You are signed out, and this is no longer refreshed. ", link);
  byId("stale").hidden = false;
  return null;
}

/** Calls it at an interval while the page is visible. */
function repeat(seconds, refresh) {
  let last = clock();
  const run = () => {
    if (document.hidden || isOver) return;
    if ([...waiting].some((began) => clock() - began >= PATIENCE)) sayStale("no response");
    if (clock() - last < seconds * 1000) return;
    last = clock();
    refresh();
  };
  setInterval(run, 1000);
  document.addEventListener("visibilitychange", run);
}

const keyOf = (node) => node.dataset?.key ?? (node.id || null);

/** Makes an element what another one is, but for whether it is folded. */
function update(old, next) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) if (!next.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of next.attributes) if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (!next.hasAttribute("data-keep")) updateChildren(old, next);
}

/** The same for what is in it: only what has changed is touched, so that focus and selection stay. */
function updateChildren(old, next) {
  const known = new Map();
  const others = [];
  for (const node of old.childNodes) keyOf(node) === null ? others.push(node) : known.set(keyOf(node), node);
  const pairs = [...next.childNodes].map((node) => {
    const key = keyOf(node);
    const place = others.findIndex((other) => other.nodeName === node.nodeName);
    const match = key === null ? others.splice(0, place + 1).at(-1) : known.get(key);
    known.delete(key);
    return [match ?? null, node];
  });
  const kept = new Set(pairs.map(([match]) => match));
  for (const node of [...old.childNodes]) if (!kept.has(node)) node.remove();
  let place = old.firstChild;
  for (const [match, node] of pairs) {
    if (match === null) {
      old.insertBefore(node, place);
      continue;
    }
    if (match === place) place = place.nextSibling;
    // One that goes further down is moved, and not all that it passes.
    else if (place !== null && match === place.nextSibling) place = match.nextSibling;
    else (old.moveBefore ?? old.insertBefore).call(old, match, place);
    update(match, node);
  }
}

function show(html) {
  // Escaped by the server.
  const { content } = element("template", { innerHTML: html });
  const focused = document.activeElement;
  keepOpen(content);
  updateChildren(main, content);
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  const { pageTitle, icon } = main.querySelector("[data-page-title]").dataset;
  document.title = pageTitle;
  document.querySelector("link[rel=icon]").href = icon;
  noteTime();
}

// The fleet

function startFleet() {
  const search = byId("search");
  const address = (path) => {
    const fields = [...new FormData(search.form)].filter(([, value]) => value);
    return fields.length ? `${path}?${new URLSearchParams(fields)}` : path;
  };
  /** Hides what does not match until the server has answered, which knows more than a row shows. */
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/);
    for (const row of all("tbody tr")) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  };
  let newest = 0;
  const refresh = async () => {
    const number = ++newest;
    const html = await load(address("fleet"));
    // A slow answer does not replace a newer one.
    if (html === null || number !== newest) return;
    show(html);
    all("tr.detail").forEach(drawHour);
  };
  let pause;
  search.addEventListener("input", () => {
    newest++;
    filter();
    history.replaceState(null, "", address("./"));
    clearTimeout(pause);
    pause = setTimeout(refresh, 300);
  });
  search.form.addEventListener("submit", (event) => {
    event.preventDefault();
    refresh();
  });
  main.addEventListener("click", ({ target }) => {
    if (target.matches("button.open")) toggle(target);
  });
  repeat(Number(main.dataset.refresh), refresh);
  // A group stays folded. Last, since a browser may forbid it.
  main.addEventListener("toggle", ({ target, newState }) => { sessionStorage[target.dataset.key] = newState; }, true);
  for (const group of all("details")) group.open = sessionStorage[group.dataset.key] !== "closed";
}

/** Opens a row, or closes it. */
function toggle(button) {
  const row = button.closest("tr");
  if (button.ariaExpanded === "true") {
    button.ariaExpanded = "false";
    return row.nextElementSibling.remove();
  }
  drawHour(open(row));
}

/** Puts a row below that of a server, which a refresh leaves alone. */
function open(row) {
  row.querySelector("button.open").ariaExpanded = "true";
  const detail = element("tr", { className: "detail" });
  Object.assign(detail.dataset, { key: `${row.dataset.key} detail`, keep: "", server: row.dataset.key });
  row.after(detail);
  return detail;
}

/** Sees to it that a refresh does not close rows. */
function keepOpen(next) {
  const isOpen = new Set(all("tr.detail").map(({ dataset }) => dataset.server));
  for (const row of all("tbody tr", next)) if (isOpen.has(row.dataset.key)) open(row);
}

async function drawHour(detail) {
  if (!detail.charts) {
    const cell = Object.assign(detail.insertCell(), { colSpan: 7 });
    detail.charts = JSON.parse(main.dataset.charts).map((chart) => new Chart(chart, cell, () => {}));
  }
  const [since, until] = [now() - 60 * MINUTE, now()];
  const text = await load(`api/servers/${detail.dataset.server}/history?since=${iso(since)}&every=1m`);
  if (text !== null) draw(detail.charts, JSON.parse(text), [], [since, until], MINUTE);
}

// The charts of a server

const RANGES = { "1h": 60, "6h": 360, "24h": 1440, "7d": 10_080, "30d": 43_200, "1y": 525_600 };
const DEFAULT_RANGE = "24h";
/** Lengths of buckets, in minutes. */
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 240, 720, 1440];
const POINTS = 400;
const [LEFT, RIGHT, TOP, END, HEIGHT] = [46, 8, 8, 130, 150];

const iso = (time) => new Date(time).toISOString();

function startServer() {
  const place = byId("charts");
  let charts = [];
  let drawn = "";
  let newest = 0;
  let lastRange = DEFAULT_RANGE;
  let lastDraw = 0;
  let redraw = () => {};

  /** What the address names: #24h, or #<from>-<to> in milliseconds. */
  function shownTime() {
    const name = location.hash.slice(1);
    const [since, until] = name.split("-").map(Number);
    if (until > since) return { since, until, name: null };
    lastRange = name in RANGES ? name : DEFAULT_RANGE;
    return { since: now() - RANGES[lastRange] * MINUTE, until: now(), name: lastRange };
  }
  function zoom(period) {
    if (period) location.hash = `${Math.round(period[0])}-${Math.round(period[1])}`;
    else if (shownTime().name === null) location.hash = lastRange;
  }
  /** Asks for all that the page shows, with its charts or without. */
  async function refresh(hasCharts) {
    const number = ++newest;
    const { since, until, name } = shownTime();
    const minutes = (until - since) / MINUTE;
    const step = (STEPS.find((step) => minutes / step <= POINTS) ?? 1440) * MINUTE;
    const to = name === null ? `&until=${iso(until)}` : "";
    const query = hasCharts ? `?since=${iso(since)}${to}&every=${step / MINUTE}m` : "";
    if (hasCharts) lastDraw = clock();
    const text = await load(`../fleet/${main.dataset.server}${query}`);
    if (text === null || number !== newest) return;
    const { html, history: buckets, events } = JSON.parse(text);
    show(html);
    if (drawn !== place.dataset.charts) {
      drawn = place.dataset.charts;
      place.replaceChildren();
      charts = JSON.parse(drawn).map((chart) => new Chart(chart, place, zoom));
    }
    if (buckets) {
      const registered = Date.parse(place.dataset.registered);
      redraw = () => draw(charts, buckets, events, [since, until], step, registered);
      const [from, end] = [since, until].map((time) => new Date(time).toLocaleString([], { ...SHORT, dateStyle: "medium" }));
      const period = `${from} to ${end} ${zones(since, until)}`;
      byId("shown").textContent = buckets.length ? `${period}, ${step < 1440 * MINUTE ? `${step / MINUTE} min` : "1 day"} per point` : `No readings from ${period}`;
    }
    redraw();
  }
  function change() {
    const { name } = shownTime();
    for (const link of all("a.range")) link.ariaCurrent = link.hash === `#${name}` ? "true" : null;
    refresh(true);
  }
  addEventListener("hashchange", change);
  addEventListener("resize", () => redraw());
  // A chart reads more than the rest.
  const isDue = () => shownTime().name !== null && clock() - lastDraw > 29_000;
  repeat(Number(main.dataset.refresh), () => refresh(isDue()));
  change();
}

/** The zone of a period, or two if the clocks change in it. */
const zones = (since, until) => [...new Set([zone(since), zone(until)])].join("/");

function draw(charts, buckets, events, [since, until], step, registered = 0) {
  for (const bucket of buckets) {
    bucket.at = Date.parse(bucket.time);
    for (const mount in bucket.disks) bucket[`disk_percent:${mount}`] = bucket.disks[mount];
  }
  const known = buckets.map((bucket) => bucket.at);
  const steps = known.slice(1).map((at, index) => at - known[index]).sort((a, b) => a - b);
  const usual = steps[Math.floor(steps.length / 2)] ?? step;
  // A bucket without heartbeats is an absence; one that a heartbeat has just missed is none.
  const gap = Math.max(2 * step, 3 * usual, 3 * MINUTE);
  // What was forgotten and came back has older rows.
  const start = registered > since ? Math.min(registered, known[0] ?? registered, until) : since;
  const spans = start > since ? [{ from: since, to: start, kind: "unregistered", label: "not registered yet" }] : [];
  const bounds = [start - step, ...known, until];
  bounds.slice(1).forEach((to, index) => {
    const from = bounds[index];
    if (to - from > gap) spans.push({ from: from + step, to, kind: "absent", label: "absent" });
  });
  // The uptime starts anew.
  const restarts = buckets.filter((bucket, index) =>
    bucket.uptime_seconds?.min < buckets[index - 1]?.uptime_seconds?.max);
  const marks = restarts.map(({ at }) => ({ at, label: "restart", kind: "restart" }));
  marks.push(...events.map(({ time, words, kind }) => ({ at: Date.parse(time), label: words, kind })));
  for (const chart of charts) chart.draw(buckets, [since, until], spans, marks, gap, step);
}

function svg(name, attributes = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  element.textContent = text;
  return set(element, attributes);
}

function set(element, attributes) {
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** A value in a few characters and its unit: 3.2 kB/s, 24 d. */
function format(exact, unit) {
  // Rounding never takes it to 100.
  const crosses = exact < 100 && Number(exact.toPrecision(3)) >= 100;
  const value = crosses ? Math.trunc(exact * 10) / 10 : Number(exact.toPrecision(3));
  const isBytes = unit[0] === "B";
  const sizes = isBytes ? [..."EPTGMk"].map((symbol, index) => [1000 ** (6 - index), symbol]) : unit === "s" ? [[86_400, "d"], [3600, "h"]] : [];
  const [size, symbol] = sizes.find(([size]) => value >= size) ?? [1, ""];
  const scaled = value / size;
  const options = { maximumSignificantDigits: 3, notation: scaled >= 10_000 ? "compact" : "standard" };
  const number = scaled >= 1e15 ? scaled.toExponential(1) : scaled.toLocaleString([], options);
  return `${number} ${symbol}${unit === "s" && symbol ? "" : unit}`.trim();
}

let charted = 0;

class Chart {
  constructor(chart, place, zoom) {
    Object.assign(this, { chart, zoom });
    const [figure, caption] = ["figure", "figcaption"].map(element);
    const title = element("span", { id: `label-${++charted}`, textContent: chart.unit ? `${chart.label}, ${chart.unit}` : chart.label });
    // Only who moves the pointer with the keyboard listens.
    this.output = element("output", { ariaLive: "off" });
    caption.append(title, this.output);
    this.svg = svg("svg", { class: "chart", role: "img", tabindex: 0, "aria-labelledby": title.id, "data-metric": chart.series[0].name });
    figure.append(caption, this.svg);
    if (chart.series.length > 1) {
      const legend = element("p", { className: "legend" });
      legend.append(...chart.series.map(({ label }, index) => element("span", { className: `line-${index}`, textContent: label })));
      figure.append(legend);
    }
    if (chart.words) figure.append(element("p", { textContent: chart.words }));
    place.append(figure);
    this.listen();
  }

  draw(buckets, period, spans, marks, gap, step) {
    this.period = period;
    this.step = step;
    this.width = this.svg.clientWidth;
    // Of a counter, a day has the mean only.
    const point = (at, { mean, min = mean, max = mean }) => ({ at: at + step / 2, min, mean, max });
    this.lines = this.chart.series.map(({ name }) =>
      buckets.filter((bucket) => name in bucket).map((bucket) => point(bucket.at, bucket[name])));
    const points = this.lines.flat();
    // The pointer moves over the times that any line has.
    this.times = [...new Set(points.map(({ at }) => at))].sort((a, b) => a - b);
    const limits = this.chart.series.flatMap(({ limit }) => limit ?? []);
    this.top = this.chart.isPercent ? 100 : roundUp(Math.max(0, ...limits, ...points.map(({ max }) => max)));
    const lowest = Math.min(0, ...points.map(({ min }) => min));
    this.bottom = lowest < 0 ? -roundUp(-lowest) : 0;
    const elements = [svg("title", {}, this.summary())];
    const level = (kind, y) => elements.push(svg("line", { class: kind, x1: LEFT, x2: this.width - RIGHT, y1: y, y2: y }));
    const titled = (shape, words) => elements.push(shape) && shape.append(svg("title", {}, words));
    for (const { from, to, kind, label } of spans) {
      const [x, end] = [this.x(Math.max(from, period[0])), this.x(Math.min(to, period[1]))];
      const area = svg("rect", { class: kind, x, y: TOP, width: Math.max(end - x, 1), height: END - TOP });
      titled(area, label);
      if (end - x > 110 && kind !== "absent") elements.push(svg("text", { class: "label", x: (x + end) / 2, y: 45 }, label));
    }
    for (const part of [0, 0.5, 1]) {
      const value = this.bottom + part * (this.top - this.bottom);
      const y = this.y(value);
      level("grid", y);
      elements.push(svg("text", { x: LEFT - 4, y: y + 4, "text-anchor": "end" }, format(value, this.chart.unit.replace(/%|MB|GB|\/s/, ""))));
    }
    const axis = zones(...period);
    elements.push(svg("text", { x: 0, y: HEIGHT - 5 }, axis));
    for (const { at, label } of ticks(period)) {
      // The zone stands there.
      if (this.x(at) - 3.5 * label.length < 7 * axis.length) continue;
      elements.push(svg("text", { x: this.x(at), y: HEIGHT - 5, "text-anchor": "middle" }, label));
    }
    for (const [index, points] of this.lines.entries()) {
      for (const part of this.parts(points, gap)) {
        const line = (key) => part.map((point) => `${this.x(point.at).toFixed(1)},${this.y(point[key]).toFixed(1)}`);
        if (part.length === 1) {
          elements.push(svg("circle", { class: `dot line-${index}`, cx: this.x(part[0].at), cy: this.y(part[0].mean), r: 2 }));
          continue;
        }
        elements.push(svg("polygon", { class: `band line-${index}`, points: [...line("max"), ...line("min").reverse()].join(" ") }));
        elements.push(svg("polyline", { class: `mean line-${index}`, points: line("mean").join(" ") }));
      }
    }
    for (const limit of limits) level("limit", this.y(limit));
    for (const { at, label, kind } of marks) {
      const mark = svg("line", { class: `mark ${kind}`, x1: this.x(at), x2: this.x(at), y1: TOP, y2: END });
      titled(mark, `${label}, ${withZone(at, SHORT)}`);
    }
    this.cursor = svg("line", { class: "cursor", y1: TOP, y2: END, visibility: "hidden" });
    this.selection = svg("rect", { class: "selection", y: TOP, height: END - TOP, width: 0 });
    this.svg.replaceChildren(...elements, this.selection, this.cursor);
    if (this.pointed === undefined) this.output.textContent = this.summary();
    else this.point(this.pointed);
  }

  /** Runs of points without an absence in between. */
  parts(points, gap) {
    const parts = [];
    for (const [index, point] of points.entries()) {
      if (index === 0 || point.at - points[index - 1].at > gap) parts.push([]);
      parts.at(-1).push(point);
    }
    return parts;
  }

  summary() {
    const points = this.lines.flat();
    if (!points.length) return "no values";
    const least = Math.min(...points.map(({ min }) => min));
    const greatest = Math.max(...points.map(({ max }) => max));
    const [low, high] = [least, greatest].map((value) => format(value, this.chart.unit));
    return low === high ? low : `${low} to ${high}`;
  }

  x(time) {
    const [since, until] = this.period;
    return LEFT + ((time - since) / (until - since)) * (this.width - LEFT - RIGHT);
  }
  y(value) {
    const share = (Math.min(value, this.top) - this.bottom) / (this.top - this.bottom);
    return END - share * (END - TOP);
  }
  time(event) {
    const x = event.clientX - this.svg.getBoundingClientRect().left;
    const share = Math.min(Math.max((x - LEFT) / (this.width - LEFT - RIGHT), 0), 1);
    return this.period[0] + share * (this.period[1] - this.period[0]);
  }

  listen() {
    const on = (name, handle) => this.svg.addEventListener(name, (event) => this.period && handle(event));
    let start = null;
    on("pointerdown", (event) => {
      if (event.button) return;
      start = this.time(event);
      this.svg.setPointerCapture(event.pointerId);
    });
    on("pointermove", (event) => {
      this.point(this.time(event));
      if (start !== null) this.select(start, this.time(event));
    });
    const finish = (end) => {
      const span = [start, end].sort((a, b) => a - b);
      const least = Math.max((this.period[1] - this.period[0]) / 100, 2 * MINUTE);
      if (start !== null && span[1] - span[0] >= least) this.zoom(span);
      this.select(0, 0);
      start = null;
    };
    on("pointerup", (event) => finish(this.time(event)));
    on("pointercancel", () => { start = null; this.select(0, 0); });
    on("pointerleave", () => this.leave());
    on("dblclick", () => this.zoom(null));
    on("focus", () => { this.output.ariaLive = "polite"; });
    on("blur", () => { start = null; this.output.ariaLive = "off"; this.leave(); });
    on("keydown", (event) => {
      const moves = { ArrowLeft: -1, ArrowRight: 1 };
      if (event.key in moves && this.times.length > 0) {
        const last = this.times.length - 1;
        const index = Math.min(Math.max((this.index ?? last + 1) + moves[event.key], 0), last);
        if (event.shiftKey && start === null) start = this.times[this.index ?? index];
        this.point(this.times[index]);
        if (start !== null) this.select(start, this.times[index]);
      } else if (event.key === "Enter" && start !== null) {
        finish(this.times[this.index]);
      } else if (event.key === "Escape") {
        start = null;
        this.zoom(null);
      } else return;
      event.preventDefault();
    });
  }

  point(time) {
    if (!this.times.length) return;
    this.pointed = time;
    this.index = this.times.reduce((best, at, index) => (Math.abs(at - time) < Math.abs(this.times[best] - time) ? index : best), 0);
    const at = this.times[this.index];
    set(this.cursor, { x1: this.x(at), x2: this.x(at), visibility: "visible" });
    const values = this.lines.flatMap((points, index) => {
      const point = points.find((point) => point.at === at);
      if (!point) return [];
      const [low, middle, high] = [point.min, point.mean, point.max].map((value) => format(value, this.chart.unit));
      if (this.lines.length > 1) return `${this.chart.series[index].label} ${middle}`;
      return low === high ? middle : `${middle} (${low} to ${high})`;
    });
    this.output.textContent = `${withZone(at - this.step / 2, SHORT)}: ${values.join(", ")}`;
  }
  leave() {
    this.index = this.pointed = undefined;
    if (!this.lines) return;
    set(this.cursor, { visibility: "hidden" });
    this.select(0, 0);
    this.output.textContent = this.summary();
  }
  select(from, to) {
    const [x, end] = [this.x(from), this.x(to)].sort((a, b) => a - b);
    set(this.selection, { x, width: end - x });
  }
}

/** The next number of the form 1, 2, 2.5 or 5 times a power of ten. */
function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 2.5, 5].find((step) => value <= step * power * 1.000001) ?? 10) * power;
}

/** Times for the horizontal axis, in the browser's zone: round in hours, at midnight in days. */
function ticks([since, until]) {
  const hours = (until - since) / 3_600_000;
  const every = [1 / 12, 1 / 6, 0.5, 1, 3, 6, 24, 48, 168].find((step) => hours / step <= 7) ?? 720;
  const labels = every >= 24 ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit" };
  const result = [];
  const time = new Date(new Date(since).setHours(0, 0, 0, 0));
  const day = Math.max(Math.round(every / 24), 1);
  for (; time <= until; time.setDate(time.getDate() + day), time.setHours(0, 0, 0, 0)) {
    const next = new Date(time).setDate(time.getDate() + day);
    for (let at = +time; at < next && at <= until; at += every >= 24 ? Infinity : every * 3_600_000) {
      if (at >= since) result.push({ at, label: new Date(at).toLocaleString([], labels) });
    }
  }
  // The hour that the clocks repeat.
  const twice = result.filter(({ label }) => result.filter((tick) => tick.label === label).length > 1);
  for (const tick of twice) tick.label += ` ${zone(tick.at)}`;
  return result;
}

if (main) {
  document.documentElement.classList.add("script");
  noteTime();
  main.id === "fleet" ? startFleet() : startServer();
}
