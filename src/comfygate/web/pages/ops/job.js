// A job's whole story: where its time went, what was tried, what was said and paid, and why it is where it is.
import { html, seen } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { tier } from "../shell/session.js";
import { count, size, span, t } from "../shell/texts.js";
import { AccountLink, Facts, Gone, JobLink, Nothing, number, Section, ServerLink, State, Table, useRead, Waits } from "./bits.js";
import { Gantt } from "./gantt.js";
import { phase, runs, useEvents, useMark } from "./hear.js";
import { cancelJob, mayCancel, mayRetry, retryJob } from "./job-acts.js";
import { jobsAt } from "./jobs.js";
import { At, Blame, Cause, Copied, lasts, made, movements, or, Outcome, percent, price, Running, Said } from "./telling.js";

const Sheet = ({ id, title, rows, children }) => html`<${Section} id=${id} title=${title}><div class="sheet boxed">
  ${rows && html`<${Facts} rows=${rows} />`}${children}</div><//>`;

const Head = ({ story, again }) => {
  const { job } = story;
  const then = (work) => async () => { if (await work()) await again(); };
  return html`<div class="lead story-lead"><div class="grow"><div class="row"><h1>${made(job)}</h1><${State} name=${job.status} of="status" /></div>
      <${Copied} text=${job.id} /></div>
    <div class="row">${story.review && html`<a class="button quiet small" href=${`#/review/${encodeURIComponent(job.id)}`}><${Icon} name="eye" size=${16} />${t("story.to_review")}</a>`}
      ${mayRetry(job, story.retried_as) && html`<button type="button" class="button small" onClick=${then(() => retryJob(job, story.account))}><${Icon} name="again" size=${16} />${t("button.once_more")}</button>`}
      ${mayCancel(job) && html`<button type="button" class="button danger small" onClick=${then(() => cancelJob(job.id))}>${t("story.cancel")}</button>`}</div></div>`;
};

// How far it is, as the stream says it.
const Now = seen(({ id }) => {
  const one = runs(id);
  return one && html`<div class="sheet boxed slots" data-live><p class="row"><strong>${t("story.runs_on")} <${ServerLink} name=${one.server} /></strong></p><${Running} one=${one} /></div>`;
});

const Fault = ({ job }) => (job.error || job.cause) && html`<${Section} id="fault" title=${t("story.fault")}><div class="sheet boxed stack">
  ${job.error && html`<${Said} label=${t("story.message")} text=${job.error.message} />
    <${Facts} rows=${[[t("story.code"), html`<code class="mono">${job.error.code}</code>`], [t("story.node"), job.error.node_id && `${job.error.node_id} · ${or(job.error.class_type)}`]]} />`}
  ${job.cause && html`<h3>${t("story.cause")}</h3><${Said} label=${t("story.cause")} text=${job.cause} />`}</div><//>`;

const tries = () => [
  { title: t("story.attempt"), end: true, cell: (one) => number(one.number) },
  { title: t("story.server"), cell: (one) => html`<${ServerLink} name=${one.server} /> <span class="soft small">${t("story.slot", { n: one.slot + 1 })}</span>` },
  { title: t("story.outcome"), cell: (one) => html`<${Outcome} name=${one.outcome} />` },
  { title: t("story.blame"), cell: (one) => html`<${Blame} name=${one.blame} />${one.elsewhere && html` <span class="soft small">${t("story.elsewhere")}</span>`}` },
  { title: t("story.cause"), cell: (one) => html`<${Cause} text=${one.cause} />` },
  { title: t("story.claimed"), cell: (one) => html`<${At} at=${one.claimed_at_ms} />` },
  { title: t("story.began"), cell: (one) => html`<${At} at=${one.started_at_ms} />` },
  { title: t("story.left"), cell: (one) => html`<${At} at=${one.left_at_ms} />` },
  { title: t("story.ended"), cell: (one) => html`<${At} at=${one.ended_at_ms} />` },
  { title: t("story.prompt"), cell: (one) => html`<code class="mono small">${one.prompt_id}</code>` },
];

const Attempts = ({ list }) => html`<${Section} id="attempts" title=${t("story.attempts")}>${list.length
  ? html`<${Table} label=${t("story.attempts")} columns=${tries()} rows=${list} keyOf=${(one) => one.number} />` : html`<${Nothing}>${t("story.no_attempt")}<//>`}<//>`;

