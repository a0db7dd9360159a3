// The explorer: three linked views of one model. MODELS holds, by name, a model's declarations and its functions of flat
// arrays as Python made them; nothing here knows an equation.

const WINDOW = 40; // of the course in time, in units of the membrane time constant
const CAPACITY = 3000;
const GRID = [49, 41];
const $ = (id) => document.getElementById(id);
const sum = (a, from, to) => { let s = 0; for (let i = from; i < to; i++) s += a[i]; return s; };
const short = (x) => (x === 0 ? "0" : Math.abs(x) >= 1e4 || Math.abs(x) < 1e-3 ? x.toExponential(2) : String(+x.toPrecision(4)));
const minus = (text) => text.replace(/-/g, "−");

// ---------------------------------------------------------------- the run

class Run {
  constructor(key) {
    const model = MODELS[key];
    Object.assign(this, { key, model, data: model.data, p: model.data.parameters.map((each) => each.value) });
    this.count = this.data.y0.length;
    this.nodes = Math.max(1, this.data.nodes.length);
    this.planned = Infinity; this.input = 0; this.noise = 0.1; this.noisy = false; this.kick = 2; this.node = -1;
    this.pulse = { amplitude: this.data.rate ? 3 : 1, duration: (this.data.rate ? 10 : 20) * this.data.time };
    this.y0 = Float64Array.from(this.data.y0);
    this.half = new Float64Array(this.count);
    this.M = new Float64Array(5 * this.nodes); this.middle = new Float64Array(5 * this.nodes); this.after = new Float64Array(5 * this.nodes);
    this.reset();
  }
  reset() {
    this.t = 0; this.until = -1; this.y = Float64Array.from(this.y0); this.failed = false;
    this.heat = 0; this.work = 0; this.given = 0; this.I = this.inputs(false);
    this.stored = 0; this.channels = Array.from({ length: 1 + this.count + this.nodes + 5 }, () => new Float64Array(CAPACITY));
    this.gap = Math.max(1, Math.round((WINDOW * this.data.time) / this.data.h / CAPACITY)); this.tick = 0;
    if (this.data.energy) { this.measure(this.M); this.E0 = this.energy(); }
    this.keep();
  }
  targets(k) { return this.node < 0 || this.node === k; }
  inputs(random) {
    // White noise √(2D) ξ(t/τ), constant within a step.
    const size = random && this.noisy ? Math.sqrt((2 * this.noise * this.data.time) / this.data.h) : 0;
    const each = (k) => this.input + (this.t < this.until && this.targets(k) ? this.pulse.amplitude : 0) + (size ? size * normal() : 0);
    return this.data.nodes.length ? Float64Array.from({ length: this.nodes }, (_, k) => each(k)) : each(0);
  }
  measure(out, y = this.y) { this.model.measure(this.p, y, this.I, out); }
  energy(M = this.M) { return sum(M, this.nodes, 3 * this.nodes); }
  // What changes the energy at a frozen state is work: an input, a parameter, a kick.
  changed(change) {
    if (!this.data.energy) return change();
    this.measure(this.M); const before = this.energy();
    change();
    this.measure(this.M); this.work += this.energy() - before;
  }
  step() {
    if (this.t >= this.planned) { this.planned = Infinity; this.until = this.t + this.pulse.duration; }
    const { h } = this.data, n = this.nodes, next = this.inputs(true);
    const same = typeof next === "number" ? next === this.I : next.every((each, k) => each === this.I[k]);
    if (!same) this.changed(() => { this.I = next; });
    this.model.step(this.p, this.y, this.I, h / 2, this.half);
    if (this.data.energy) this.measure(this.middle, this.half);
    this.model.step(this.p, this.half, this.I, h / 2, this.y);
    this.t += h;
    if (this.data.energy) {
      this.measure(this.after);
      const simpson = (from) => (h / 6) * (sum(this.M, from, from + n) + 4 * sum(this.middle, from, from + n) + sum(this.after, from, from + n));
      this.heat += simpson(3 * n); this.given += simpson(4 * n);
      [this.M, this.after] = [this.after, this.M];
    }
    if (++this.tick % this.gap === 0) this.keep();
  }
  advance(time) {
    for (let left = Math.min(2000, Math.round(time / this.data.h)); left > 0 && !this.failed; left--) {
      this.step();
      if (!this.y.every(Number.isFinite)) this.failed = true;
    }
  }
  keep() {
    const k = this.stored++ % CAPACITY, n = this.nodes, c = this.channels;
    c[0][k] = this.t;
    for (let i = 0; i < this.count; i++) c[1 + i][k] = this.y[i];
    for (let i = 0; i < n; i++) c[1 + this.count + i][k] = this.data.energy ? this.M[n + i] + this.M[2 * n + i] : 0;
    const last = 1 + this.count + n;
    c[last][k] = this.data.energy ? this.energy() : 0; c[last + 1][k] = this.heat; c[last + 2][k] = this.work + this.given;
    c[last + 3][k] = typeof this.I === "number" ? this.I : this.I[Math.max(0, this.node)];
  }
  // Numbers of the kept samples from time `since` on, in order.
  kept(since) {
    const found = [], times = this.channels[0];
    for (let j = this.stored - 1; j >= Math.max(0, this.stored - CAPACITY) && times[j % CAPACITY] >= since; j--) found.push(j % CAPACITY);
    return found.reverse();
  }
}

let spare = null;
function normal() { // Box and Muller
  if (spare !== null) { const x = spare; spare = null; return x; }
  const u = Math.sqrt(-2 * Math.log(1 - Math.random())), a = 2 * Math.PI * Math.random();
  spare = u * Math.sin(a); return u * Math.cos(a);
}

// ---------------------------------------------------------------- drawing

