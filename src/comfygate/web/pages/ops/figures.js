// What each measure draws, and what its table says.
import { html } from "../shell/html.js";
import { entry } from "../shell/ledger.js";
import { tier } from "../shell/session.js";
import { brief, count, has, t } from "../shell/texts.js";
import { ServerLink, State } from "./bits.js";
import { seconds, times } from "./chart.js";
import { blame, percent } from "./telling.js";

const INKS = 8;
const ink = (nth) => `ink-${nth % INKS}`;
const WAYS = { in: "ink-good", out: "ink-0", back: "ink-warm" };
const ENDED = { succeeded: "ink-good", failed: "ink-bad", canceled: "ink-warm", expired: "ink-grey" };
// From an attempt whose result was delivered nothing is to be learnt about blame.
const FINE = "succeeded";

const orDash = (value, said) => (value === null || value === undefined ? "–" : said(value));
// Whose fault it was, or how an attempt ended that was nobody's.
const why = (part) => (has(`outcome.${part}`) ? t(`outcome.${part}`) : blame(part));
const named = (lane, part) => (part ? `${lane} · ${tier(part)}` : lane);

// The buckets of a range, one after the other; where nothing happened the answer leaves them out.
function grid(found) {
  const n = Math.floor((found.until_at_ms - found.from_at_ms) / found.step_ms) + 1;
  const spread = (points, name, nothing) => {
    const values = new Array(n).fill(nothing);
    for (const point of points) {
      const nth = (point.at_ms - found.from_at_ms) / found.step_ms;
      if (nth in values) values[nth] = point[name];
    }
    return values;
  };
  return { from: found.from_at_ms, step: found.step_ms, n, spread };
}

const add = (one, other) => one.map((value, nth) => value + other[nth]);
const sum = (values) => values.reduce((whole, value) => whole + value, 0);

// Lines of the same part of several lanes as one, the largest first.
function summed(found, { spread, n }, name, of) {
  const parts = new Map();
  for (const one of found.series) {
    const key = one[of];
    parts.set(key, add(parts.get(key) ?? new Array(n).fill(0), spread(one.points, name, 0)));
  }
  return [...parts].map(([key, values]) => ({ key, values, whole: sum(values) })).sort((a, b) => b.whole - a.whole);
}

const counted = ({ key, values, whole }, label, of, said = count) => ({ key, label, ink: of, lines: [{ values }], said: (nth) => said(nth === null ? whole : values[nth]) });

// A line for what is usual and a dashed one for what is unusual.
const pair = (key, label, of, one, { spread }, low, high, said) => {
  const [usual, unusual] = [spread(one.points, low, null), spread(one.points, high, null)];
  const both = (a, b) => (a === null || a === undefined ? null : `${said(a)} / ${said(b)}`);
  return {
    key, label, ink: of, lines: [{ values: usual }, { values: unusual, dash: true }],
    said: (nth) => (nth === null ? both(one.whole[low], one.whole[high]) : both(usual[nth], unusual[nth])),
  };
};

const lane = () => ({ title: t("plots.lane"), cell: (one) => one.series });
const many = (title, name, said) => ({ title, end: true, cell: (one) => orDash(one.whole[name], said) });

// `plots` are what is drawn of an answer, `columns` its table; `by` says what its first name is.
export const FIGURES = {
  wait: {
    by: "lane",
    plots(found) {
      const all = grid(found);
      return [{
        ...all, kind: "lines", scale: "seconds", banded: found.series.length < 4,
        groups: found.series.map((one, nth) => pair(`${one.series} ${one.part}`, named(one.series, one.part), ink(nth), one, all, "p50_seconds", "p95_seconds", seconds)),
      }];
    },
    columns: () => [
      lane(), { title: t("plots.tier"), cell: (one) => tier(one.part) }, many(t("plots.jobs"), "jobs", count),
      many(t("plots.mean"), "mean_seconds", seconds), many(t("plots.median"), "p50_seconds", seconds), many(t("plots.high"), "p95_seconds", seconds),
    ],
  },
  ended: {
    by: "lane",
    plots(found) {
      const all = grid(found);
      return [{ ...all, kind: "bars", scale: "count", groups: summed(found, all, "jobs", "part").map((one) => counted(one, t(`state.${one.key}`), ENDED[one.key] ?? "ink-grey")) }];
    },
    columns: () => [
      lane(), { title: t("plots.outcome"), cell: (one) => html`<${State} name=${one.part} />` },
      many(t("plots.jobs"), "jobs", count), many(t("plots.took"), "mean_seconds", seconds),
    ],
  },
  blame: {
    by: "lane",
    plots(found) {
      const all = grid(found);
      const parts = summed(found, all, "attempts", "part").filter((one) => one.key !== FINE);
      return [{ ...all, kind: "bars", scale: "count", groups: parts.map((one, nth) => counted(one, why(one.key), has(`outcome.${one.key}`) ? "ink-grey" : ink(nth))) }];
    },
    columns: () => [lane(), { title: t("plots.why"), cell: (one) => why(one.part) }, many(t("plots.attempts"), "attempts", count)],
  },
  busy: {
    by: "server",
    plots(found) {
      const all = grid(found);
      const groups = found.series.map((one, nth) => {
        const values = all.spread(one.points, "share", 0);
        return { key: one.series, label: one.series, ink: ink(nth), lines: [{ values }], said: (at) => percent(at === null ? one.whole.share : values[at]) };
      });
      return [{ ...all, kind: "lines", scale: "share", filled: groups.length < 3, groups }];
    },
    columns: () => [
      { title: t("plots.server"), cell: (one) => html`<${ServerLink} name=${one.series} />` },
      many(t("plots.busy_time"), "busy_seconds", brief), many(t("plots.share"), "share", percent),
    ],
  },
  credits: {
    by: "way",
    plots(found) {
      const all = grid(found);
      return [{ ...all, kind: "lines", scale: "count", groups: summed(found, all, "credits", "series").map((one) => counted(one, t(`plots.way_${one.key}`), WAYS[one.key] ?? "ink-grey")) }];
    },
    columns: () => [
      { title: t("plots.way"), cell: (one) => t(`plots.way_${one.series}`) }, { title: t("credits.what"), cell: (one) => entry(one.part) },
      many(t("plots.entries"), "entries", count), many(t("credits.amount"), "credits", count),
    ],
  },
  eta: {
    by: "lane",
    plots(found) {
      const all = grid(found);
      return [
        { ...all, kind: "lines", scale: "ratio", banded: found.series.length < 4, groups: found.series.map((one, nth) => pair(one.series, one.series, ink(nth), one, all, "ratio_p50", "ratio_p95", times)) },
        {
          ...all, kind: "lines", scale: "share", title: t("plots.met_title"), groups: found.series.map((one, nth) => {
            const values = all.spread(one.points, "met_share", null);
            return { key: one.series, label: one.series, ink: ink(nth), lines: [{ values }], said: (at) => orDash(at === null ? one.whole.met_share : values[at], percent) };
          }),
        },
      ];
    },
    columns: () => [
      lane(), many(t("plots.jobs"), "jobs", count), many(t("plots.late"), "mean_late_seconds", seconds),
      many(t("plots.ratio_median"), "ratio_p50", times), many(t("plots.ratio_high"), "ratio_p95", times), many(t("plots.met"), "met_share", percent),
    ],
  },
};
