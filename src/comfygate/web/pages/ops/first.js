// The first run: a server that answers, an account, a job; one step after the other, each with its test.
import { post } from "../shell/api.js";
import { attempt } from "../shell/dialog.js";
import { html, seen, signal } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { tier } from "../shell/session.js";
import { count, t } from "../shell/texts.js";
import { act, beginWith, Fields, given, missing, reveal } from "./acts.js";
import { addressOf, serverFields } from "./fleet.js";
import { Facts } from "./bits.js";
import { useEvents } from "./hear.js";
import { can, firstRun, lookAround } from "./state.js";

const url = signal("");
const trial = signal(null);
const trying = signal(false);
const refusal = signal("");

// What was found is not about another address.
function changed() {
  trial.value = null;
  refusal.value = "";
}

async function tryOut(event) {
  event.preventDefault();
  if (trying.value || !url.value.trim()) return;
  trying.value = true;
  changed();
  await attempt(async () => {
    try {
      trial.value = await post("gate/v1/ops/server-trials", { url: addressOf(url.value) });
    } catch (error) {
      if (error.field !== "url") throw error;
      refusal.value = error.message;
    }
  });
  trying.value = false;
}

const Trial = ({ found }) => html`<div class=${`banner ${found.usable ? "good" : "bad"}`} role="status" data-usable=${String(found.usable)}>
  <${Icon} name=${found.usable ? "done" : "failed"} /><div class="grow"><strong>${found.says}</strong> ${found.advice}
  ${found.usable && html`<${Facts} rows=${[[t("first.devices"), found.devices.join(", ") || "–"],
    [t("first.models"), `${found.models.slice(0, 6).join(", ") || "–"}${found.models.length > 6 ? ` … (${count(found.models.length + found.models_left_out)})` : ""}`]]} />`}</div></div>`;

const fields = () => serverFields().filter((one) => one.name !== "url").map((one) => (one.name === "lanes"
  ? { ...one, value: firstRun.value.lanes.filter((lane) => !lane.has_server).map((lane) => lane.name) } : one));
let asked = null;
const values = signal({});
const faults = signal({});

async function add(event) {
  event.preventDefault();
  faults.value = missing(asked, values.value);
  if (Object.keys(faults.value).length) return;
  await attempt(async () => {
    try {
      const sent = given(asked, values.value);
      await post("gate/v1/ops/servers", { ...sent, ahead: Number(sent.ahead), url: addressOf(url.value) });
    } catch (error) {
      if (error.field) faults.value = { [error.field]: error.message };
      throw error;
    }
    await lookAround();
  });
}

const Server = seen(() => {
  if (!asked) {
    asked = fields();
    values.value = { ...beginWith(asked), name: "gpu-1" };
  }
  return html`<form class="row first-url" onSubmit=${tryOut}><label class="field grow" for="first-url"><span class="label">${t("fleet.url")}</span>
      <input id="first-url" class="input" value=${url.value} maxlength="2000" placeholder="127.0.0.1:8188" autocomplete="off" aria-invalid=${refusal.value ? "true" : null} aria-describedby="first-refusal"
        onInput=${(event) => { url.value = event.target.value; changed(); }} /></label>
    <button type="submit" class="button" disabled=${trying.value || !url.value.trim()}>${trying.value ? t("first.trying") : t("first.try")}</button></form>
    <p id="first-refusal" class="fault" role="alert" hidden=${!refusal.value}>${refusal.value}</p>
    ${trial.value && html`<${Trial} found=${trial.value} />`}
    ${trial.value?.usable && html`<form class="first-add" onSubmit=${add}><${Fields} fields=${asked} values=${values} faults=${faults} />
      <div class="row end"><button type="submit" class="button">${t("fleet.add")}</button></div></form>`}`;
});

// Makes an account; its key is shown once.
export async function addAccount() {
  const made = await act({
    title: t("first.account_title"), text: t("first.account_about"), confirm: t("first.account_make"), done: null,
    fields: [
      { name: "name", label: t("first.account_name"), required: true, most: 200 },
      { name: "tier", label: t("first.account_tier"), kind: "select", options: firstRun.value.tiers.map((name) => [name, tier(name)]), value: firstRun.value.tiers.includes("regular") ? "regular" : firstRun.value.tiers[0] },
      { name: "credits", label: t("first.account_credits"), kind: "number", least: 0, value: 0 },
    ],
    work: (sent) => post("gate/v1/ops/accounts", sent),
  });
  if (!made) return null;
  await reveal({ title: t("first.key_title", { name: made.name }), text: t("first.key_text"), secret: made.api_key });
  await lookAround();
  return made;
}

const STEPS = ["server", "account", "job"];

const Step = ({ name, at, step, children }) => html`<li class="first-step" aria-current=${name === step ? "step" : null} data-done=${String(at < STEPS.indexOf(step))}>
  <span class="first-mark">${at < STEPS.indexOf(step) ? html`<${Icon} name="done" size=${16} />` : at + 1}</span>
  <div class="grow"><h3>${t(`first.${name}`)}</h3>${name === step && html`<p class="soft">${t(`first.${name}_text`)}</p>${children}`}</div></li>`;

const Needs = ({ operation, children }) => (can(operation) ? children : html`<p class="banner warm">${t("first.needs_admin")}</p>`);

export const FirstRun = seen(() => {
  const step = firstRun.value.next_step;
  // Whoever takes a step, and by whichever way: it is seen here.
  useEvents((one) => one.kind === "operation" || one.kind.startsWith("job."), () => attempt(lookAround));
  return html`<section class="sheet first" aria-labelledby="first"><h2 id="first">${t("first.title")}</h2><p class="soft">${t("first.lead")}</p>
    <ol><${Step} name="server" at=${0} step=${step}><${Needs} operation="servers.add"><${Server} /><//><//>
      <${Step} name="account" at=${1} step=${step}><${Needs} operation="accounts.add"><button type="button" class="button" onClick=${addAccount}>${t("first.account_make")}</button><//><//>
      <${Step} name="job" at=${2} step=${step}><p class="row"><a class="button" href="studio">${t("first.open_studio")}</a>
        <button type="button" class="button quiet" onClick=${() => attempt(lookAround)}>${t("first.look_again")}</button></p><//></ol></section>`;
});