let colors = {};
function readColors() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["back", "ink", "faint", "line", "blue", "orange", "green", "violet", "sky"]) colors[name] = style.getPropertyValue("--" + name).trim();
}
const ofNode = (k) => [colors.blue, colors.orange, colors.green, colors.violet, colors.sky, colors.ink][k % 6];

function ticks(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw)), scaled = raw / power;
  const step = power * (scaled > 5 ? 10 : scaled > 2 ? 5 : scaled > 1 ? 2 : 1), found = [];
  for (let x = Math.ceil(low / step) * step; x <= high + 1e-9 * step; x += step) found.push(Math.abs(x) < 1e-9 * step ? 0 : x);
  return found;
}
function logTicks(low, high) {
  const found = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e++) for (const m of [1, 2, 5]) { const x = m * 10 ** e; if (x >= low && x <= high) found.push(x); }
  return found.length > 7 ? found.filter((x) => Math.abs(Math.log10(x) % 1) < 1e-9) : found;
}

// Ends of an axis on their way: out at once, so that nothing is cut off, and back slowly.
function eased(span, wanted) {
  if (!span || !span.every(Number.isFinite)) return wanted;
  const [low, high] = span;
  return [wanted[0] < low ? wanted[0] : low + 0.1 * (wanted[0] - low), wanted[1] > high ? wanted[1] : high + 0.1 * (wanted[1] - high)];
}

class Frame { // a canvas with axes
  constructor(canvas) { this.canvas = canvas; this.context = canvas.getContext("2d"); }
  begin() {
    const ratio = window.devicePixelRatio || 1, { clientWidth: w, clientHeight: h } = this.canvas;
    if (this.canvas.width !== Math.round(w * ratio) || this.canvas.height !== Math.round(h * ratio)) { this.canvas.width = Math.round(w * ratio); this.canvas.height = Math.round(h * ratio); }
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.clearRect(0, 0, w, h); this.context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
    this.size = [w, h]; return this.context;
  }
  axes(box, x, y, xLabel, yLabel, { log = false, xTicks = true } = {}) {
    const c = this.context, [left, top, right, bottom] = box;
    Object.assign(this, { box, x, y, log });
    c.strokeStyle = colors.line; c.fillStyle = colors.faint; c.lineWidth = 1; c.textAlign = "center"; c.textBaseline = "top";
    c.strokeRect(left, top, right - left, bottom - top);
    for (const each of log ? logTicks(...x) : ticks(...x, Math.max(3, (right - left) / 80))) {
      const at = this.toX(each); c.beginPath(); c.moveTo(at, bottom); c.lineTo(at, bottom + 4); c.stroke(); if (xTicks) c.fillText(minus(short(each)), at, bottom + 6);
    }
    c.textAlign = "right"; c.textBaseline = "middle";
    for (const each of ticks(...y, Math.max(2, (bottom - top) / 45))) {
      const at = this.toY(each); c.beginPath(); c.moveTo(left - 4, at); c.lineTo(left, at); c.stroke(); c.fillText(minus(short(each)), left - 6, at);
    }
    c.fillStyle = colors.ink; c.textAlign = "center";
    if (xTicks) { c.textBaseline = "bottom"; c.fillText(xLabel, (left + right) / 2, this.size[1] - 3); }
    c.save(); c.translate(9, (top + bottom) / 2); c.rotate(-Math.PI / 2); c.textBaseline = "middle"; c.fillText(yLabel, 0, 0); c.restore();
  }
  toX(v) { const [a, b] = this.x, [l, , r] = this.box; return l + ((r - l) * (this.log ? Math.log(v / a) / Math.log(b / a) : (v - a) / (b - a))); }
  toY(v) { const [a, b] = this.y, [, t, , m] = this.box; return m - ((m - t) * (v - a)) / (b - a); }
  fromX(px) { const [a, b] = this.x, [l, , r] = this.box; return a + ((b - a) * (px - l)) / (r - l); }
  fromY(py) { const [a, b] = this.y, [, t, , m] = this.box; return a + ((b - a) * (m - py)) / (m - t); }
  clipped(draw) { const c = this.context, [l, t, r, m] = this.box; c.save(); c.beginPath(); c.rect(l, t, r - l, m - t); c.clip(); draw(c); c.restore(); }
  line(points, color, width = 1.5, dash = []) {
    const c = this.context; c.strokeStyle = color; c.lineWidth = width; c.setLineDash(dash); c.beginPath();
    for (let i = 0; i < points.length; i += 2) if (i) c.lineTo(points[i], points[i + 1]); else c.moveTo(points[i], points[i + 1]);
    c.stroke(); c.setLineDash([]);
  }
  dot(x, y, radius, fill, edge) { const c = this.context; c.beginPath(); c.arc(x, y, radius, 0, 2 * Math.PI); c.fillStyle = fill; c.fill(); if (edge) { c.strokeStyle = edge; c.lineWidth = 1.5; c.stroke(); } }
  legend(entries, side = "right") {
    const c = this.context, [l, t, r] = this.box; c.textAlign = "left"; c.textBaseline = "middle";
    const width = Math.max(...entries.map(([text]) => c.measureText(text).width)) + 26, x = { right: r - width - 4, left: l + 4, outside: r + 4, middle: (l + r - width) / 2 }[side];
    c.globalAlpha = 0.8; c.fillStyle = colors.back; c.fillRect(x, t + 3, width, 16 * entries.length + 4); c.globalAlpha = 1;
    entries.forEach(([text, color, dash], k) => { const y = t + 13 + 16 * k; this.line([x + 4, y, x + 20, y], color, 2, dash || []); c.fillStyle = colors.ink; c.fillText(text, x + 24, y); });
  }
}

