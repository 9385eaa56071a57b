// One field for each kind of parameter, made from the manifest; what it does not allow is said beside it.
import { html } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { count, said, t } from "../shell/texts.js";

const CHIPS_MAX = 6;

// What is wrong with a value, in words; null if nothing. The service judges again.
export function fault(parameter, value) {
  const empty = value === "" || value === null || value === undefined;
  if (parameter.type === "text") {
    if (empty && parameter.default === null) return t("field.missing");
    return String(value ?? "").length > parameter.chars_max ? t("field.too_long", { n: parameter.chars_max }) : null;
  }
  if (parameter.type === "choice") return empty ? t("field.missing") : null;
  if (parameter.type === "bool") return null;
  if (empty) return parameter.type === "seed" ? null : t("field.missing");
  const number = Number(value);
  if (!Number.isFinite(number)) return t("field.number");
  if (parameter.type !== "float" && !Number.isInteger(number)) return t("field.whole");
  const low = parameter.min ?? (parameter.type === "seed" ? 0 : null);
  const high = parameter.max ?? (parameter.type === "seed" ? Number.MAX_SAFE_INTEGER : null);
  if ((low !== null && number < low) || (high !== null && number > high)) return t("field.range", { low, high });
  const steps = parameter.step ? (number - (low ?? 0)) / parameter.step : 0;
  return Math.abs(steps - Math.round(steps)) > 1e-6 ? t("field.step", { low: low ?? 0, step: parameter.step }) : null;
}

// The value as the service takes it; undefined leaves it to the service.
export function sent(parameter, value) {
  if (value === "" || value === null || value === undefined) return parameter.type === "text" && value === "" ? "" : undefined;
  return ["int", "float", "seed"].includes(parameter.type) ? Number(value) : value;
}

const finest = (parameter) => parameter.step ?? (parameter.type === "int" ? 1 : (parameter.max - parameter.min) / 100);

function Number_({ parameter, value, set, id, described, wrong }) {
  const slides = parameter.min !== null && parameter.max !== null;
  const set_ = (event) => set(event.target.value);
  return html`<div class="number-field">
    ${slides && html`<input type="range" min=${parameter.min} max=${parameter.max} step=${finest(parameter)} value=${value}
      aria-label=${said(parameter.title)} onInput=${set_} />`}
    <input id=${id} class="input number" type="number" inputmode="decimal" min=${parameter.min} max=${parameter.max}
      step=${parameter.step ?? (parameter.type === "int" ? 1 : "any")} value=${value} aria-describedby=${described}
      aria-invalid=${wrong} onInput=${set_} /></div>`;
}

function Text({ parameter, value, set, id, described, wrong }) {
  return html`<textarea id=${id} class="input" rows=${parameter.chars_max > 200 ? 4 : 2} value=${value} aria-describedby=${described}
    aria-invalid=${wrong} onInput=${(event) => set(event.target.value)}></textarea>`;
}

function Bool({ parameter, value, set, id }) {
  return html`<label class="switch"><input id=${id} type="checkbox" role="switch" checked=${Boolean(value)}
    onChange=${(event) => set(event.target.checked)} /><span>${said(parameter.title)}</span></label>`;
}

function Choice({ parameter, value, set, id, described, wrong }) {
  if (parameter.choices.length > CHIPS_MAX) {
    return html`<select id=${id} class="input" aria-describedby=${described} aria-invalid=${wrong} value=${String(value)}
      onChange=${(event) => set(parameter.choices[event.target.selectedIndex])}>
      ${parameter.choices.map((choice) => html`<option key=${choice} value=${String(choice)} selected=${choice === value}>${String(choice)}</option>`)}</select>`;
  }
  return html`<div class="row chips">${parameter.choices.map((choice) => html`<label key=${choice} class="chip pick">
    <input type="radio" class="unseen" name=${id} checked=${choice === value} onChange=${() => set(choice)} />${String(choice)}</label>`)}</div>`;
}

function Seed({ value, set, id, described, wrong }) {
  return html`<div class="row seed"><input id=${id} class="input number grow" inputmode="numeric" placeholder=${t("field.random")} value=${value ?? ""}
    aria-describedby=${described} aria-invalid=${wrong} onInput=${(event) => set(event.target.value.trim())} />
    <button type="button" class="button quiet" onClick=${() => set("")}><${Icon} name="dice" />${t("button.random")}</button></div>`;
}

const KINDS = { int: Number_, float: Number_, text: Text, bool: Bool, choice: Choice, seed: Seed };

// `wrong`: what the form or the service says of this field.
export function Field({ parameter, value, set, wrong }) {
  const id = `field-${parameter.name}`;
  const Kind = KINDS[parameter.type];
  const chips = parameter.type === "choice" && parameter.choices.length <= CHIPS_MAX;
  const kind = html`<${Kind} parameter=${parameter} value=${value} set=${set} id=${id} described=${`${id}-said`} wrong=${wrong ? "true" : null} />`;
  const below = html`<div id=${`${id}-said`} class="row">
    ${wrong && html`<span class="fault" role="alert">${wrong}</span>`}
    ${parameter.type === "text" && html`<span class="hint number">${count(String(value ?? "").length)} / ${count(parameter.chars_max)}</span>`}</div>`;
  if (chips) return html`<fieldset class="field" data-field=${parameter.name}><legend>${said(parameter.title)}</legend>${kind}${below}</fieldset>`;
  return html`<div class="field" data-field=${parameter.name}>
    ${parameter.type !== "bool" && html`<label for=${id}>${said(parameter.title)}</label>`}${kind}${below}</div>`;
}
