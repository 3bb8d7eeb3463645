// The page: refreshes the fleet, searches it, and draws a server's charts.
"use strict";

const byId = (id) => document.getElementById(id);

/** Fetches all of these, and says above the page if that fails. Returns null then. */
async function load(...paths) {
  const stale = byId("stale");
  try {
    const texts = await Promise.all(paths.map(fetchText));
    stale.hidden = true;
    return texts;
  } catch (error) {
    stale.textContent = `Not refreshed at ${new Date().toLocaleTimeString()}: ${error.message}. It is tried again.`;
    stale.hidden = false;
    return null;
  }
}

async function fetchText(path) {
  const response = await fetch(path);
  const text = await response.text();
  if (!response.ok) throw new Error(text.slice(0, 300));
  return text;
}

/** Calls a function at an interval while the page is visible. */
function repeat(seconds, refresh) {
  let last = Date.now();
  const run = () => {
    if (document.hidden || Date.now() - last < seconds * 1000) return;
    last = Date.now();
    refresh();
  };
  setInterval(run, 1000);
  document.addEventListener("visibilitychange", run);
}

// The fleet

function startFleet(fleet) {
  const search = byId("search");
  const address = (path) => {
    const fields = [...new FormData(search.form)].filter(([, value]) => value);
    return fields.length ? `${path}?${new URLSearchParams(fields)}` : path;
  };
  /** Hides what does not match until the server has answered. */
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/);
    for (const row of fleet.querySelectorAll("tbody tr")) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  };
  let newest = 0;
  const refresh = async () => {
    const number = ++newest;
    const loaded = await load(address("fleet"));
    // A slow answer does not replace a newer one.
    if (loaded === null || number !== newest) return;
    const focused = document.activeElement?.getAttribute("href");
    // Escaped by the server.
    fleet.innerHTML = loaded[0];
    filter();
    document.title = fleet.querySelector("[data-page-title]").dataset.pageTitle;
    if (focused) fleet.querySelector(`tbody a[href="${CSS.escape(focused)}"]`)?.focus();
  };
  let pause;
  search.addEventListener("input", () => {
    filter();
    history.replaceState(null, "", address("./"));
    clearTimeout(pause);
    pause = setTimeout(refresh, 300);
  });
  search.form.addEventListener("submit", (event) => {
    event.preventDefault();
    refresh();
  });
  filter();
  repeat(Number(fleet.dataset.refresh), refresh);
}

// The charts of a server