// Segments of the level set of `values` (columns × rows) by marching squares; calls draw(x0, y0, x1, y1) in grid units.
function contour(values, nx, ny, level, draw) {
  for (let j = 0; j < ny - 1; j++) for (let i = 0; i < nx - 1; i++) {
    const a = values[j * nx + i] - level, b = values[j * nx + i + 1] - level, d = values[(j + 1) * nx + i] - level, e = values[(j + 1) * nx + i + 1] - level;
    if (!(a * b < 0 || b * e < 0 || e * d < 0 || d * a < 0)) continue;
    const hits = [];
    if (a * b < 0) hits.push(i + a / (a - b), j);
    if (b * e < 0) hits.push(i + 1, j + b / (b - e));
    if (d * e < 0) hits.push(i + d / (d - e), j + 1);
    if (a * d < 0) hits.push(i, j + a / (a - d));
    if (hits.length >= 4) draw(hits[0], hits[1], hits[2], hits[3]);
    if (hits.length === 8) draw(hits[4], hits[5], hits[6], hits[7]);
  }
}

// ---------------------------------------------------------------- the views

class PotentialView {
  constructor() { this.frame = new Frame($("potential")); this.span = null; }
  draw(run, limits) {
    const { frame } = this, c = frame.begin(), n = run.nodes, [w, h] = frame.size, log = run.data.rate, [low, high] = limits.x;
    const size = Math.min(220, Math.max(80, Math.round(w / 3))), xs = new Float64Array(n), out = new Float64Array(n), array = run.data.nodes.length > 0;
    const at = (k) => (log ? low * (high / low) ** (k / (size - 1)) : low + ((high - low) * k) / (size - 1));
    const curves = (I) => {
      const V = Array.from({ length: n }, () => new Float64Array(size));
      for (let k = 0; k < size; k++) { xs.fill(at(k)); run.model.landscape(run.p, run.y, I, array ? xs : xs[0], out); for (let i = 0; i < n; i++) V[i][k] = out[i]; }
      return V;
    };
    const now = curves(run.I), flat = array ? new Float64Array(n) : 0, tilted = array ? run.I.some((each) => each !== 0) : run.I !== 0, rest = tilted ? curves(flat) : null;
    // From the lowest well to the highest energy of late, the barriers included.
    let bottom = Infinity, top = -Infinity; const marks = [];
    for (let i = 0; i < n; i++) {
      let wells = [], passes = [];
      for (let k = 1; k < size - 1; k++) { if (now[i][k] < now[i][k - 1] && now[i][k] <= now[i][k + 1]) wells.push(k); if (now[i][k] > now[i][k - 1] && now[i][k] >= now[i][k + 1]) passes.push(k); }
      const least = wells.length ? Math.min(...wells.map((k) => now[i][k])) : Math.min(...now[i]);
      bottom = Math.min(bottom, least); top = Math.max(top, ...passes.map((k) => now[i][k]), ...wells.map((k) => now[i][k]));
      marks.push([wells, passes]);
    }
    for (const k of run.kept(run.t - 12 * run.data.time)) for (let i = 0; i < n; i++) { const E = run.channels[1 + run.count + i][k]; if (E > top) top = E; if (E < bottom) bottom = E; }
    if (!(top > bottom)) top = bottom + 1;
    const wanted = [bottom - 0.1 * (top - bottom), top + 0.25 * (top - bottom)];
    this.span = eased(this.span, wanted);
    const unit = run.data.rate ? run.data.variables[0].unit : run.data.variables[0].unit;
    frame.axes([66, 10, w - 10, h - 38], [low, high], this.span, log ? `firing rate r (${unit === "1" ? "dimensionless" : unit})` : "position q", "energy (dimensionless)", { log });
    frame.clipped(() => {
      for (let i = 0; i < n; i++) {
        const points = (V) => { const list = []; for (let k = 0; k < size; k++) list.push(frame.toX(at(k)), frame.toY(V[k])); return list; };
        if (rest) frame.line(points(rest[i]), colors.faint, 1.2, [4, 4]);
        frame.line(points(now[i]), ofNode(i), 2);
        const [wells, passes] = marks[i];
        for (const pass of passes) for (const side of [-1, 1]) {
          const near = wells.filter((k) => (k - pass) * side > 0).sort((a, b) => Math.abs(a - pass) - Math.abs(b - pass))[0];
          if (near === undefined) continue;
          const x = frame.toX(at(near)), [y0, y1] = [frame.toY(now[i][near]), frame.toY(now[i][pass])], height = now[i][pass] - now[i][near];
          frame.line([x, y0, x, y1], colors.faint, 1); frame.line([x - 4, y1, x + 4, y1], colors.faint, 1);
          if (y0 - y1 > 14) { c.fillStyle = colors.ink; c.textAlign = "left"; c.textBaseline = "middle"; c.fillText(short(height), x + 5, (y0 + y1) / 2); }
        }
      }
      for (let i = 0; i < n; i++) {
        const x = run.M[i], V = run.M[2 * n + i], E = V + run.M[n + i];
        const [px, pv, pe] = [frame.toX(x), frame.toY(V), frame.toY(E)];
        frame.line([frame.box[0], pe, frame.box[2], pe], ofNode(i), 1, [2, 3]); frame.line([px, pv, px, pe], ofNode(i), 1);
        frame.dot(px, pv - 7, 7, ofNode(i), colors.back);
      }
    });
    const entries = [[n > 1 ? "potential of the moment" : "potential V", ofNode(0)], ["energy E", ofNode(0), [2, 3]]];
    if (n > 1) { entries.length = 0; for (let i = 0; i < n; i++) entries.push([`V of node ${run.data.nodes[i]}`, ofNode(i)]); }
    if (rest) entries.push(["without input", colors.faint, [4, 4]]);
    frame.legend(entries, "middle");
  }
}

