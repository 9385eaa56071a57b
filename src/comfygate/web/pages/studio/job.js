// One job, large: what came of it, before and after, what it was made with, and what to do with it.
import { ask, attempt, note } from "../shell/dialog.js";
import { oneTimeKey, post } from "../shell/api.js";
import { go } from "../shell/frame.js";
import { html, seen, useEffect, useSignal } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { moment, said, t } from "../shell/texts.js";
import { failure, forget, Money, Output, Status, titleOf, Working } from "./card.js";
import { Compare } from "./compare.js";
import { addressOf, answered, askedNow, before, ended, jobs, kindOf, look, named } from "./state.js";

async function once_more(job) {
  const inputs = Object.fromEntries(job.inputs.map((one) => [one.input, one.asset_id]));
  const { seed: _, ...parameters } = job.parameters;
  const workflow = named(job.workflow);
  const seeds = workflow.parameters.filter((one) => one.type === "seed").map((one) => one.name);
  for (const name of seeds) delete parameters[name];
  const order = { ...(job.style && { style: job.style }), parameters, inputs };
  const path = `gate/v1/workflows/${encodeURIComponent(job.workflow)}`;
  const quote = await post(`${path}/quote`, order);
  const price = quote.charged ? t("price.n", { n: quote.charged }) : t("price.free");
  const key = oneTimeKey();
  if (!(await ask({ title: t("job.again_title"), text: t("job.again_text", { price }), confirm: t("button.make", { price }) }))) return;
  const asked = askedNow();
  const made = await post(`${path}/jobs`, order, { key });
  answered({ workflow: job.workflow, style: job.style, charged: quote.charged, hold: "placed", inputs: job.inputs, eta: null, ...made }, asked);
  note(t("make.placed"));
  go("job", made.id);
}

const Values = ({ job }) => {
  const workflow = named(job.workflow);
  const known = workflow?.parameters.filter((one) => job.parameters && one.name in job.parameters) ?? [];
  return html`<dl class="facts">
    ${known.map((one) => html`<div key=${one.name}><dt>${said(one.title)}</dt><dd>${String(job.parameters[one.name])}</dd></div>`)}
    <div><dt>${t("job.ordered")}</dt><dd>${moment(job.created_at)}</dd></div>
    ${ended(job) && html`<div><dt>${t("job.ended")}</dt><dd>${moment(job.completed_at)}</dd></div>`}
    ${ended(job) && html`<div><dt>${t("job.kept_until")}</dt><dd>${moment(job.expires_at)}</dd></div>`}
  </dl>`;
};

const Results = ({ job }) => {
  const old = before(job);
  if (old) return html`<${Compare} before=${old} after=${addressOf(job.outputs[0])} alt=${job.outputs[0].name} />`;
  return html`<div class="results">${job.outputs.map((one) => html`<figure key=${one.id}><${Output} output=${one} />
    ${!["image", "video", "audio"].includes(kindOf(one)) && html`<figcaption><a href=${addressOf(one)}>${one.name}</a></figcaption>`}</figure>`)}</div>`;
};

const Ended = ({ job }) => {
  const orderable = named(job.workflow) && job.parameters && named(job.workflow).inputs.every((input) => !input.required || job.inputs.some((one) => one.input === input.name));
  return html`<div class="job">
    <div class="job-results sheet">${job.outputs.length ? html`<${Results} job=${job} />`
      : html`<div class="empty"><${Icon} name="failed" /><h2>${t(`status.${job.status}`)}</h2><p>${failure(job)}</p></div>`}</div>
    <aside class="sheet job-side">
      <div class="row"><a class="button bare square" href="#/gallery" aria-label=${t("button.back")}><${Icon} name="back" /></a><h1 class="grow">${titleOf(job)}</h1></div>
      <div class="row"><${Status} job=${job} /><${Money} job=${job} /></div>
      ${job.error && html`<p class="banner bad">${failure(job)}</p>`}
      <${Values} job=${job} />
      <div class="stack">
        ${job.outputs.map((one) => html`<a key=${one.id} class="button" href=${addressOf(one)} download=${one.name}><${Icon} name="download" />
          <span class="clip">${job.outputs.length > 1 ? one.name : t("button.download")}</span></a>`)}
        ${orderable && html`<button type="button" class="button quiet" onClick=${() => attempt(() => once_more(job))}><${Icon} name="again" />${t("button.once_more")}</button>`}
        ${named(job.workflow) && html`<a class="button quiet" href=${`#/make/${encodeURIComponent(job.workflow)}/${job.id}`}><${Icon} name="settings" />${t("button.change")}</a>`}
        <button type="button" class="button quiet" onClick=${async () => { if (await forget([job])) go("gallery"); }}><${Icon} name="remove" />${t("button.remove")}</button>
      </div></aside></div>`;
};

export const Job = seen(({ id }) => {
  const gone = useSignal(false);
  const job = jobs.value.get(id);
  const status = job?.status;
  useEffect(() => {
    // With what it was ordered with, which lists do not carry; and anew once it ended.
    attempt(async () => { gone.value = (await look(id)) === null; });
  }, [id, status]);
  if (job) return ended(job) ? html`<${Ended} job=${job} />` : html`<div class="narrow"><a class="button bare" href="#/"><${Icon} name="back" />${t("nav.make")}</a><${Working} job=${job} /></div>`;
  if (gone.value) {
    return html`<div class="sheet empty"><${Icon} name="failed" /><h1>${t("job.gone")}</h1><p>${t("job.gone_text")}</p>
      <a class="button" href="#/gallery">${t("nav.gallery")}</a></div>`;
  }
  return html`<div class="skeleton entry-waits" aria-busy="true"></div>`;
});
