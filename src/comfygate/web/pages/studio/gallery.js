// What was made: filtered, picked, downloaded, deleted. It grows at the top by itself and at the foot when asked.
import { get } from "../shell/api.js";
import { attempt } from "../shell/dialog.js";
import { batch, computed, html, seen, signal, useEffect } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { said, t } from "../shell/texts.js";
import { forget, Made } from "./card.js";
import { answered, askedNow, ended, jobs, workflows } from "./state.js";

const PAGE = 24;
const ZIP_MAX = 100;
const STATES = { succeeded: ["succeeded"], all: [], unmade: ["failed", "canceled", "expired"] };

const wanted = signal({ workflow: "", state: "succeeded" });
const listed = signal(null);
const cursor = signal(null);
const picked = signal(new Set());
const busy = signal(false);

async function load(more = false) {
  const asked = wanted.value;
  const query = new URLSearchParams({ limit: PAGE });
  for (const status of STATES[asked.state].length ? STATES[asked.state] : ["succeeded", "failed", "canceled", "expired"]) query.append("status", status);
  if (asked.workflow) query.set("workflow", asked.workflow);
  if (more && cursor.value) query.set("cursor", cursor.value);
  busy.value = true;
  const since = askedNow();
  try {
    const page = await get(`gate/v1/jobs?${query}`);
    if (asked !== wanted.value) return;
    batch(() => {
      page.jobs.forEach((job) => answered(job, since));
      listed.value = more ? [...listed.value, ...page.jobs.map((job) => job.id)] : page.jobs.map((job) => job.id);
      cursor.value = page.next_cursor;
    });
  } finally {
    busy.value = false;
  }
}

const fits = (job, { workflow, state }) => ended(job) && (!workflow || job.workflow === workflow)
  && (!STATES[state].length || STATES[state].includes(job.status));

// What was listed, and what ended since: as it is now.
const shown = computed(() => {
  if (!listed.value) return null;
  const there = new Set(listed.value);
  const oldest = listed.value.map((id) => jobs.value.get(id)?.created_at).filter(Boolean).sort()[0] ?? "";
  for (const job of jobs.value.values()) if (job.created_at >= oldest || !cursor.value) there.add(job.id);
  return [...there].map((id) => jobs.value.get(id)).filter((job) => job && fits(job, wanted.value))
    .sort((one, other) => (one.created_at < other.created_at ? 1 : -1));
});

function pick(id) {
  const all = new Set(picked.value);
  if (!all.delete(id)) all.add(id);
  picked.value = all;
}

const Bar = seen(() => {
  const chosen = (shown.value ?? []).filter((job) => picked.value.has(job.id));
  const made = (chosen.length ? chosen : shown.value ?? []).filter((job) => job.outputs.length).slice(0, ZIP_MAX);
  const zip = `gate/v1/outputs.zip?${new URLSearchParams(made.map((job) => ["job", job.id]))}`;
  return html`<div class="gallery-bar">
    <div class="row chips" role="group" aria-label=${t("gallery.which")}>${Object.keys(STATES).map((state) => html`<button key=${state} type="button" class="chip"
      aria-pressed=${String(wanted.value.state === state)} onClick=${() => { wanted.value = { ...wanted.value, state }; }}>${t(`gallery.${state}`)}</button>`)}</div>
    <label class="row small"><span class="unseen">${t("gallery.workflow")}</span><select class="input" value=${wanted.value.workflow}
      onChange=${(event) => { wanted.value = { ...wanted.value, workflow: event.target.value }; }}>
      <option value="">${t("gallery.every_workflow")}</option>
      ${(workflows.value ?? []).map((one) => html`<option key=${one.name} value=${one.name}>${said(one.title)}</option>`)}</select></label>
    <span class="grow"></span>
    ${chosen.length > 0 && html`<button type="button" class="button quiet" onClick=${() => { picked.value = new Set(); }}><${Icon} name="close" size=${16} />${t("gallery.picked", { n: chosen.length })}</button>
      <button type="button" class="button quiet" onClick=${async () => { if (await forget(chosen)) picked.value = new Set(); }}><${Icon} name="remove" />${t("button.remove")}</button>`}
    ${made.length > 0 && html`<a class="button quiet" href=${zip} download><${Icon} name="download" />${chosen.length ? t("gallery.zip_picked") : t("gallery.zip", { n: made.length })}</a>`}
  </div>`;
});

export const Gallery = seen(() => {
  useEffect(() => {
    listed.value = null;
    picked.value = new Set();
    attempt(load);
  }, [wanted.value]);
  const list = shown.value;
  return html`<div class="lead"><h1>${t("nav.gallery")}</h1><p class="soft">${t("gallery.lead")}</p></div><${Bar} />
    ${list === null ? html`<ul class="made-list" aria-busy="true">${[1, 2, 3, 4].map((n) => html`<li key=${n}><div class="skeleton made-waits"></div></li>`)}</ul>`
      : list.length ? html`<ul class="made-list">${list.map((job) => html`<li key=${job.id}><${Made} job=${job} picked=${picked.value.has(job.id)} pick=${() => pick(job.id)} /></li>`)}</ul>`
      : html`<div class="sheet empty"><${Icon} name="gallery" /><h2>${t("gallery.none")}</h2><p>${t("gallery.none_text")}</p><a class="button" href="#/">${t("gallery.begin")}</a></div>`}
    ${cursor.value && html`<p class="more"><button type="button" class="button quiet" disabled=${busy.value} onClick=${() => attempt(() => load(true))}>${t("button.more")}</button></p>`}`;
});
