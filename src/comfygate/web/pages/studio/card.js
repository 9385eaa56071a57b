// A job as a card: where it stands, how long it still takes, what it looks like so far, and what came of it.
import { get, post, remove } from "../shell/api.js";
import { ask, attempt, note } from "../shell/dialog.js";
import { html, seen, signal, useEffect, useSignal } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { became } from "../shell/ledger.js";
import { refresh } from "../shell/session.js";
import { has, moment, said, span, t } from "../shell/texts.js";
import { addressOf, answered, askedNow, before, hide, kindOf, named, previews } from "./state.js";

const MARKS = { queued: ["waiting", "warm"], running: ["again", "accent"], canceling: ["close", "warm"], succeeded: ["done", "good"], failed: ["failed", "bad"], canceled: ["close", ""], expired: ["waiting", "bad"] };

export const titleOf = (job) => {
  const workflow = named(job.workflow);
  const style = workflow?.styles.find((one) => one.name === job.style);
  const title = workflow ? said(workflow.title) : job.workflow || t("job.own_graph");
  return style ? `${title} · ${said(style.title)}` : title;
};

export function Status({ job }) {
  const [icon, colour] = MARKS[job.status] ?? ["waiting", ""];
  return html`<span class=${`tag ${colour}`} data-status=${job.status}><${Icon} name=${icon} size=${14} />${t(`status.${job.status}`)}</span>`;
}

// What became of the credits, in the words of the ledger.
export function Money({ job }) {
  if (!job.charged) return html`<span class="tag good">${t("price.free")}</span>`;
  const words = became(job.hold, job.charged);
  return words && html`<span class=${`tag ${job.hold === "released" ? "good" : ""}`} data-hold=${job.hold}>${words}</span>`;
}

// Counts the estimate down between two words of the service.
const now = signal(Date.now());
function useClock() {
  useEffect(() => {
    const timer = setInterval(() => { now.value = Date.now(); }, 1000);
    return () => {
      clearInterval(timer);
    };
  }, []);
}

const Eta = seen(({ job }) => {
  useClock();
  if (!job.eta) return null;
  const left = job.eta.p50_seconds - (now.value - job.heard_at) / 1000;
  const most = job.eta.p90_seconds - (now.value - job.heard_at) / 1000;
  return html`<span class="soft small" data-eta>${left > 1 ? t("job.eta", { likely: span(left), most: span(Math.max(most, left)) }) : t("job.eta_soon")}</span>`;
});

const where = (job) => {
  if (job.status === "queued") return job.queue_position ? t("job.place", { place: job.queue_position }) : job.queue_position === 0 ? t("job.taken") : t("status.queued");
  if (job.status === "running") {
    const { step, steps } = job.progress ?? {};
    return `${t("job.processing")}${steps ? t("job.step", { step, steps }) : ""}`;
  }
  return t(`status.${job.status}`);
};

async function cancel(job) {
  await attempt(async () => {
    const asked = askedNow();
    answered(await post(`api/v2/jobs/${job.id}/cancel`), asked);
    refresh();
  });
}

// Why it waits, asked when somebody wants to know.
const Why = seen(({ job }) => {
  const reason = useSignal("");
  const look = () => attempt(async () => {
    const found = await get(`gate/v1/jobs/${job.id}/why`);
    reason.value = has(`why.${found.code}`) ? t(`why.${found.code}`) : found.reason;
  });
  if (reason.value) return html`<p class="small soft" role="status">${reason.value}</p>`;
  return html`<p><button type="button" class="link small" onClick=${look}>${t("job.why")}</button></p>`;
});

