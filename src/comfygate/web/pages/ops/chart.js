// Numbers over time, drawn. Below stands a legend with the values at the cursor, or of the whole range; its buttons
// take lines away. Whoever cannot see it has the table that goes with each.
import { attempt } from "../shell/dialog.js";
import { html, seen, signal, useEffect, useRef, useState } from "../shell/html.js";
import { brief, place, t } from "../shell/texts.js";
import { percent } from "./telling.js";

// Only who looks at plots loads it.
const library = async () => (await import("../vendor/uPlot.esm.js")).default;

const HEIGHT = 210;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
// With more buckets than these, lines are thinner.
const MANY = 100;

// The colours of what is drawn are the page's, read anew whenever light and dark change.
const theme = signal(0);
const turned = () => {
  theme.value += 1;
};
new MutationObserver(turned).observe(document.documentElement, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", turned);

function colour(box, ink, alpha = 1) {
  const probe = document.createElement("i");
  probe.className = ink;
  box.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return alpha === 1 ? found : found.replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`);
}

export const times = (ratio) => t("plots.times", { n: Math.round(ratio * 100) / 100 });
export function seconds(value) {
  if (value < 0) return `−${seconds(-value)}`;
  return value < 10 ? t("brief.seconds", { n: Math.round(value * 10) / 10 }) : brief(value);
}

const compact = new Intl.NumberFormat(place, { notation: "compact" });
const LEAST_SECONDS = 0.1;
const SECONDS = [0.1, 0.3, 1, 3, 10, 30, 60, 180, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 259_200, 604_800, 2_592_000];
const RATIOS = Array.from({ length: 21 }, (_, nth) => 2 ** (nth - 10));
const WHOLE = [1, 2, 5, 10, 20, 50].flatMap((one) => [one, one * 100, one * 1e4, one * 1e6]).sort((a, b) => a - b);
const LABELS_MOST = 6;

// The stops around the lowest and the highest value; labels are thinned where there are many.
const around = (stops) => (_, low, high) => [
  stops.findLast((one) => one <= low) ?? stops[0], stops.find((one) => one >= high) ?? stops.at(-1),
];
const thinned = (stops) => (_, __, low, high) => {
  const within = stops.filter((one) => one >= low && one <= high);
  const every = Math.ceil(within.length / LABELS_MOST);
  return within.filter((__, nth) => nth % every === 0);
};
const all = (_, splits) => splits;

// How values are laid out from bottom to top, and written beside.
const SCALES = {
  count: { scale: { range: (_, __, high) => [0, Math.max(high ?? 0, 1) * 1.06] }, axis: { incrs: WHOLE, values: (_, splits) => splits.map((one) => compact.format(one)) } },
  share: { scale: { range: [0, 1] }, axis: { splits: () => [0, 0.25, 0.5, 0.75, 1], values: (_, splits) => splits.map(percent) } },
  seconds: {
    scale: { distr: 3, log: 10, range: (u, low, high) => around(SECONDS)(u, low ?? 1, Math.max(high ?? 10, (low ?? 1) * 3)) },
    axis: { splits: thinned(SECONDS), filter: all, values: (_, splits) => splits.map(seconds) },
    least: LEAST_SECONDS,
  },
  ratio: {
    scale: { distr: 3, log: 2, range: (u, low, high) => around(RATIOS)(u, Math.min(low ?? 0.5, 0.5), Math.max(high ?? 2, 2)) },
    axis: { splits: thinned(RATIOS), filter: all, values: (_, splits) => splits.map(times) },
    mark: 1,
  },
};

// How moments are written, by how long a bucket is and how long the range. Days are those of UTC.
function clocks({ step, n }) {
  const utc = step >= DAY_MS ? { timeZone: "UTC" } : {};
  const day = { day: "numeric", month: "short", ...utc };
  const time = { hour: "2-digit", minute: "2-digit" };
  const long = step * n > 2 * DAY_MS;
  const form = (how) => new Intl.DateTimeFormat(place, how);
  const at = form(step >= DAY_MS ? { weekday: "short", ...day } : long ? { weekday: "short", ...time } : time);
  return { tick: form(long ? day : time), at: (ms) => (step === HOUR_MS ? at.formatRange(ms, ms + step) : at.format(ms)) };
}

const DAYS = [1, 2, 5, 10, 20].map((one) => one * 86_400);

// Each line's values, stacked where they are bars: the highest first, so that the lower ones lie over it.
function laidOut(plot, off) {
  const { least } = SCALES[plot.scale];
  const middle = plot.step / 2;
  const x = Array.from({ length: plot.n }, (_, nth) => (plot.from + nth * plot.step + middle) / 1000);
  const hidden = (group) => off.has(group.key);
  if (plot.kind !== "bars") {
    const low = (value) => (value === null || least === undefined ? value : Math.max(value, least));
    return [x, ...plot.groups.flatMap((group) => group.lines.map((line) => (hidden(group) ? x.map(() => null) : line.values.map(low))))];
  }
  const sums = x.map(() => 0);
  const stacked = plot.groups.map((group) => group.lines[0].values.map((value, nth) => {
    if (hidden(group) || !value) return null;
    sums[nth] += value;
    return sums[nth];
  }));
  return [x, ...stacked.reverse()];
}

// A value with none beside it would be a line without length: it is a point.
function lone(u, nth) {
  const values = u.data[nth];
  const found = values.flatMap((value, at) => (value !== null && values[at - 1] == null && values[at + 1] == null ? [at] : []));
  return found.length ? found : null;
}

function seriesOf(uPlot, plot, box) {
  if (plot.kind === "bars") {
    const bars = uPlot.paths.bars({ size: [0.82, 44] });
    return [...plot.groups].reverse().map((group) => ({
      paths: bars, fill: colour(box, group.ink), stroke: colour(box, group.ink), width: 0, points: { show: false },
    }));
  }
  return plot.groups.flatMap((group) => group.lines.map((line) => ({
    stroke: colour(box, group.ink), width: (line.dash ? 1.5 : 2) * (plot.n > MANY ? 0.75 : 1), dash: line.dash ? [5, 4] : undefined,
    fill: plot.filled ? colour(box, group.ink, 0.1) : undefined,
    points: { show: false, filter: lone, size: 6, fill: colour(box, group.ink) },
  })));
}

function drawing(uPlot, plot, box, hooks) {
  const how = SCALES[plot.scale];
  const { tick } = clocks(plot);
  const soft = colour(box, "ink-soft");
  const axis = { stroke: soft, font: `11px ${getComputedStyle(box).fontFamily}`, grid: { stroke: colour(box, "ink-line"), width: 1 }, ticks: { show: false } };
  const days = plot.step * plot.n > 2 * DAY_MS;
  return {
    width: box.clientWidth, height: HEIGHT, legend: { show: false },
    // A cursor on one plot is on all of them.
    cursor: { sync: { key: "plots" }, drag: { x: false, y: false }, y: false, points: { show: plot.kind !== "bars", size: 7 } },
    ...(plot.step >= DAY_MS ? { tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC") } : {}),
    scales: { x: { range: () => hooks.range() }, y: how.scale },
    axes: [
      { ...axis, grid: { show: false }, space: days ? 62 : 74, size: 28, ...(days ? { incrs: DAYS } : {}), values: (_, splits) => splits.map((one) => tick.format(one * 1000)) },
      { ...axis, size: 52, space: 34, ...how.axis },
    ],
    series: [{}, ...seriesOf(uPlot, plot, box)],
    bands: plot.banded ? plot.groups.map((group, nth) => ({ series: [nth * 2 + 2, nth * 2 + 1], fill: colour(box, group.ink, 0.08) })) : [],
    hooks: {
      setCursor: [(u) => hooks.at(u.cursor.idx ?? null)],
      drawAxes: how.mark === undefined ? [] : [(u) => marked(u, how.mark, soft)],
    },
  };
}

function marked(u, value, stroke) {
  const y = Math.round(u.valToPos(value, "y", true));
  u.ctx.save();
  u.ctx.strokeStyle = stroke;
  u.ctx.lineWidth = devicePixelRatio;
  u.ctx.beginPath();
  u.ctx.moveTo(u.bbox.left, y);
  u.ctx.lineTo(u.bbox.left + u.bbox.width, y);
  u.ctx.stroke();
  u.ctx.restore();
}

const STEPS = { ArrowLeft: -1, ArrowRight: 1 };

// `plot`: {label, kind ("bars", stacked, or "lines"), scale, from, step, n, groups, banded, filled}; a group is {key, label,
// ink, lines: [{values, dash}], said}: `said(nth)` writes its value in a bucket, `said(null)` that of the whole range.
export const Chart = seen(({ plot }) => {
  const box = useRef(null);
  const drawn = useRef(null);
  const latest = useRef(null);
  const [at, setAt] = useState(null);
  const [off, setOff] = useState(new Set());
  const data = laidOut(plot, off);
  latest.current = { plot, data };
  const shape = [theme.value, plot.scale, plot.step, ...plot.groups.map((group) => `${group.key} ${group.ink} ${group.lines.length}`)].join("\n");
  useEffect(() => {
    let gone = false;
    let sized = null;
    attempt(async () => {
      const uPlot = await library();
      if (gone) return;
      const range = () => {
        const { from, step, n } = latest.current.plot;
        return [from / 1000, (from + n * step) / 1000];
      };
      drawn.current = new uPlot(drawing(uPlot, latest.current.plot, box.current, { at: setAt, range }), latest.current.data, box.current);
      box.current.dataset.drawn = "true";
      sized = new ResizeObserver(() => drawn.current.setSize({ width: box.current.clientWidth, height: HEIGHT }));
      sized.observe(box.current);
    });
    return () => {
      gone = true;
      sized?.disconnect();
      drawn.current?.destroy();
      drawn.current = null;
    };
  }, [shape]);
  useEffect(() => {
    drawn.current?.setData(latest.current.data);
  }, [plot, off]);
  const move = (event) => {
    const by = STEPS[event.key];
    const u = drawn.current;
    if (!by || !u) return;
    event.preventDefault();
    const next = Math.min(Math.max((at ?? (by > 0 ? -1 : plot.n)) + by, 0), plot.n - 1);
    u.setCursor({ left: u.valToPos(u.data[0][next], "x"), top: 10 });
  };
  const turn = (key) => setOff((was) => (was.has(key) ? new Set([...was].filter((one) => one !== key)) : new Set([...was, key])));
  const seenAt = at === null || at >= plot.n ? null : at;
  return html`<div class="chart">
    <div class="chart-box" ref=${box} role="img" aria-label=${plot.label} tabindex="0" onKeyDown=${move}
      onBlur=${() => drawn.current?.setCursor({ left: -10, top: -10 })}></div>
    <div class="legend small" role="group" aria-label=${t("plots.legend")}>
      <span class="soft legend-at">${seenAt === null ? t("plots.whole") : clocks(plot).at(plot.from + seenAt * plot.step)}</span>
      ${plot.groups.map((group) => html`<button key=${group.key} type="button" class="legend-one" aria-pressed=${String(!off.has(group.key))} onClick=${() => turn(group.key)}>
        <i class=${`swatch ${group.ink}`}></i>${group.label} <b class="number">${group.said(seenAt) ?? "–"}</b></button>`)}
    </div></div>`;
});
