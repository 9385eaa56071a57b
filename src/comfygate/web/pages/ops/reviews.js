// What screening held back: the list, and one result to look at and decide.
import { html, seen, useState } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { count, size, t } from "../shell/texts.js";
import { act, doPost, path } from "./acts.js";
import { asked, askedAt, useDeeds, useSerial } from "./asked.js";
import { AccountLink, Facts, Gone, JobLink, Listing, Nothing, Section, State, Table, useRead, Waits, When } from "./bits.js";
import { alerts, can } from "./state.js";
import { percent } from "./telling.js";

const STATES = ["waiting", "released", "rejected", "expired", "all"];

const reviewAt = (id) => `#/review/${encodeURIComponent(id)}`;

const columns = () => [
  { title: t("reviews.review"), cell: (one) => html`<a class="mono" href=${reviewAt(one.job_id)} title=${one.job_id}>…${one.job_id.slice(-8)}</a>` },
  { title: t("reviews.state"), cell: (one) => html`<${State} name=${one.state} />` },
  { title: t("reviews.account"), cell: (one) => html`<${AccountLink} id=${one.account_id} name=${one.account_name || one.account_id} />` },
  { title: t("reviews.score"), end: true, cell: (one) => percent(one.score) },
  { title: t("reviews.held_at"), cell: (one) => html`<${When} at=${one.created_at_ms} />` },
  { title: t("reviews.expires_at"), cell: (one) => (one.state === "waiting" ? html`<${When} at=${one.expires_at_ms} />` : "–") },
  { title: t("reviews.decided_at"), cell: (one) => html`<${When} at=${one.decided_at_ms} />` },
];

export const Reviews = seen(() => {
  const { state: wanted } = asked();
  const state = STATES.includes(wanted) ? wanted : STATES[0];
  // Somebody decided, or another number waits.
  const serial = `${useSerial("review.")} ${alerts.value.find((one) => one.key === "reviews")?.says}`;
  return html`<div class="lead"><h1 class="grow">${t("ops.reviews")}</h1>
      <nav class="row" aria-label=${t("reviews.which")}>${STATES.map((one) => html`<a key=${one} class="chip" href=${askedAt("reviews", { state: one })}
        aria-current=${one === state ? "page" : null}>${one === "all" ? t("reviews.all") : t(`state.${one}`)}</a>`)}</nav></div>
    <p class="soft about">${t("reviews.about")}</p>
    <${Listing} key=${state} label=${t("ops.reviews")} address="gate/v1/ops/reviews" query=${{ state: state === "all" ? "" : state }} columns=${columns()}
      keyOf=${(one) => one.job_id} none=${t(state === "waiting" ? "reviews.none_waiting" : "reviews.none")} serial=${serial} />`;
});

const KINDS = { image: "picture", video: "video", audio: "audio" };

// Nothing is seen before somebody wants to see it.
const Held = ({ job, number, output }) => {
  const [open, show] = useState(false);
  const at = `gate/v1/ops/reviews/${path(job)}/outputs/${number}`;
  const kind = output.content_type.split("/")[0];
  const media = { image: html`<img src=${at} alt=${output.name} />`, video: html`<video src=${at} controls=${open} preload="metadata" aria-label=${output.name}></video>`,
    audio: open && html`<audio src=${at} controls aria-label=${output.name}></audio>` }[kind];
  return html`<figure class="sheet held-one" data-output=${number} data-open=${String(open)}>
    ${output.file === null ? html`<p class="held-box gone soft">${t("reviews.not_here")}</p>` : html`<div class="held-box">
      ${media ? html`<div class="held-media" aria-hidden=${open ? null : "true"} inert=${!open}>${media}</div>` : html`<a class="button quiet" href=${at} download><${Icon} name="download" />${t("button.download")}</a>`}
      ${media && !open && html`<button type="button" class="held-veil" onClick=${() => show(true)}><span class="button"><${Icon} name="eye" />${t("reviews.show", { name: output.name })}</span></button>`}
    </div>`}
    <figcaption class="row small"><${Icon} name=${KINDS[kind] ?? "text"} size=${16} /><span class="grow clip" title=${output.name}>${output.name}</span>
      ${media && open && output.file !== null && html`<button type="button" class="button quiet small" onClick=${() => show(false)}>${t("reviews.hide")}</button>`}
      <span class="soft number">${output.content_type} · ${size(output.size_bytes)}${output.score !== null ? ` · ${percent(output.score)}` : ""}</span></figcaption></figure>`;
};