class PlaneView {
  constructor() { this.frame = new Frame($("plane")); this.layer = null; this.job = null; this.signature = ""; }
  name(run, k) { const n = run.nodes, v = run.data.variables[Math.floor(k / n)]; return v.symbol + (run.data.nodes.length ? " of " + run.data.nodes[k % n] : "") + (v.unit === "1" ? "" : ` (${v.unit})`); }
  // What the picture behind the particle depends on; other variables coarsely, for they move all the time.
  state(run, limits) {
    const [a, b] = run.plane, others = [];
    for (let k = 0; k < run.count; k++) if (k !== a && k !== b) others.push(Math.round(run.y[k] / (0.02 * (limits.y[k][1] - limits.y[k][0]) || 1)));
    const I = run.noisy ? [run.input] : typeof run.I === "number" ? [run.I] : [...run.I];
    return JSON.stringify([run.key, run.p, I, run.plane, limits.y[a], limits.y[b], others, this.frame.size, document.documentElement.dataset.theme]);
  }
  *work(run, limits) { // computes the picture behind in slices
    const [a, b] = run.plane, [nx, ny] = GRID, X = limits.y[a], Y = limits.y[b], n = run.nodes, y = Float64Array.from(run.y), p = [...run.p];
    const I = typeof run.I === "number" ? run.I : Float64Array.from(run.I), f = new Float64Array(run.count), M = new Float64Array(5 * n);
    const one = n === 1 || (a % n === b % n), energetic = run.data.energy && one && Math.floor(a / n) === 0 && Math.floor(b / n) === 1, node = a % n;
    const fa = new Float64Array(nx * ny), fb = new Float64Array(nx * ny), E = energetic ? new Float64Array(nx * ny) : null;
    const least = (k) => (run.data.variables[Math.floor(k / n)].positive ? 1e-4 * (limits.y[k][1] - limits.y[k][0]) : -Infinity);
    // Rates are closer together near 0, where energy and field change fast.
    const places = (k, range, size) => Array.from({ length: size }, (_, i) => { const s = i / (size - 1); return Math.max(least(k), range[0] + (range[1] - range[0]) * (range[0] === 0 ? s * s : s)); });
    const xs = places(a, X, nx), ys = places(b, Y, ny);
    for (let j = 0; j < ny; j++) {
      for (let i = 0; i < nx; i++) {
        y[a] = xs[i]; y[b] = ys[j]; run.model.field(p, y, I, f); fa[j * nx + i] = f[a]; fb[j * nx + i] = f[b];
        if (E) { run.model.measure(p, y, I, M); E[j * nx + i] = M[n + node] + M[2 * n + node]; }
      }
      yield;
    }
    const planar = (u, v) => { y[a] = Math.max(u, least(a)); y[b] = Math.max(v, least(b)); run.model.field(p, y, I, f); return [f[a], f[b]]; };
    const points = [];
    for (let j = 0; j < ny - 1; j++) for (let i = 0; i < nx - 1; i++) {
      const at = [j * nx + i, j * nx + i + 1, (j + 1) * nx + i, (j + 1) * nx + i + 1];
      const mixed = (g) => { const s = at.map((k) => Math.sign(g[k])); return Math.min(...s) <= 0 && Math.max(...s) >= 0; };
      if (!mixed(fa) || !mixed(fb)) continue;
      let [u, v] = [(xs[i] + xs[i + 1]) / 2, (ys[j] + ys[j + 1]) / 2], J = null;
      for (let k = 0; k < 12; k++) {
        const [g, q] = planar(u, v), du = 1e-6 * (X[1] - X[0]), dv = 1e-6 * (Y[1] - Y[0]), [g1, q1] = planar(u + du, v), [g2, q2] = planar(u, v + dv);
        J = [(g1 - g) / du, (g2 - g) / dv, (q1 - q) / du, (q2 - q) / dv];
        const det = J[0] * J[3] - J[1] * J[2]; u -= (g * J[3] - q * J[1]) / det; v -= (q * J[0] - g * J[2]) / det;
      }
      const inside = u > X[0] && u < X[1] && v > Y[0] && v < Y[1];
      const known = points.some((o) => Math.abs(o.u - u) < 1e-3 * (X[1] - X[0]) && Math.abs(o.v - v) < 1e-3 * (Y[1] - Y[0]));
      if (inside && !known) points.push({ u, v, J, det: J[0] * J[3] - J[1] * J[2], trace: J[0] + J[3] });
    }
    yield;
    const paths = [];
    for (const { u, v, J, det, trace } of points) {
      if (det >= 0) continue;
      // Against time, out of the saddle along its stable direction.
      const slow = trace / 2 - Math.sqrt((trace * trace) / 4 - det), sx = X[1] - X[0], sy = Y[1] - Y[0];
      let d = Math.abs(J[1]) > 1e-12 ? [J[1], slow - J[0]] : [slow - J[3], J[2]]; const size = Math.hypot(d[0] / sx, d[1] / sy); d = d.map((each) => each / size);
      for (const side of [-1, 1]) {
        let z = [u + 2e-3 * side * d[0], v + 2e-3 * side * d[1]]; const path = [u, v, ...z], step = 6e-3;
        const flow = ([x, w]) => { const g = planar(x, w), speed = Math.hypot(g[0] / sx, g[1] / sy) || 1; return [-g[0] / speed, -g[1] / speed]; };
        for (let k = 0; k < 500; k++) {
          const k1 = flow(z), k2 = flow([z[0] + (step / 2) * k1[0], z[1] + (step / 2) * k1[1]]);
          z = [z[0] + step * k2[0], z[1] + step * k2[1]];
          if (z[0] < X[0] - 0.1 * sx || z[0] > X[1] + 0.1 * sx || z[1] < Y[0] - 0.1 * sy || z[1] > Y[1] + 0.1 * sy) { path.push(...z); break; }
          path.push(...z); if (k % 60 === 59) yield;
        }
        paths.push(path);
      }
    }
    yield;
    return { fa, fb, E, points, paths, X, Y, xs, ys };
  }
  draw(run, limits, budget) {
    const { frame } = this, c = frame.begin(), [w, h] = frame.size, [a, b] = run.plane;
    frame.axes([66, 10, w - 10, h - 38], limits.y[a], limits.y[b], this.name(run, a), this.name(run, b));
    const wanted = this.state(run, limits);
    if (!this.job && wanted !== this.signature) { this.signature = wanted; this.job = this.work(run, limits); }
    if (this.job) {
      const until = performance.now() + budget;
      while (performance.now() < until) { const next = this.job.next(); if (next.done) { this.job = null; this.paint(next.value); break; } }
    }
    if (this.layer) { const ratio = window.devicePixelRatio || 1; frame.clipped(() => c.drawImage(this.layer, 0, 0, this.layer.width / ratio, this.layer.height / ratio)); }
    frame.clipped(() => {
      const path = []; for (const k of run.kept(run.t - 15 * run.data.time)) path.push(frame.toX(run.channels[1 + a][k]), frame.toY(run.channels[1 + b][k]));
      path.push(frame.toX(run.y[a]), frame.toY(run.y[b])); frame.line(path, colors.green, 1.5);
      frame.dot(frame.toX(run.y[a]), frame.toY(run.y[b]), 6, colors.green, colors.back);
    });
    const entry = (k) => `d${run.data.variables[Math.floor(k / run.nodes)].symbol}${run.data.nodes.length ? run.data.nodes[k % run.nodes] : ""}/dt = 0`;
    const entries = [[entry(a), colors.blue], [entry(b), colors.orange]]; if (this.separatrix) entries.push(["separatrix", colors.ink, [5, 4]]);
    frame.legend(entries);
  }
  paint({ fa, fb, E, points, paths, X, Y, xs, ys }) {
    const ratio = window.devicePixelRatio || 1, layer = document.createElement("canvas"), { frame } = this, [nx, ny] = GRID;
    layer.width = frame.canvas.width; layer.height = frame.canvas.height;
    const c = layer.getContext("2d"); c.scale(ratio, ratio); [frame.x, frame.y] = [X, Y];
    const between = (list, i) => { const k = Math.min(Math.floor(i), list.length - 2); return list[k] + (i - k) * (list[k + 1] - list[k]); };
    const px = (i) => frame.toX(between(xs, i)), py = (j) => frame.toY(between(ys, j));
    const level = (g, z, color, width, alpha = 1) => { c.strokeStyle = color; c.lineWidth = width; c.globalAlpha = alpha; c.beginPath(); contour(g, nx, ny, z, (x0, y0, x1, y1) => { c.moveTo(px(x0), py(y0)); c.lineTo(px(x1), py(y1)); }); c.stroke(); c.globalAlpha = 1; };
    if (E) {
      // Levels for the part where the motion is seen: not the wall at small rates.
      const away = E.filter((each, k) => Number.isFinite(each) && xs[k % nx] > X[0] + 0.12 * (X[1] - X[0])).sort(), low = Math.min(...E.filter(Number.isFinite)), top = away[Math.floor(0.85 * away.length)];
      for (let k = 1; k <= 14; k++) level(E, low + (top - low) * (k / 14) ** 1.5, colors.faint, 0.8, 0.5);
    }
    level(fa, 0, colors.blue, 1.8); level(fb, 0, colors.orange, 1.8);
    this.separatrix = paths.length > 0;
    c.strokeStyle = colors.ink; c.lineWidth = 1.6; c.setLineDash([5, 4]);
    for (const path of paths) { c.beginPath(); for (let i = 0; i < path.length; i += 2) if (i) c.lineTo(frame.toX(path[i]), frame.toY(path[i + 1])); else c.moveTo(frame.toX(path[i]), frame.toY(path[i + 1])); c.stroke(); }
    c.setLineDash([]);
    for (const { u, v, det, trace } of points) { c.beginPath(); c.arc(frame.toX(u), frame.toY(v), 4.5, 0, 2 * Math.PI); c.fillStyle = det > 0 && trace < 0 ? colors.ink : colors.back; c.fill(); c.strokeStyle = colors.ink; c.lineWidth = 1.5; c.stroke(); }
    this.layer = layer;
  }
}