export const Working = seen(({ job }) => {
  const preview = previews.value.get(job.id);
  const value = job.progress?.value ?? 0;
  const running = job.status === "running" || job.status === "canceling";
  return html`<article class="sheet card working" data-job=${job.id} data-status=${job.status} aria-label=${titleOf(job)}>
    ${preview && html`<img class="preview" src=${preview} alt=${t("job.preview")} />`}
    <div class="card-body">
      <div class="row"><h3 class="grow clip">${titleOf(job)}</h3><${Status} job=${job} /></div>
      <p class="number where" data-place=${job.queue_position ?? ""}>${where(job)}</p>
      ${running && html`<div class="bar" role="progressbar" aria-label=${t("job.progress")} aria-valuemin="0" aria-valuemax="100"
        aria-valuenow=${Math.round(value * 100)}><i style=${{ transform: `scaleX(${Math.max(value, 0.02)})` }}></i></div>`}
      <div class="row"><${Eta} job=${job} /></div>
      ${job.status === "queued" && html`<${Why} job=${job} />`}
      <div class="row"><${Money} job=${job} /><span class="grow"></span>
        <button type="button" class="button quiet small" disabled=${job.status === "canceling"} onClick=${() => cancel(job)}>${t("button.cancel")}</button></div>
    </div></article>`;
});

// The words of a failure; those of the service where the pages have none of their own.
export const failure = (job) => {
  if (job.status === "canceled") return t("status.canceled");
  if (job.status === "expired") return t("job.expired");
  return has(`failed.${job.error?.code}`) ? t(`failed.${job.error.code}`) : job.error?.message ?? t("status.failed");
};

export function Output({ output, small = false }) {
  const address = addressOf(output);
  const kind = kindOf(output);
  if (kind === "image") return html`<img src=${address} alt=${output.name} loading="lazy" decoding="async" />`;
  if (kind === "video") {
    return small
      ? html`<video src=${address} muted loop playsinline preload="metadata" aria-label=${output.name}
          onMouseEnter=${(event) => event.target.play().catch(() => {})} onMouseLeave=${(event) => event.target.pause()}></video>`
      : html`<video src=${address} controls loop playsinline preload="metadata" aria-label=${output.name}></video>`;
  }
  if (kind === "audio") return html`<audio src=${address} controls preload="metadata" aria-label=${output.name}></audio>`;
  return html`<span class="no-example h3"><${Icon} name="text" size=${34} /></span>`;
}

export const Made = seen(({ job, picked = null, pick = null }) => {
  const [first] = job.outputs;
  return html`<article class="sheet card made" data-job=${job.id} data-status=${job.status} aria-label=${titleOf(job)}>
    ${first ? html`<a class="made-picture" href=${`#/job/${job.id}`} aria-label=${t("job.open", { title: titleOf(job) })}><${Output} output=${first} small />
        ${kindOf(first) === "video" && html`<span class="tag on-picture left"><${Icon} name="video" size=${14} />${t("job.clip")}</span>`}
        ${job.outputs.length > 1 && html`<span class="tag on-picture right">${t("job.outputs", { n: job.outputs.length })}</span>`}
        ${before(job) && html`<span class="tag on-picture right">${t("job.compare_short")}</span>`}</a>`
      : html`<a class="made-picture nothing" href=${`#/job/${job.id}`}><${Icon} name=${MARKS[job.status]?.[0] ?? "failed"} size=${28} /><span>${failure(job)}</span></a>`}
    ${pick && html`<label class="pick-one"><input type="checkbox" checked=${picked} aria-label=${t("gallery.pick", { title: titleOf(job) })} onChange=${pick} /></label>`}
    <div class="card-body"><h3 class="clip">${titleOf(job)}</h3>
      <div class="row">${job.status !== "succeeded" && html`<${Status} job=${job} />`}<${Money} job=${job} /><span class="grow"></span><span class="soft small">${moment(job.created_at)}</span></div></div>
  </article>`;
});

export async function forget(list) {
  const yes = await ask({ title: t("gallery.delete_title", { n: list.length }), text: t("gallery.delete_text"), confirm: t("button.remove"), danger: true });
  if (!yes) return false;
  let gone = 0;
  const done = await attempt(async () => {
    for (const job of list) {
      try {
        await remove(`gate/v1/jobs/${job.id}`);
      } catch (error) {
        if (error.status !== 404) throw error;
      }
      hide(job.id);
      gone += 1;
    }
  });
  if (done) note(t("gallery.deleted", { n: gone }));
  return done;
}
