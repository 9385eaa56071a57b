// What operators do: a question with the fields it needs, the deed, and a word that it was done.
import { post, remove } from "../shell/api.js";
import { ask, attempt, note } from "../shell/dialog.js";
import { html, seen, signal, useState } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { t } from "../shell/texts.js";

const TYPES = { text: "text", number: "number", search: "search" };

const Control = ({ field, values, fault }) => {
  const id = `act-${field.name}`;
  const set = (value) => { values.value = { ...values.value, [field.name]: value }; };
  const common = {
    id, name: field.name, class: "input", required: field.required,
    "aria-describedby": `${id}-hint`, "aria-invalid": fault ? "true" : null,
  };
  const value = values.value[field.name];
  if (field.kind === "select") {
    return html`<select ...${common} value=${value} onChange=${(event) => set(event.target.value)}>
      ${field.options.map(([one, label]) => html`<option key=${one} value=${one}>${label}</option>`)}</select>`;
  }
  if (field.kind === "many") {
    return html`<span class="row" role="group" aria-labelledby=${`${id}-label`}>${field.options.map(([one, label]) => html`
      <label key=${one} class="chip pick"><input type="checkbox" class="unseen" checked=${value.includes(one)}
        onChange=${(event) => set(event.target.checked ? [...value, one] : value.filter((other) => other !== one))} />${label}</label>`)}</span>`;
  }
  if (field.kind === "area") {
    return html`<textarea ...${common} maxlength=${field.most} onInput=${(event) => set(event.target.value)}>${value}</textarea>`;
  }
  if (field.kind === "check") {
    return html`<input id=${id} type="checkbox" checked=${value} onChange=${(event) => set(event.target.checked)} />`;
  }
  return html`<input ...${common} type=${TYPES[field.kind ?? "text"]} value=${value} min=${field.least} max=${field.kind === "number" ? field.most : null}
    maxlength=${field.kind === "number" ? null : field.most} autocomplete="off" placeholder=${field.example}
    onInput=${(event) => set(event.target.value)} />`;
};

// Fields under one another. `fields`: {name, label, kind, value, required, options, hint, least, most, example}; kinds are
// text, number, select, many, area and check. `faults` holds what is wrong by the field's name.
export const Fields = seen(({ fields, values, faults }) => html`<div class="act-fields">${fields.map((field) => {
  const fault = faults.value[field.name];
  const label = field.kind === "many" ? html`<span class="label" id=${`act-${field.name}-label`}>${field.label}</span>`
    : html`<label for=${`act-${field.name}`}>${field.label}</label>`;
  return html`<div key=${field.name} class=${field.kind === "check" ? "field checked" : "field"}>${label}
    <${Control} field=${field} values=${values} fault=${fault} />
    <p class="hint" id=${`act-${field.name}-hint`} hidden=${!field.hint}>${field.hint}</p>
    <p class="fault" hidden=${!fault}>${fault}</p></div>`;
})}</div>`);

const EMPTY = { check: false, many: [] };
export const beginWith = (fields) => Object.fromEntries(fields.map((one) => [one.name, one.value ?? EMPTY[one.kind] ?? ""]));

// Values as the service takes them; what was left empty is not sent.
export function given(fields, values) {
  const sent = {};
  for (const field of fields) {
    const value = values[field.name];
    if (field.kind === "number") {
      if (value !== "") sent[field.name] = Number(value);
    } else if (field.kind === "many" || field.kind === "check" || value !== "") sent[field.name] = value;
  }
  return sent;
}

// What is missing, by field.
export function missing(fields, values) {
  const found = {};
  for (const field of fields) {
    const value = values[field.name];
    if (field.required && (value === "" || (field.kind === "many" && !value.length))) found[field.name] = t("act.missing");
    else if (field.kind === "number" && value !== "" && !Number.isSafeInteger(Number(value))) found[field.name] = t("act.whole");
  }
  return found;
}

class Incomplete extends Error {}

// Asks, does, and says that it was done. `work` gets the values of the fields; its answer is returned, or null where the
// person thought better of it. What the service refuses is said in the question, at its field if it names one.
export async function act({ title, text, confirm, otherwise = t("act.otherwise"), danger = false, fields = [], done = t("act.done"), work }) {
  const values = signal(beginWith(fields));
  const faults = signal({});
  let answer = null;
  const yes = await ask({
    title, text, confirm, otherwise, danger,
    more: fields.length ? html`<${Fields} fields=${fields} values=${values} faults=${faults} />` : null,
    work: async () => {
      faults.value = missing(fields, values.value);
      if (Object.keys(faults.value).length) throw new Incomplete(t("act.look"));
      answer = await work(given(fields, values.value));
    },
    refused: (error) => {
      if (!fields.some((one) => one.name === error.field)) return null;
      faults.value = { [error.field]: error.message };
      return t("act.look");
    },
  });
  if (!yes) return null;
  if (done) note(done);
  return answer ?? {};
}

export const doPost = (address) => (sent) => post(`gate/v1/ops/${address}`, sent);
export const doRemove = (address) => () => remove(`gate/v1/ops/${address}`);
export const path = (...pieces) => pieces.map(encodeURIComponent).join("/");

const Secret = ({ secret }) => {
  // Said on the button: a note would be below the question.
  const [copied, setCopied] = useState(false);
  const copy = () => attempt(async () => {
    await navigator.clipboard.writeText(secret);
    setCopied(true);
  });
  return html`<div class="secret"><code>${secret}</code>
    ${globalThis.isSecureContext && html`<button type="button" class="button quiet small" onClick=${copy}><${Icon} name="copy" size=${16} />${t(copied ? "act.copied" : "act.copy")}</button>`}</div>`;
};

// Shows what is shown this once: a key, a code.
export const reveal = ({ title, text, secret }) => ask({ title, text, confirm: t("act.kept"), otherwise: t("act.close"), more: html`<${Secret} secret=${secret} />` });