class CourseView {
  constructor() { this.frame = new Frame($("course")); this.spans = [null, null]; }
  // Least and greatest value per column of pixels: a spike is never lost.
  trace(run, values, kept, color, width = 1.4) {
    const { frame } = this, columns = []; let column = null;
    for (const k of kept) {
      const x = Math.round(frame.toX(run.channels[0][k])), v = values[k];
      if (!column || column[0] !== x) { column = [x, v, v, v, v]; columns.push(column); } else { column[2] = Math.min(column[2], v); column[3] = Math.max(column[3], v); column[4] = v; }
    }
    const points = [];
    for (const [x, first, low, high, last] of columns) { const [y0, y1] = [frame.toY(low), frame.toY(high)]; if (y0 - y1 > 3) points.push(x, frame.toY(first), x, y0, x, y1, x, frame.toY(last)); else points.push(x, (y0 + y1) / 2); }
    frame.line(points, color, width);
  }
  span(k, channels, kept) {
    let low = Infinity, high = -Infinity;
    for (const values of channels) for (const j of kept) { if (values[j] < low) low = values[j]; if (values[j] > high) high = values[j]; }
    if (!(high > low)) { low -= 0.5; high += 0.5; }
    const wanted = [low - 0.06 * (high - low), high + 0.1 * (high - low)];
    return (this.spans[k] = eased(this.spans[k], wanted));
  }
  draw(run) {
    const { frame } = this, c = frame.begin(), [w, h] = frame.size, length = WINDOW * run.data.time, from = Math.max(0, run.t - length), kept = run.kept(from), n = run.nodes;
    const outside = w > 560, right = w - (outside ? 96 : 10), side = outside ? "outside" : "left";
    const x = [from, from + length], two = run.data.energy || run.data.variables.length > 1, middle = two ? h * 0.5 : h - 38, first = run.channels.slice(1, 1 + n), v = run.data.variables[0];
    const input = run.channels[1 + run.count + n + 3];
    const label = (each) => `${each.symbol}${each.unit === "1" ? "" : ` (${each.unit})`}`, time = run.data.unit === "time" ? "time" : `time (${run.data.unit})`;
    frame.axes([66, 10, right, middle - (two ? 6 : 0)], x, this.span(0, first, kept), time, label(v), { xTicks: !two });
    frame.clipped(() => {
      if (!run.noisy) { // shaded while an input acts
        c.fillStyle = colors.orange; c.globalAlpha = 0.13; let begin = null, last = null;
        const close = () => { if (begin !== null) c.fillRect(begin, frame.box[1], Math.max(1, last - begin), frame.box[3] - frame.box[1]); begin = null; };
        for (const k of kept) { const px = frame.toX(run.channels[0][k]); if (input[k] !== 0) { if (begin === null) begin = px; last = px; } else close(); }
        close(); c.globalAlpha = 1;
      }
      first.forEach((values, k) => this.trace(run, values, kept, ofNode(k)));
    });
    if (n > 1 || outside) frame.legend(first.map((_, k) => [n > 1 ? `${v.symbol} of ${run.data.nodes[k]}` : v.symbol, ofNode(k)]), side);
    if (!two) return;
    if (!run.data.energy) { // the second variable in place of the energy
      const second = run.channels.slice(1 + n, 1 + 2 * n), u = run.data.variables[1];
      frame.axes([66, middle + 8, right, h - 38], x, this.span(1, second, kept), time, label(u));
      frame.clipped(() => second.forEach((values, k) => this.trace(run, values, kept, ofNode(k))));
      if (n > 1 || outside) frame.legend(second.map((_, k) => [n > 1 ? `${u.symbol} of ${run.data.nodes[k]}` : u.symbol, ofNode(k)]), side);
      return;
    }
    const base = 1 + run.count + n, books = [run.channels[base], run.channels[base + 1], run.channels[base + 2]];
    frame.axes([66, middle + 8, right, h - 38], x, this.span(1, books, kept), time, "energy");
    frame.clipped(() => { this.trace(run, books[1], kept, colors.orange); this.trace(run, books[2], kept, colors.violet); this.trace(run, books[0], kept, colors.blue, 1.8); });
    frame.legend([["energy E", colors.blue], ["heat", colors.orange], ["work", colors.violet]], side);
  }
}