const MINUTE = 60_000;
const RANGES = { "1h": 60, "6h": 360, "24h": 1440, "7d": 10_080, "30d": 43_200, "1y": 525_600 };
/** Lengths of buckets, in minutes. */
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 240, 720, 1440];
const POINTS = 400;
const [HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [150, 46, 8, 8, 20];

function startCharts(place) {
  const charts = JSON.parse(place.dataset.charts).map((chart) => new Chart(chart, place, zoom));
  // By the server's clock: this machine's may be wrong.
  const ahead = Date.parse(place.dataset.now) - Date.now();
  const now = () => (Math.abs(ahead) > MINUTE ? Date.now() + ahead : Date.now());
  let newest = 0;
  let redraw = () => {};

  /** The time that the address names: #24h, or #<from>-<to> in milliseconds. */
  function shownTime() {
    const name = location.hash.slice(1);
    const [since, until] = name.split("-").map(Number);
    if (until > since) return { since, until, name: null };
    const range = name in RANGES ? name : "24h";
    return { since: now() - RANGES[range] * MINUTE, until: now(), name: range };
  }
  function zoom(period) {
    if (period) location.hash = `${Math.round(period[0])}-${Math.round(period[1])}`;
    else if (shownTime().name === null) history.back();
  }
  async function draw() {
    const number = ++newest;
    const { since, until, name } = shownTime();
    for (const link of document.querySelectorAll("a.range")) {
      if (link.hash === `#${name}`) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    const minutes = (until - since) / MINUTE;
    const step = (STEPS.find((step) => minutes / step <= POINTS) ?? 1440) * MINUTE;
    const iso = (time) => encodeURIComponent(new Date(time).toISOString());
    const to = name === null ? `&until=${iso(until)}` : "";
    const server = place.dataset.server;
    const period = `since=${iso(since)}${to}`;
    const loaded = await load(
      `../api/servers/${server}/history?${period}&every=${step / MINUTE}m`,
      `../api/events?${period}&server=${server}`,
    );
    // A slow answer does not replace a newer one.
    if (loaded === null || number !== newest) return;
    const [buckets, events] = loaded.map((text) => JSON.parse(text));
    for (const bucket of buckets) {
      bucket.at = Date.parse(bucket.time);
      for (const [mount, disk] of Object.entries(bucket.disks ?? {})) bucket[`disk_percent:${mount}`] = disk;
    }
    const steps = buckets.slice(1).map((bucket, index) => bucket.at - buckets[index].at).sort((a, b) => a - b);
    const usual = steps[Math.floor(steps.length / 2)] ?? step;
    // A bucket without heartbeats is an absence; one that a heartbeat has just missed is none.
    const gap = Math.max(2 * step, 3 * usual, 3 * MINUTE);
    const known = buckets.map((bucket) => bucket.at);
    const bounds = [since - step, ...known, until];
    const absences = [];
    for (let index = 1; index < bounds.length; index++) {
      if (bounds[index] - bounds[index - 1] > gap) absences.push([bounds[index - 1] + step, bounds[index]]);
    }
    // The uptime starts anew.
    const restarts = buckets.filter((bucket, index) =>
      buckets[index - 1]?.uptime_seconds && bucket.uptime_seconds?.min < buckets[index - 1].uptime_seconds.max);
    const marks = restarts.map((bucket) => ({ at: bucket.at, label: "restart", kind: "restart" }));
    marks.push(...events.map(({ time, words, kind }) => ({ at: Date.parse(time), label: words, kind })));
    redraw = () => charts.forEach((chart) => chart.draw(buckets, [since, until], absences, marks, gap, step));
    redraw();
    const day = { dateStyle: "medium", timeStyle: "short" };
    const [from, end] = [since, until].map((time) => new Date(time).toLocaleString([], day));
    byId("shown").textContent = buckets.length > 0
      ? `${from} to ${end}, ${step / MINUTE} min per point`
      : `No readings from ${from} to ${end}`;
  }
  addEventListener("hashchange", draw);
  addEventListener("resize", () => redraw());
  repeat(Math.max(30, Number(place.dataset.refresh)), () => shownTime().name !== null && draw());
  draw();
}

/** Creates an SVG element with attributes. */
function svg(name, attributes = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

/** A value in a few characters and its unit: 3.2 kB/s, 24 d. */
function format(exact, unit) {
  // Rounding never takes it to 100.
  const crosses = exact < 100 && Number(exact.toPrecision(3)) >= 100;
  const value = crosses ? Math.trunc(exact * 10) / 10 : Number(exact.toPrecision(3));
  const isBytes = unit === "B" || unit === "B/s";
  const sizes = isBytes ? [[1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]] : unit === "s" ? [[86_400, "d"], [3600, "h"]] : [];
  const [size, symbol] = sizes.find(([size]) => value >= size) ?? [1, ""];
  const scaled = value / size;
  const options = { maximumSignificantDigits: 3, notation: scaled >= 10_000 ? "compact" : "standard" };
  const number = scaled >= 1e15 ? scaled.toExponential(1) : scaled.toLocaleString([], options);
  return `${number} ${symbol}${unit === "s" && symbol ? "" : unit}`.trim();
}

class Chart {
  constructor(chart, place, zoom) {
    this.chart = chart;
    this.zoom = zoom;
    const name = chart.series[0].name;
    const element = (kind, text = "", classes = "") => Object.assign(document.createElement(kind), { textContent: text, className: classes });
    const figure = element("figure");
    const caption = element("figcaption");
    const title = element("span", chart.unit ? `${chart.label}, ${chart.unit}` : chart.label);
    title.id = `label-${name}`;
    this.output = element("output");
    caption.append(title, this.output);
    this.svg = svg("svg", { class: "chart", role: "img", tabindex: 0, "aria-labelledby": title.id, "data-metric": name });
    figure.append(caption, this.svg);
    if (chart.series.length > 1) {
      const legend = element("p", "", "legend");
      legend.append(...chart.series.map((series, index) => element("span", series.label, `line-${index}`)));
      figure.append(legend);
    }
    if (chart.words) figure.append(element("p", chart.words, "words"));
    place.append(figure);
    this.listen();
  }

  draw(buckets, period, absences, marks, gap, step) {
    this.period = period;
    this.step = step;
    this.width = this.svg.clientWidth;
    this.lines = this.chart.series.map(({ name }) =>
      buckets.filter((bucket) => name in bucket).map((bucket) => {
        // Of a counter, a day has the mean only.
        const { mean, min = mean, max = mean } = bucket[name];
        return { at: bucket.at + step / 2, min, mean, max };
      }));
    // The pointer moves over the times that any line has.
    this.times = [...new Set(this.lines.flat().map((point) => point.at))].sort((a, b) => a - b);
    const limits = this.chart.series.map((series) => series.limit).filter((limit) => limit !== null);
    const highest = Math.max(0, ...limits, ...this.lines.flat().map((point) => point.max));
    this.top = this.chart.isPercent ? 100 : roundUp(highest);
    const lowest = Math.min(0, ...this.lines.flat().map((point) => point.min));
    this.bottom = lowest < 0 ? -roundUp(-lowest) : 0;
    const elements = [svg("title", {}, this.summary())];
    for (const [from, to] of absences) {
      const [x, end] = [this.x(Math.max(from, period[0])), this.x(Math.min(to, period[1]))];
      elements.push(svg("rect", { class: "absent", x, y: TOP, width: Math.max(end - x, 1), height: HEIGHT - TOP - BOTTOM }));
    }
    for (const part of [0, 0.5, 1]) {
      const value = this.bottom + part * (this.top - this.bottom);
      const y = this.y(value);
      elements.push(svg("line", { class: "grid", x1: LEFT, x2: this.width - RIGHT, y1: y, y2: y }));
      elements.push(svg("text", { x: LEFT - 4, y: y + 4, "text-anchor": "end" }, format(value, this.chart.unit.replace(/%|MB|GB|\/s/, ""))));
    }
    for (const { at, label } of ticks(period)) {
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
    for (const limit of limits) {
      const y = this.y(limit);
      elements.push(svg("line", { class: "limit", x1: LEFT, x2: this.width - RIGHT, y1: y, y2: y }));
    }
    for (const { at, label, kind } of marks) {
      const mark = svg("line", { class: `mark ${kind}`, x1: this.x(at), x2: this.x(at), y1: TOP, y2: HEIGHT - BOTTOM });
      mark.append(svg("title", {}, `${label}, ${new Date(at).toLocaleString([], { dateStyle: "short", timeStyle: "short" })}`));
      elements.push(mark);
    }
    this.cursor = svg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
    this.selection = svg("rect", { class: "selection", y: TOP, height: HEIGHT - TOP - BOTTOM, width: 0 });
    this.svg.replaceChildren(...elements, this.selection, this.cursor);
    this.output.textContent = this.summary();
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
    if (points.length === 0) return "no values";
    const min = Math.min(...points.map((point) => point.min));
    const max = Math.max(...points.map((point) => point.max));
    const [low, high] = [min, max].map((value) => format(value, this.chart.unit));
    return low === high ? low : `${low} to ${high}`;
  }

  x(time) {
    const [since, until] = this.period;
    return LEFT + ((time - since) / (until - since)) * (this.width - LEFT - RIGHT);
  }
  y(value) {
    const share = (Math.min(value, this.top) - this.bottom) / (this.top - this.bottom);
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
  }
  time(event) {
    const box = this.svg.getBoundingClientRect();
    const x = event.clientX - box.left;
    const share = Math.min(Math.max((x - LEFT) / (this.width - LEFT - RIGHT), 0), 1);
    return this.period[0] + share * (this.period[1] - this.period[0]);
  }

  listen() {
    const on = (name, handle) => this.svg.addEventListener(name, (event) => this.period && handle(event));
    let start = null;
    on("pointerdown", (event) => {
      if (event.button !== 0) return;
      start = this.time(event);
      this.svg.setPointerCapture(event.pointerId);
    });
    on("pointermove", (event) => {
      this.point(this.time(event));
      if (start !== null) this.select(start, this.time(event));
    });
    on("pointerup", (event) => {
      const from = start;
      start = null;
      if (from !== null) this.take(from, this.time(event));
    });
    on("pointercancel", () => { start = null; this.select(0, 0); });
    on("pointerleave", () => this.leave());
    on("dblclick", () => this.zoom(null));
    on("blur", () => { start = null; this.leave(); });
    on("keydown", (event) => {
      const moves = { ArrowLeft: -1, ArrowRight: 1 };
      if (event.key in moves && this.times.length > 0) {
        const last = this.times.length - 1;
        const index = Math.min(Math.max((this.index ?? last + 1) + moves[event.key], 0), last);
        if (event.shiftKey && start === null) start = this.times[this.index ?? index];
        this.point(this.times[index]);
        if (start !== null) this.select(start, this.times[index]);
      } else if (event.key === "Enter" && start !== null) {
        const from = start;
        start = null;
        this.take(from, this.times[this.index]);
      } else if (event.key === "Escape") {
        start = null;
        this.zoom(null);
      } else return;
      event.preventDefault();
    });
  }

  /** Shows the values nearest to a time. */
  point(time) {
    if (this.times.length === 0) return;
    this.index = this.times.reduce((best, at, index) => (Math.abs(at - time) < Math.abs(this.times[best] - time) ? index : best), 0);
    const at = this.times[this.index];
    for (const end of ["x1", "x2"]) this.cursor.setAttribute(end, this.x(at));
    this.cursor.setAttribute("visibility", "visible");
    const values = this.lines.map((points, index) => {
      const point = points.find((point) => point.at === at);
      if (!point) return null;
      const [low, middle, high] = [point.min, point.mean, point.max].map((value) => format(value, this.chart.unit));
      if (this.lines.length > 1) return `${this.chart.series[index].label} ${middle}`;
      return low === high ? middle : `${middle} (${low} to ${high})`;
    });
    const shown = values.filter((value) => value !== null).join(", ");
    this.output.textContent = `${new Date(at - this.step / 2).toLocaleString([], { dateStyle: "short", timeStyle: "short" })}: ${shown}`;
  }
  leave() {
    this.index = undefined;
    this.cursor?.setAttribute("visibility", "hidden");
    this.select(0, 0);
    if (this.lines) this.output.textContent = this.summary();
  }
  select(from, to) {
    const [x, end] = [this.x(Math.min(from, to)), this.x(Math.max(from, to))];
    this.selection?.setAttribute("x", from === to ? 0 : x);
    this.selection?.setAttribute("width", from === to ? 0 : end - x);
  }
  /** Zooms into a selection that is worth it. */
  take(from, to) {
    this.select(0, 0);
    const least = Math.max((this.period[1] - this.period[0]) / 100, 2 * MINUTE);
    if (Math.abs(to - from) >= least) this.zoom([Math.min(from, to), Math.max(from, to)]);
  }
}

/** The next number of the form 1, 2, 2.5 or 5 times a power of ten. */
function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 2.5, 5].find((step) => value <= step * power * 1.000001) ?? 10) * power;
}

/** Times for the horizontal axis, in the browser's time zone: round in hours, and at midnight in days. */
function ticks([since, until]) {
  const hours = (until - since) / 3_600_000;
  const every = [1 / 12, 1 / 6, 0.5, 1, 3, 6, 24, 48, 168].find((step) => hours / step <= 7) ?? 720;
  const labels = every >= 24 ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit" };
  const result = [];
  const time = new Date(since);
  time.setHours(0, 0, 0, 0);
  const day = Math.max(Math.round(every / 24), 1);
  for (; time <= until; time.setDate(time.getDate() + day), time.setHours(0, 0, 0, 0)) {
    const next = new Date(time);
    next.setDate(next.getDate() + day);
    for (let at = +time; at < +next && at <= until; at += every >= 24 ? Infinity : every * 3_600_000) {
      if (at >= since) result.push({ at, label: new Date(at).toLocaleString([], labels) });
    }
  }
  return result;
}

const fleet = byId("fleet");
if (fleet) startFleet(fleet);
const charts = byId("charts");
if (charts) startCharts(charts);
