// What operators did, and what came of it.
import { html, seen, useEffect, useState } from "../shell/html.js";
import { has, t } from "../shell/texts.js";
import { asked, askedAt, askFor, useSerial } from "./asked.js";
import { AccountLink, Actor, JobLink, Listing, ServerLink, shortly } from "./bits.js";
import { At } from "./telling.js";

const ACTORS = ["cli", "control", "admin", "screening"];
const NOUNS = ["accounts.", "codes.", "credits.", "jobs.", "keys.", "lanes.", "payments.", "review.", "servers."];

function told(operation, name, value) {
  if (name === "account" && typeof value === "string") return html`<span title=${value}><${AccountLink} id=${value} name=${shortly(value)} /></span>`;
  if (name === "job" && typeof value === "string") return html`<${JobLink} id=${value} />`;
  if (name === "name" && operation.startsWith("servers.")) return html`<${ServerLink} name=${value} />`;
  if (Array.isArray(value)) return value.map(String).join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}

// Arguments by name; those that were cut are no JSON any more and show as they are.
function Arguments({ one }) {
  let given = null;
  try {
    given = JSON.parse(one.arguments);
  } catch {
    return html`<div class="cell-wraps mono">${one.arguments}</div>`;
  }
  const named = Object.entries(given);
  return named.length ? html`<div class="cell-wraps arguments">${named.map(([name, value]) => html`<span key=${name}><span class="soft">${name}</span> ${told(one.operation, name, value)}</span>`)}</div>` : "–";
}

const Result = ({ one }) => (one.result === "ok" ? html`<span class="tag good">${t("audit.ok")}</span>` : html`<div class="cell-wraps warm-ink">${one.result}</div>`);

const columns = (query) => [
  { title: t("credits.when"), cell: (one) => html`<${At} at=${one.at_ms} />` },
  { title: t("audit.actor"), cell: (one) => html`<${Actor} actor=${one.actor} name=${one.actor_name} />` },
  { title: t("audit.operation"), cell: (one) => html`<a class="mono" href=${askedAt("audit", { ...query, operation: one.operation })}>${one.operation}</a>` },
  { title: t("audit.arguments"), cell: (one) => html`<${Arguments} one=${one} />` },
  { title: t("audit.result"), cell: (one) => html`<${Result} one=${one} />` },
];

const Filters = seen(({ query }) => {
  const [actor, setActor] = useState(query.actor ?? "");
  useEffect(() => setActor(query.actor ?? ""), [query.actor]);
  const nouns = query.operation && !NOUNS.includes(query.operation) ? [...NOUNS, query.operation] : NOUNS;
  const ask = (event) => {
    event.preventDefault();
    askFor("audit", { ...query, actor: actor.trim() });
  };
  return html`<form class="filters" onSubmit=${ask}>
    <div class="field"><label for="audit-operation">${t("audit.operation")}</label>
      <select id="audit-operation" class="input" value=${query.operation ?? ""} onChange=${(event) => askFor("audit", { ...query, operation: event.target.value })}>
        <option value="">${t("audit.every")}</option>${nouns.map((one) => html`<option key=${one} value=${one}>${has(`audit.noun_${one.slice(0, -1)}`) ? t(`audit.noun_${one.slice(0, -1)}`) : one}</option>`)}</select></div>
    <div class="field"><label for="audit-actor">${t("audit.actor")}</label>
      <input id="audit-actor" class="input" value=${actor} maxlength="200" list="audit-actors" autocomplete="off" placeholder=${t("audit.everybody")} onInput=${(event) => setActor(event.target.value)} />
      <datalist id="audit-actors">${ACTORS.map((one) => html`<option key=${one} value=${one}></option>`)}</datalist></div>
    <button type="submit" class="button quiet">${t("audit.ask")}</button>
    ${(query.actor || query.operation) && html`<a class="button bare" href="#/audit">${t("audit.all")}</a>`}</form>`;
});

export const Audit = seen(() => {
  const { operation, actor } = asked();
  const serial = useSerial();
  const query = { ...(operation ? { operation } : {}), ...(actor ? { actor } : {}) };
  return html`<div class="lead"><h1>${t("ops.audit")}</h1></div><p class="soft about">${t("audit.about")}</p>
    <${Filters} query=${query} />
    <${Listing} key=${JSON.stringify(query)} label=${t("ops.audit")} address="gate/v1/ops/audit" query=${query} columns=${columns(query)}
      keyOf=${(one) => one.id} none=${t("audit.none")} serial=${serial} />`;
});