// Sentences of the service: they are in English whatever the page is in.
const Why = ({ story }) => html`<${Section} id="why" title=${t("story.why")}><div class="sheet boxed">
  <ul class="why" lang="en"><li><strong>${story.reason.sentence}</strong></li>${story.why.map((one, nth) => html`<li key=${nth}>${one}</li>`)}</ul></div><//>`;

const Entries = ({ story }) => html`<${Section} id="entries" title=${t("nav.credits")}>${story.entries.length
  ? html`<${Table} label=${t("nav.credits")} columns=${movements()} rows=${story.entries} keyOf=${(one) => one.id} />`
  : html`<${Nothing}>${t("story.no_entry")}<//>`}<//>`;

const files = () => [
  { title: t("story.node"), cell: (one) => html`<code class="mono">${one.node_id}</code>` },
  { title: t("story.file"), cell: (one) => html`<span class="cell clip" title=${one.file_path}>${or(one.file_path)}</span>` },
  { title: t("story.type"), cell: (one) => (one.there ? one.content_type : html`<span class="warm-ink">${t("story.not_there")}</span>`) },
  { title: t("story.size"), end: true, cell: (one) => (one.size_bytes === null ? "–" : size(one.size_bytes)) },
  { title: t("story.asset"), cell: (one) => html`<code class="mono small">${one.asset_id}</code>` },
];
const results = () => [
  { title: t("story.file"), cell: (one) => html`<span class="cell clip" title=${one.name}>${one.name}</span>` },
  { title: t("story.size"), end: true, cell: (one) => size(one.size_bytes) },
  { title: t("story.asset"), cell: (one) => html`<code class="mono small">${one.asset_id}</code>` },
];

const Files = ({ id, title, columns, list, keyOf }) => list.length > 0 && html`<${Section} id=${id} title=${title}>
  <${Table} label=${title} columns=${columns} rows=${list} keyOf=${keyOf} /><//>`;

const scores = () => [
  { title: t("story.file"), cell: (one) => html`<span class="cell clip" title=${one.name}>${one.name}</span>` },
  { title: t("story.type"), cell: (one) => one.content_type },
  { title: t("story.score"), end: true, cell: (one) => percent(one.score) },
  { title: t("story.finding"), cell: (one) => html`<span class=${`tag ${one.finding === "safe" ? "good" : "bad"}`}>${t(`story.finding_${one.finding}`)}</span>` },
];

const Wire = ({ wire }) => html`<${Sheet} id="wire" title=${t("story.wire")} rows=${[
  [t("story.graph"), t("story.graph_is", { nodes: wire.nodes, size: size(wire.graph_bytes) })],
  [t("story.deliver"), wire.deliver.length ? html`<code class="mono">${wire.deliver.join(", ")}</code>` : t("story.deliver_all")],
  [t("story.digest"), wire.workflow_digest ? html`<code class="mono small">${wire.workflow_digest}</code>` : null],
  [t("story.shape"), wire.shape ? html`<code class="mono small">${wire.shape}</code>` : null]]}>
  <ul class="row classes-list" aria-label=${t("story.classes")}>${Object.entries(wire.classes).map(([name, n]) => html`<li key=${name} class="tag">${name}${n > 1 && ` × ${count(n)}`}</li>`)}</ul><//>`;

const Id = ({ story: { job, account, retried_as: copies } }) => html`<${Sheet} id="about" title=${t("story.job")} rows=${[
  [t("story.account"), html`<${AccountLink} id=${account.id} name=${account.name} />`],
  [t("first.account_tier"), tier(account.tier)],
  [t("story.lane"), html`<a href=${jobsAt({ lane: job.lane })}>${job.lane}</a>`],
  [t("story.priority"), count(job.priority)],
  [t("story.ticket"), count(job.ticket)],
  [t("story.place"), job.queue_position > 0 ? count(job.queue_position) : null],
  [t("story.price"), price(job)],
  [t("story.created"), html`<${At} at=${job.created_at_ms} />`],
  [t("story.began"), job.started_at_ms && html`<${At} at=${job.started_at_ms} />`],
  [t("story.ended"), job.completed_at_ms && html`<${At} at=${job.completed_at_ms} />`],
  [t("story.models"), job.models ? html`<code class="mono small">${job.models}</code>` : null],
  [t("story.retry_of"), job.retry_of && html`<${JobLink} id=${job.retry_of} />`],
  ...copies.map((one) => [t("story.retried_as"), html`<${JobLink} id=${one.id} /> <${State} name=${one.status} of="status" />`]),
]} />`;

