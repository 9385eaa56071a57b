// Everybody's jobs. What is asked for stands in the address: `#/jobs/status=failed/account=Ann`.
import { go } from "../shell/frame.js";
import { html, seen, useEffect, useSignal } from "../shell/html.js";
import { t } from "../shell/texts.js";
import { asked, askedAt, askFor } from "./asked.js";
import { AccountLink, JobLink, Listing, Nothing, number, ServerLink, Since, State, useRead, Waits, When } from "./bits.js";
import { useEvents } from "./hear.js";
import { lanes } from "./state.js";
import { Blame, lasts, made, or, price } from "./telling.js";

const STATUSES = ["queued", "running", "canceling", "succeeded", "failed", "canceled", "expired"];
const OPEN = "queued,running,canceling";

export const jobsAt = (query) => askedAt("jobs", query);

const Took = ({ job }) => {
  if (!job.completed_at_ms) return html`<${Since} at=${job.created_at_ms} />`;
  const title = job.started_at_ms ? t("story.waited_ran", { waited: lasts(job.started_at_ms - job.created_at_ms), ran: lasts(job.completed_at_ms - job.started_at_ms) }) : null;
  return html`<span title=${title}>${lasts(job.completed_at_ms - job.created_at_ms)}</span>`;
};

const columns = (ofOne) => [
  { title: t("story.job"), cell: (job) => html`<${JobLink} id=${job.id} /> <span class="soft small number">${t("story.ticket_short", { n: job.ticket })}</span>` },
  ...(ofOne ? [] : [{ title: t("story.account"), cell: (job) => html`<span class="cell clip"><${AccountLink} id=${job.account_id} name=${job.account_name} /></span>` }]),
  { title: t("story.lane"), cell: (job) => job.lane },
  { title: t("story.made_with"), cell: (job) => html`<span class="cell clip" title=${made(job)}>${made(job)}</span>` },
  { title: t("story.state"), cell: (job) => html`<${State} name=${job.status} of="status" />` },
  { title: t("story.place"), end: true, cell: (job) => (job.queue_position > 0 ? number(job.queue_position) : "–") },
  { title: t("story.price"), end: true, cell: (job) => html`<span title=${price(job)}>${number(job.price)}</span>` },
  { title: t("story.server"), cell: (job) => (job.server ? html`<${ServerLink} name=${job.server} />` : "–") },
  { title: t("story.blame"), cell: (job) => (job.blame ? html`<${Blame} name=${job.blame} />` : or(job.error_code)) },
  { title: t("story.created"), cell: (job) => html`<${When} at=${job.created_at_ms} />` },
  { title: t("story.took"), end: true, cell: (job) => html`<${Took} job=${job} />` },
];

// Jobs, read again while something happens to them.
export const JobList = seen(({ query, ofOne = null }) => {
  const serial = useSignal(0);
  const mine = (one) => one.kind.startsWith("job.") && (!query.lane || one.lane === query.lane) && (!ofOne || one.account_id === ofOne);
  useEvents(mine, () => { serial.value += 1; });
  return html`<${Listing} label=${t("ops.jobs")} address="gate/v1/ops/jobs" query=${query} columns=${columns(ofOne)} keyOf=${(job) => job.id}
    none=${t("story.no_jobs")} serial=${serial.value} />`;
});

// Of one account, given by its name or id; it may not be there.
const OfAccount = seen(({ query }) => {
  const { found, gone } = useRead(`gate/v1/ops/jobs?${new URLSearchParams({ account: query.account, limit: 1 })}`);
  if (gone.value) return html`<${Nothing}>${t("story.no_account", { name: query.account })}<//>`;
  return found.value ? html`<${JobList} query=${query} />` : html`<${Waits} />`;
});

const Filters = seen(({ wanted }) => {
  const typed = useSignal("");
  const job = useSignal("");
  useEffect(() => { typed.value = wanted.account; }, [wanted.account]);
  const change = (name) => (event) => { askFor("jobs", { ...wanted, [name]: event.target.value.trim() }); };
  const find = (event) => {
    event.preventDefault();
    if (job.value.trim()) go("job", job.value.trim());
  };
  const known = [...(lanes.value?.keys() ?? [])];
  const some = wanted.status || wanted.lane || wanted.account;
  return html`<div class="filters">
    <label class="field"><span class="label">${t("story.state")}</span><select class="input" name="status" value=${wanted.status} onChange=${change("status")}>
      <option value="">${t("story.any")}</option><option value=${OPEN}>${t("story.not_ended")}</option>
      ${STATUSES.map((one) => html`<option key=${one} value=${one}>${t(`status.${one}`)}</option>`)}</select></label>
    <label class="field"><span class="label">${t("story.lane")}</span><select class="input" name="lane" value=${wanted.lane} onChange=${change("lane")}>
      <option value="">${t("story.any")}</option>
      ${[...known, ...(wanted.lane && !known.includes(wanted.lane) ? [wanted.lane] : [])].map((one) => html`<option key=${one} value=${one}>${one}</option>`)}</select></label>
    <label class="field"><span class="label">${t("story.account_of")}</span><input class="input" name="account" type="search" maxlength="200" autocomplete="off"
      value=${typed.value} onInput=${(event) => { typed.value = event.target.value; }} onChange=${change("account")} /></label>
    ${some && html`<a class="button bare small" href="#/jobs">${t("story.all")}</a>`}
    <form class="find" role="search" onSubmit=${find}><label class="field"><span class="label">${t("story.id")}</span><input class="input mono" name="job" type="search" maxlength="100"
      autocomplete="off" spellcheck="false" value=${job.value} onInput=${(event) => { job.value = event.target.value; }} /></label>
      <button type="submit" class="button quiet">${t("story.open")}</button></form></div>`;
});

export const Jobs = seen(() => {
  const { status = "", lane = "", account = "" } = asked();
  const wanted = { status, lane, account };
  const key = JSON.stringify(wanted);
  return html`<div class="lead"><h1>${t("ops.jobs")}</h1></div><${Filters} wanted=${wanted} />
    ${account ? html`<${OfAccount} key=${key} query=${wanted} />` : html`<${JobList} key=${key} query=${wanted} />`}`;
});
