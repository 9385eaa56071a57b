// Where a job's time went: a row for its waiting and one for each attempt, and the same in a table.
import { html, seen } from "../shell/html.js";
import { clock, exact, t } from "../shell/texts.js";
import { number, ServerLink, Table } from "./bits.js";
import { now } from "./state.js";
import { lasts, Outcome } from "./telling.js";

const KINDS = { waiting: "c3", sending: "c2", running: "c0", collecting: "c1" };
const NICE_MS = [50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 72e5, 216e5, 864e5, 6048e5];
const TICKS_MAX = 5;

const what = (one) => t(`story.${one.what}`);

function ticks(whole) {
  const step = NICE_MS.find((one) => whole / one <= TICKS_MAX) ?? whole;
  return Array.from({ length: Math.floor(whole / step) + 1 }, (_, nth) => nth * step);
}

const Row = ({ name, parts, from, whole, end }) => html`<div class="gantt-row"><span class="gantt-name clip" title=${name}>${name}</span>
  <span class="gantt-track">${parts.map((one) => html`<i key=${one.from_at_ms} class=${`${KINDS[one.what]}${one.open ? " open" : ""}`} data-stretch=${one.what}
    title=${`${what(one)}: ${clock(one.from_at_ms)}, ${lasts(one.took)}`} style=${{ "--from": (one.from_at_ms - from) / whole, "--span": one.took / whole }}></i>`)}</span>
  <span class="gantt-end">${end}</span></div>`;

const columns = () => [
  { title: t("story.stretch"), cell: (one) => html`<span class="class-word"><i class=${`dot ${KINDS[one.what]}`}></i>${what(one)}</span>` },
  { title: t("story.attempt"), end: true, cell: (one) => number(one.attempt) },
  { title: t("story.server"), cell: (one) => (one.server ? html`<${ServerLink} name=${one.server} />` : "–") },
  { title: t("story.from"), cell: (one) => html`<time title=${exact(one.from_at_ms)}>${clock(one.from_at_ms)}</time>` },
  { title: t("story.until"), cell: (one) => (one.open ? t("story.goes_on") : clock(one.until_at_ms)) },
  { title: t("story.lasted"), end: true, cell: (one) => lasts(one.took) },
];

export const Gantt = seen(({ timeline, attempts }) => {
  const goes = timeline.some((one) => one.until_at_ms === null);
  const parts = timeline.map((one) => {
    const until = one.until_at_ms ?? Math.max(now.value, one.from_at_ms);
    return { ...one, open: one.until_at_ms === null, took: until - one.from_at_ms };
  });
  const from = Math.min(...parts.map((one) => one.from_at_ms));
  const whole = Math.max(1, ...parts.map((one) => one.from_at_ms + one.took - from));
  const sums = Object.keys(KINDS).map((name) => [name, parts.filter((one) => one.what === name)]).filter(([, found]) => found.length)
    .map(([name, found]) => [name, found.reduce((sum, one) => sum + one.took, 0)]);
  const waiting = parts.filter((one) => one.what === "waiting");
  const label = sums.map(([name, sum]) => `${t(`story.${name}`)} ${lasts(sum)}`).join(", ");
  return html`<div class="sheet boxed gantt-box">
    <p class="row small">${sums.map(([name, sum]) => html`<span key=${name} class="class-word"><i class=${`dot ${KINDS[name]}`}></i>${t(`story.${name}`)} <b>${lasts(sum)}</b></span>`)}
      <span class="grow"></span><span class="soft">${goes ? t("story.so_far", { time: lasts(whole) }) : t("story.altogether", { time: lasts(whole) })}</span></p>
    <div class="gantt" role="img" aria-label=${label} data-gantt>
      ${waiting.length > 0 && html`<${Row} name=${t("story.waiting")} parts=${waiting} from=${from} whole=${whole} />`}
      ${attempts.map((one) => html`<${Row} key=${one.number} name=${`${one.number} · ${one.server}`} parts=${parts.filter((part) => part.attempt === one.number)}
        from=${from} whole=${whole} end=${html`<${Outcome} name=${one.outcome} />`} />`)}
      <div class="gantt-row"><span></span><span class="gantt-axis">${ticks(whole).map((at) => html`<span key=${at} style=${{ "--from": at / whole }}>${at ? lasts(at) : "0"}</span>`)}</span><span></span></div>
    </div>
    <details><summary class="small">${t("story.as_table")}</summary><${Table} label=${t("story.times")} columns=${columns()} rows=${parts} keyOf=${(one) => `${one.what} ${one.from_at_ms} ${one.attempt ?? ""}`} /></details>
  </div>`;
});
