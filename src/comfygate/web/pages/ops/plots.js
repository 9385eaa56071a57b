// What was, over an hour, a day, a week, a month: from the aggregates, drawn and as tables.
import { go, route } from "../shell/frame.js";
import { html, seen, signal, useEffect } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { brief, count, t } from "../shell/texts.js";
import { Nothing, Section, Table, useRead } from "./bits.js";
import { Chart } from "./chart.js";
import { FIGURES } from "./figures.js";
import { lanes, now } from "./state.js";
import { percent } from "./telling.js";

const RANGES = ["1h", "24h", "7d", "30d"];
const MINUTE_MS = 60_000;
// What ended in a minute is counted some seconds after it.
const COUNTED_MS = 5000;

const minute = signal(0);

// Once a minute, when its bucket is there, as long as somebody looks: the aggregates move by minutes, and the last
// bucket of hours and days grows with them.
function useMinutes() {
  useEffect(() => {
    let waiting = null;
    const next = () => {
      waiting = setTimeout(() => {
        if (!document.hidden) minute.value += 1;
        next();
      }, MINUTE_MS - (now.peek() % MINUTE_MS) + COUNTED_MS);
    };
    const back = () => {
      if (!document.hidden) minute.value += 1;
    };
    document.addEventListener("visibilitychange", back);
    next();
    return () => {
      clearTimeout(waiting);
      document.removeEventListener("visibilitychange", back);
    };
  }, []);
}

const Figure = seen(({ measure, range, lane }) => {
  const figure = FIGURES[measure];
  const address = `gate/v1/ops/series?measure=${measure}&range=${range}`;
  const { found, again } = useRead(address);
  useEffect(() => {
    if (found.value) again();
  }, [minute.value]);
  const title = t(`plots.${measure}`);
  const all = found.value;
  const series = all && all.series.filter((one) => !lane || figure.by !== "lane" || one.series === lane);
  const tools = html`<a class="button bare small" href=${`${address}&format=csv`} download aria-label=${t("plots.csv_of", { title })}>
    <${Icon} name="download" size=${16} />${t("plots.csv")}</a>`;
  return html`<div class="sheet plot" data-plot=${measure}><${Section} id=${`plot-${measure}`} title=${title} tools=${tools}>
    <p class="small soft">${t(`plots.${measure}_text`)}</p>
    ${!all && html`<div class="skeleton chart-waits" aria-busy="true"></div>`}
    ${all && !series.length && html`<${Nothing}>${t("plots.nothing")}<//>`}
    ${all && series.length > 0 && html`${figure.plots({ ...all, series }).map((plot) => html`
      ${plot.title && html`<h3 key=${`title ${plot.title}`}>${plot.title}</h3>`}
      ${plot.groups.length > 0 ? html`<${Chart} key=${`${range} ${plot.scale}`} plot=${{ ...plot, label: t("plots.drawing", { title: plot.title ?? title }) }} />`
        : html`<${Nothing}>${t("plots.none_failed")}<//>`}`)}
      <${Table} label=${t("plots.table_of", { title })} columns=${figure.columns()} rows=${series} keyOf=${(one) => `${one.series} ${one.part}`} />`}
  <//></div>`;
});

const share = (value) => (value === null ? "–" : percent(value));
const off = (ms) => (ms === null ? "–" : brief(ms / 1000));

// What estimates were worth for the newest jobs, whenever they were.
const Worth = seen(() => {
  const { found, again } = useRead("gate/v1/ops/eta");
  useEffect(() => {
    if (found.value) again();
  }, [minute.value]);
  if (!found.value) return null;
  const rows = found.value.lanes.flatMap((lane) => [{ ...lane, priority: null }, ...lane.by_priority.map((one) => ({ ...one, lane: lane.lane }))])
    .filter((one) => one.jobs > 0);
  const columns = [
    { title: t("plots.lane"), cell: (one) => one.lane }, { title: t("plots.priority"), cell: (one) => (one.priority === null ? t("plots.every") : count(one.priority)) },
    { title: t("plots.jobs"), end: true, cell: (one) => count(one.jobs) },
    { title: t("plots.within_median"), end: true, cell: (one) => share(one.within_p50) }, { title: t("plots.within_high"), end: true, cell: (one) => share(one.within_p90) },
    { title: t("plots.error_median"), end: true, cell: (one) => off(one.error_p50_ms) }, { title: t("plots.error_high"), end: true, cell: (one) => off(one.error_p90_ms) },
  ];
  return html`<div class="sheet plot plot-wide" data-plot="worth"><${Section} id="plot-worth" title=${t("plots.worth")}><p class="small soft">${t("plots.worth_text")}</p>
    ${rows.length ? html`<${Table} label=${t("plots.worth")} columns=${columns} rows=${rows} keyOf=${(one) => `${one.lane} ${one.priority}`} />` : html`<${Nothing}>${t("plots.none_judged")}<//>`}<//></div>`;
});

export const Plots = seen(() => {
  useMinutes();
  const [, asked, lane = ""] = route.value;
  const range = RANGES.includes(asked) ? asked : RANGES[0];
  const at = (one, of) => `#/plots/${one}${of ? `/${encodeURIComponent(of)}` : ""}`;
  const known = [...new Set([...(lanes.value?.keys() ?? []), ...(lane ? [lane] : [])])];
  return html`<div class="lead"><h1 class="grow">${t("ops.plots")}</h1>
      ${known.length > 1 && html`<label class="row small" for="plots-lane">${t("plots.lane")}<select id="plots-lane" class="input short" value=${lane} onChange=${(event) => go("plots", range, ...(event.target.value ? [event.target.value] : []))}>
        <option value="">${t("plots.every")}</option>${known.map((one) => html`<option key=${one} value=${one}>${one}</option>`)}</select></label>`}
      <nav class="row" aria-label=${t("plots.range")}>${RANGES.map((one) => html`<a key=${one} class="chip" href=${at(one, lane)}
        aria-current=${one === range ? "page" : null}>${t(`plots.range_${one}`)}</a>`)}</nav></div>
    <div class="plots">${Object.keys(FIGURES).map((measure) => html`<${Figure} key=${`${measure} ${range}`} measure=${measure} range=${range} lane=${lane} />`)}<${Worth} /></div>`;
});