const suspicionColumns = () => [
  { title: t("reviews.suspicion"), cell: (one) => t(`person.suspicion_${one.kind}`) },
  { title: t("reviews.score"), end: true, cell: (one) => percent(one.score) },
  { title: t("reviews.job"), cell: (one) => (one.job_id ? html`<${JobLink} id=${one.job_id} />` : "–") },
  { title: t("credits.when"), cell: (one) => html`<${When} at=${one.at_ms} />` },
  { title: t("reviews.counts"), cell: (one) => (one.forgiven_at_ms ? html`<span class="soft">${t("person.forgiven_one")} <${When} at=${one.forgiven_at_ms} /></span>` : t("person.counts")) },
];

const Suspicions = seen(({ standing }) => html`<${Section} id="suspicions" title=${t("person.suspicions")}>
  ${!standing ? html`<${Waits} />` : standing.entries.length ? html`<${Table} label=${t("person.suspicions")} columns=${suspicionColumns()} rows=${standing.entries} keyOf=${(one) => one.id} />`
    : html`<${Nothing}>${t("reviews.no_suspicion")}<//>`}<//>`);

const release = (id) => act({
  title: t("reviews.release_title"), text: t("reviews.release_text"), confirm: t("reviews.release"),
  done: t("reviews.released"), work: doPost(path("reviews", id, "release")),
});
const reject = (id) => act({
  title: t("reviews.reject_title"), text: t("reviews.reject_text"), confirm: t("reviews.reject"), danger: true,
  done: t("reviews.rejected"), work: doPost(path("reviews", id, "reject")),
});

const Story = seen(({ id, found, again }) => {
  const { found: standing, again: countAgain } = useRead(`gate/v1/ops/accounts/${path(found.account_id)}/suspicions`);
  const decide = async (how) => {
    if (!await how(id)) return;
    await again();
    await countAgain();
  };
  const whose = standing.value;
  const waiting = found.state === "waiting";
  const rows = [
    [t("reviews.job"), html`<${JobLink} id=${id} />`],
    [t("reviews.account"), html`<${AccountLink} id=${found.account_id} name=${whose?.name ?? found.account_id} />`],
    [t("person.suspicions"), whose && html`${count(whose.suspicions)}${whose.disabled_at_ms ? html` · <span class="warm-ink">${t("person.disabled")}</span>` : ""}`],
    [t("reviews.score"), percent(found.score)],
    [t("reviews.held_at"), html`<${When} at=${found.created_at_ms} />`],
    [t("reviews.expires_at"), waiting ? html`<${When} at=${found.expires_at_ms} />` : null],
    [t("reviews.decided_at"), waiting ? null : html`<${When} at=${found.decided_at_ms} />`],
  ];
  return html`<p class="small"><a href="#/reviews">${t("ops.reviews")}</a></p><div class="lead" data-review=${found.state}><h1 class="grow">${t("reviews.one")}</h1><${State} name=${found.state} />
      ${waiting && can("review.release") && html`<button type="button" class="button" onClick=${() => decide(release)}>${t("reviews.release")}</button>`}
      ${waiting && can("review.reject") && html`<button type="button" class="button danger" onClick=${() => decide(reject)}>${t("reviews.reject")}</button>`}</div>
    <div class="story"><div class="story-main"><${Section} id="held" title=${t(waiting ? "reviews.outputs" : "reviews.outputs_were")}>
        <div class="held">${found.outputs.map((output, number) => html`<${Held} key=${number} job=${id} number=${number} output=${output} />`)}</div><//>
      <${Suspicions} standing=${whose} /></div>
    <div class="story-side"><${Section} id="review-facts" title=${t("reviews.facts")}><div class="sheet boxed"><${Facts} rows=${rows} /></div><//></div></div>`;
});

export const Review = seen(({ id }) => {
  const { found, gone, again } = useRead(`gate/v1/ops/reviews/${path(id)}`);
  useDeeds(["review."], again);
  if (gone.value) return html`<${Gone} text=${gone.value} />`;
  return found.value ? html`<${Story} id=${id} found=${found.value} again=${again} />` : html`<${Waits} />`;
});