function became(told) {
  if (told.took_ms === null) return null;
  const found = told.took_ms <= told.p50_ms ? "sooner" : told.took_ms <= told.p90_ms ? "within" : "later";
  return html`${lasts(told.took_ms)} <span class=${`tag ${found === "later" ? "warm" : "good"}`} data-became=${found}>${t(`story.eta_${found}`)}</span>`;
}

const Eta = ({ eta, told }) => (eta || told) && html`<${Sheet} id="eta" title=${t("story.eta")} rows=${[
  [t("story.eta_now"), eta && t("job.eta", { likely: span(eta.p50_seconds), most: span(eta.p90_seconds) })],
  [t("story.eta_told_at"), told && html`<${At} at=${told.at_ms} />`],
  [t("story.eta_likely"), told && lasts(told.p50_ms)],
  [t("story.eta_most"), told && lasts(told.p90_ms)],
  [t("story.eta_took"), told && became(told)]]} />`;

const Told = ({ told: { telegram, waiting } }) => html`<${Sheet} id="told" title=${t("story.told")}>
  ${!telegram && !waiting.length && html`<p class="soft small">${t("story.told_nothing")}</p>`}
  ${waiting.length > 0 && html`<ul class="small">${waiting.map((one, nth) => html`<li key=${nth} class="warm-ink">${t("story.waits_to_be_told", { kind: one.kind })} <${At} at=${one.created_at_ms} /></li>`)}</ul>`}
  ${telegram && html`<${Facts} rows=${[[t("story.chat"), html`<code class="mono">${telegram.chat_id}</code>`], [t("story.follows_since"), html`<${At} at=${telegram.created_at_ms} />`],
    [t("story.told_at"), telegram.told_at_ms ? html`<${At} at=${telegram.told_at_ms} />` : t("story.not_yet")],
    [t("story.place"), telegram.place && count(telegram.place)]]} />${telegram.shown && html`<${Said} label=${t("story.told")} text=${telegram.shown} />`}`}<//>`;

const Review = ({ review, id }) => review && html`<${Sheet} id="review" title=${t("story.review")} rows=${[
  [t("story.state"), html`<a href=${`#/review/${encodeURIComponent(id)}`}><${State} name=${review.state} /></a>`], [t("story.score"), percent(review.score)],
  [t("story.until"), html`<${At} at=${review.expires_at_ms} />`]]} />`;

export const Job = seen(({ id }) => {
  const { found, gone, again } = useRead(`gate/v1/ops/jobs/${encodeURIComponent(id)}`);
  useEvents((one) => one.job_id === id, again);
  useMark(() => phase(runs(id)), again);
  if (gone.value) return html`<${Gone} text=${gone.value} />`;
  const story = found.value;
  if (!story) return html`<${Waits} />`;
  return html`<${Head} story=${story} again=${again} /><div class="story"><div class="story-main">
      <${Now} id=${id} />
      <${Section} id="times" title=${t("story.times")}><${Gantt} timeline=${story.timeline} attempts=${story.attempts} /><//>
      <${Fault} job=${story.job} /><${Attempts} list=${story.attempts} /><${Why} story=${story} /><${Entries} story=${story} />
      <${Files} id="inputs" title=${t("story.inputs")} columns=${files()} list=${story.inputs} keyOf=${(one) => `${one.node_id} ${one.asset_id}`} />
      <${Files} id="outputs" title=${t("story.outputs")} columns=${results()} list=${story.job.outputs} keyOf=${(one) => one.asset_id} />
      <${Files} id="screening" title=${t("story.screening")} columns=${scores()} list=${story.screening} keyOf=${(one) => one.position} />
    </div><div class="story-side"><${Id} story=${story} /><${Eta} eta=${story.eta} told=${story.told.eta} /><${Review} review=${story.review} id=${id} />
      <${Told} told=${story.told} /><${Wire} wire=${story.wire} /></div></div>`;
});