// ---------------------------------------------------------------- the page

const views = { potential: new PotentialView(), plane: new PlaneView(), course: new CourseView() };
const explorer = { frameTimes: [], running: !matchMedia("(prefers-reduced-motion: reduce)").matches, speed: 4, slow: false, run: null, limits: null };
window.explorer = explorer;

// Ranges that hold the run from here and after a pulse; they grow when it leaves them.
function survey(run) {
  const low = Float64Array.from(run.y0), high = Float64Array.from(run.y0); let xLow = Infinity, xHigh = -Infinity;
  const look = () => { for (let k = 0; k < run.count; k++) { low[k] = Math.min(low[k], run.y[k]); high[k] = Math.max(high[k], run.y[k]); } if (run.data.energy) for (let i = 0; i < run.nodes; i++) { xLow = Math.min(xLow, run.M[i]); xHigh = Math.max(xHigh, run.M[i]); } };
  const ghost = new Run(run.key); ghost.p = run.p; ghost.input = run.input; ghost.y0 = run.y0; ghost.node = run.nodes > 1 ? 1 : -1; ghost.pulse = run.pulse; ghost.reset();
  const seen = run; run = ghost; // `look` reads it
  const steps = Math.min(4000, Math.round((20 * ghost.data.time) / ghost.data.h));
  for (let k = 0; k < 3 * steps && !ghost.failed; k++) { if (k === steps && run.data.pulse) ghost.until = ghost.t + ghost.pulse.duration; ghost.step(); if (!ghost.y.every(Number.isFinite)) break; if (k % 5 === 0) look(); }
  run = seen;
  // Nodes of a network share the range of each variable.
  const y = [], n = run.nodes;
  for (let k = 0; k < run.count; k++) {
    const v = Math.floor(k / n), positive = run.data.variables[v].positive; let a = Infinity, b = -Infinity;
    for (let i = v * n; i < (v + 1) * n; i++) { a = Math.min(a, low[i]); b = Math.max(b, high[i]); }
    const pad = 0.12 * (b - a) || 0.5; y.push([positive ? 0 : a - pad, b + pad]);
  }
  if (run.data.rate) return { y, x: [Math.max(xLow, 1e-9) / 1.8, xHigh * 1.6] };
  const room = 0.25 * (xHigh - xLow) || 1; return { y, x: [xLow - room, xHigh + room] };
}
function grow() {
  const { run, limits } = explorer, n = run.nodes; let grown = false;
  for (let k = 0; k < run.count; k++) {
    const [a, b] = limits.y[k], v = run.y[k], room = 0.15 * (b - a);
    if (v < a || v > b) { const v0 = Math.floor(k / n) * n; for (let i = v0; i < v0 + n; i++) limits.y[i] = [v < a ? v - room : a, v > b ? v + room : b]; grown = true; }
  }
  if (run.data.energy) for (let i = 0; i < n; i++) {
    const x = run.M[i], [a, b] = limits.x; if (x < a) limits.x = [run.data.rate ? x / 1.3 : x - 0.1 * (b - a), b]; if (x > b) limits.x = [a, run.data.rate ? x * 1.2 : x + 0.1 * (b - a)];
  }
  return grown;
}

function say(text) { const box = $("message"); box.textContent = text; box.classList.add("on"); clearTimeout(say.timer); say.timer = setTimeout(() => box.classList.remove("on"), 2600); }

function slider(parent, { symbol, unit = "1", doc, value, low, high, least = null, most = null, open = [false, false] }, change) {
  const row = document.createElement("label"); row.className = "slider"; row.title = doc[0].toUpperCase() + doc.slice(1) + (unit === "1" ? "" : ` (${unit})`);
  const name = document.createElement("span"); name.className = "symbol"; name.textContent = symbol; if (unit !== "1" && unit !== "time") { const small = document.createElement("small"); small.textContent = " " + unit; name.append(small); }
  const range = document.createElement("input"), box = document.createElement("input");
  range.type = "range"; range.min = low; range.max = high; range.step = "any"; range.setAttribute("aria-label", doc); box.type = "number"; box.step = "any"; box.setAttribute("aria-label", doc + ", number");
  const show = (v) => { range.min = Math.min(range.min, v); range.max = Math.max(range.max, v); range.value = v; box.value = +v.toPrecision(6); };
  const set = (v) => {
    if (!Number.isFinite(v)) return;
    const allowed = (least === null || v > least || (v === least && !open[0])) && (most === null || v < most || (v === most && !open[1]));
    if (!allowed) { say(`${symbol} must be ${least !== null ? (open[0] ? "> " : "≥ ") + least : ""}${least !== null && most !== null ? " and " : ""}${most !== null ? (open[1] ? "< " : "≤ ") + most : ""}`); return; }
    show(v); change(v);
  };
  range.addEventListener("input", () => { box.value = +(+range.value).toPrecision(4); change(+box.value); });
  box.addEventListener("change", () => set(+box.value));
  show(value); row.append(name, range, box); parent.append(row); row.dataset.name = doc; return { row, show, range, box };
}

function select(key, saved = {}) {
  const run = new Run(key), { data } = run; explorer.run = run; $("model").value = key;
  if (saved.p && saved.p.length === run.p.length) run.p = saved.p;
  if (saved.y && saved.y.length === run.count) run.y0 = Float64Array.from(saved.y);
  if (Number.isFinite(saved.I)) run.input = saved.I;
  if (Number.isFinite(saved.D)) { run.noise = saved.D; run.noisy = true; }
  run.plane = run.count === 1 ? [0, 0] : [0, run.nodes === 1 || data.variables.length > 1 ? run.nodes : 1];
  run.reset();
  if (data.pulse && !Object.keys(saved).length) run.planned = 3 * data.time;
  views.potential.span = null; views.course.spans = [null, null]; views.plane.signature = ""; views.plane.job = null; views.plane.layer = null;
  explorer.limits = survey(run);
  $("potential-view").hidden = !data.energy;
  $("plane-view").classList.toggle("wide", !data.energy);
  $("about").textContent = data.shows || "";
  document.title = `${data.title} · nmmjax explorer`;
  for (const id of ["plane-x", "plane-y"]) {
    const box = $(id); box.replaceChildren(...Array.from({ length: run.count }, (_, k) => new Option(views.plane.name(run, k), k)));
    box.value = run.plane[id === "plane-x" ? 0 : 1];
  }
  const controls = $("controls"); controls.replaceChildren();
  slider(controls, { symbol: "I", doc: "constant input", value: run.input, low: -5, high: 5 }, (v) => { run.input = v; remember(); });
  slider(controls, { symbol: "pulse", doc: "amplitude of the pulse", value: run.pulse.amplitude, low: -10, high: 10 }, (v) => { run.pulse.amplitude = v; });
  slider(controls, { symbol: "length", unit: data.unit, doc: "duration of the pulse", value: run.pulse.duration, low: 0.1 * data.time, high: 30 * data.time, least: 0, open: [true, false] }, (v) => { run.pulse.duration = v; });
  slider(controls, { symbol: "kick", doc: "size of the kick, added to the second variable", value: run.kick, low: -10, high: 10 }, (v) => { run.kick = v; });
  slider(controls, { symbol: "D", doc: "intensity of the noise", value: run.noise, low: 0, high: 2, least: 0 }, (v) => { run.noise = v; remember(); });
  slider(controls, { symbol: "speed", doc: "units of time per second", value: explorer.speed, low: 0.2, high: 20, least: 0, open: [true, false] }, (v) => { explorer.speed = v; });
  if (run.nodes > 1) {
    const row = document.createElement("label"); row.className = "slider"; row.innerHTML = "<span class=symbol>acts on</span>";
    const box = document.createElement("select"); box.id = "node"; box.append(new Option("all nodes", -1), ...data.nodes.map((name, k) => new Option(`node ${name}`, k)));
    run.node = 1; box.value = 1; box.addEventListener("change", () => { run.node = +box.value; }); row.append(box); controls.append(row);
  }
  const parameters = $("parameters"); parameters.replaceChildren();
  explorer.sliders = data.parameters.map((each, k) => slider(parameters, { ...each, value: run.p[k] }, (v) => { run.changed(() => { run.p[k] = v; }); explorer.stale = true; remember(); }));
  const equations = $("equations"); equations.replaceChildren(...data.equations.map((text) => { const line = document.createElement("div"); line.textContent = text; return line; }));
  const source = document.createElement("p"); source.textContent = [...new Set([data.source, data.cites].filter(Boolean))].join("; "); equations.append(source);
  pressed(); remember();
}
function pressed() {
  const { run } = explorer; $("noise").setAttribute("aria-pressed", run.noisy); $("slow").setAttribute("aria-pressed", explorer.slow); $("run").textContent = explorer.running ? "Pause" : "Run";
}
function pythonOf(run) {
  const number = (x) => (Number.isInteger(x) ? x + ".0" : String(x)), { data } = run, n = data.nodes.length;
  const model = data.python.replace(/\{(\d+)\}/g, (_, k) => number(run.p[k]));
  const state = data.variables.map((v, i) => `"${v.name}": ${n ? "[" + [...run.y0.slice(i * n, (i + 1) * n)].map(number).join(", ") + "]" : number(run.y0[i])}`).join(", ");
  const extra = (run.input ? `, stimulus=nmm.Constant(${number(run.input)})` : "") + (run.noisy && data.rate ? `, noise=${number(run.noise)}, key=jax.random.key(0)` : "");
  return `${extra.includes("jax.random") ? "import jax\n" : ""}import jax.numpy as jnp\nimport nmmjax as nmm\n\nmodel = ${model}\nrun = nmm.simulate(model, y0={${state}}, ts=jnp.linspace(0.0, ${number(60 * data.time)}, 3001)${extra})\nprint(run)\n`;
}
function remember() { // the settings in the address
  const { run } = explorer, list = (a) => [...a].map((x) => +x.toPrecision(12)).join(",");
  const parts = [`m=${run.key}`, `p=${list(run.p)}`, `y=${list(run.y0)}`]; if (run.input) parts.push(`I=${run.input}`); if (run.noisy) parts.push(`D=${run.noise}`);
  try { history.replaceState(null, "", "#" + parts.join("&")); } catch { /* a page inside a page may have no address */ }
  $("python-text").textContent = pythonOf(run);
}
function recall() {
  const given = new URLSearchParams(location.hash.slice(1)), numbers = (name) => (given.has(name) ? given.get(name).split(",").map(Number) : null), fine = (a) => a && a.every(Number.isFinite);
  const key = given.get("m"), p = numbers("p"), y = numbers("y");
  return [key in MODELS ? key : Object.keys(MODELS)[0], key in MODELS ? { p: fine(p) ? p : null, y: fine(y) ? y : null, I: given.has("I") ? +given.get("I") : NaN, D: given.has("D") ? +given.get("D") : NaN } : {}];
}
async function copy(text, what) {
  try { await navigator.clipboard.writeText(text); say(`${what} copied`); }
  catch { $("as-python").open = true; const range = document.createRange(); range.selectNodeContents($("python-text")); const chosen = getSelection(); chosen.removeAllRanges(); chosen.addRange(range); say(`${what}: copy it from the page`); }
}
const actions = {
  run: () => { explorer.running = !explorer.running; if (explorer.run.failed) explorer.run.reset(); pressed(); },
  reset: () => { explorer.run.reset(); views.course.spans = [null, null]; },
  kick: () => { const { run } = explorer, n = run.nodes; run.changed(() => { for (let i = 0; i < n; i++) if (run.targets(i)) run.y[run.count > n ? n + i : i] += run.kick; }); },
  pulse: () => { const { run } = explorer; run.until = run.t + run.pulse.duration; if (!explorer.running) actions.run(); },
  noise: () => { explorer.run.noisy = !explorer.run.noisy; pressed(); remember(); },
  slow: () => { explorer.slow = !explorer.slow; pressed(); },
};
for (const name of Object.keys(actions)) $(name).addEventListener("click", () => actions[name]());
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(SELECT|TEXTAREA)$/.test(event.target.tagName) || event.target.type === "number") return;
  const name = { " ": "run", r: "reset", k: "kick", p: "pulse", n: "noise", s: "slow" }[event.key.toLowerCase()];
  if (name && !(event.key === " " && event.target.tagName === "BUTTON")) { event.preventDefault(); actions[name](); }
});
$("plane").addEventListener("pointerdown", (event) => {
  const { frame } = views.plane, { run } = explorer, [a, b] = run.plane, box = frame.canvas.getBoundingClientRect();
  const u = frame.fromX(event.clientX - box.left), v = frame.fromY(event.clientY - box.top), n = run.nodes;
  if (u < frame.x[0] || u > frame.x[1] || v < frame.y[0] || v > frame.y[1]) return;
  const least = (k, value) => (run.data.variables[Math.floor(k / n)].positive ? Math.max(value, 1e-6) : value);
  run.y0 = Float64Array.from(run.y); run.y0[a] = least(a, u); run.y0[b] = least(b, v); run.reset(); remember();
});
for (const [id, k] of [["plane-x", 0], ["plane-y", 1]]) $(id).addEventListener("change", () => { explorer.run.plane[k] = +$(id).value; });
$("model").addEventListener("change", () => select($("model").value));
$("link").addEventListener("click", () => copy(location.href, "Link"));
$("python").addEventListener("click", () => copy(pythonOf(explorer.run), "Python"));
function theme(name) { document.documentElement.dataset.theme = name; readColors(); views.plane.signature = ""; }
$("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
window.addEventListener("hashchange", () => { const [key, saved] = recall(); select(key, saved); });

let last = null;
function frame(now) {
  const began = performance.now(), { run } = explorer, passed = Math.min(0.05, last === null ? 0.016 : (now - last) / 1000); last = now;
  if (explorer.running && !run.failed) {
    run.advance(passed * explorer.speed * (explorer.slow ? 0.1 : 1) * run.data.time);
    if (run.failed) { explorer.running = false; pressed(); say("The state left the range of numbers: press Reset."); }
  }
  if (!run.failed) {
    grow();
    if (run.data.energy) { run.measure(run.M); views.potential.draw(run, explorer.limits); }
    views.plane.draw(run, explorer.limits, 1.5);
    views.course.draw(run);
    if (run.data.energy) $("time-note").textContent = `energy ${minus(short(run.energy()))} = ${minus(short(run.E0))} + work ${minus(short(run.work + run.given))} − heat ${minus(short(run.heat))}`;
    else $("time-note").textContent = "";
  }
  explorer.frameTimes.push(performance.now() - began); if (explorer.frameTimes.length > 600) explorer.frameTimes.shift();
  requestAnimationFrame(frame);
}
theme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
for (const [key, { data }] of Object.entries(MODELS)) $("model").append(new Option(data.title, key));
if (Object.keys(MODELS).length === 1) document.querySelector(".choice").hidden = true;
{ const [key, saved] = recall(); select(key, saved); }
explorer.select = select; explorer.actions = actions; explorer.pythonOf = pythonOf; explorer.readyAfter = performance.now();
requestAnimationFrame(frame);
