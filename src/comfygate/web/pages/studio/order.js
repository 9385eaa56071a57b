// The form of one workflow: style, files, values; the price as they change; and ordering, once however often asked.
import { oneTimeKey, post } from "../shell/api.js";
import { note } from "../shell/dialog.js";
import { go } from "../shell/frame.js";
import { batch, effect, html, seen, signal, useEffect, useMemo } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { account } from "../shell/session.js";
import { credits, said, t } from "../shell/texts.js";
import { Shown } from "./catalogue.js";
import { fault, Field, sent } from "./fields.js";
import { clear, FileField, fileOf, reuse } from "./picture.js";
import { answered, askedNow, look, named, workflows } from "./state.js";

const QUOTE_MS = 250;

// An order being made. Values that were not touched follow the style's defaults.
function draftOf(workflow) {
  return {
    workflow,
    style: signal(workflow.styles[0]?.name ?? null),
    touched: signal({}),
    files: Object.fromEntries(workflow.inputs.map((input) => [input.name, fileOf()])),
    faults: signal({}),
    tried: signal(false),
    quote: signal(null),
    refused: signal(""),
    busy: signal(false),
    key: null,
  };
}

function valueOf(draft, parameter) {
  const touched = draft.touched.value;
  if (parameter.name in touched) return touched[parameter.name];
  const style = draft.workflow.styles.find((one) => one.name === draft.style.value);
  return style?.parameters[parameter.name] ?? parameter.default ?? "";
}

function orderOf(draft) {
  const values = {};
  for (const parameter of draft.workflow.parameters) {
    const value = sent(parameter, valueOf(draft, parameter));
    if (value !== undefined) values[parameter.name] = value;
  }
  const inputs = {};
  for (const [name, file] of Object.entries(draft.files)) if (file.asset.value) inputs[name] = file.asset.value;
  return { ...(draft.style.value && { style: draft.style.value }), parameters: values, inputs };
}

function faultsOf(draft) {
  const found = {};
  for (const parameter of draft.workflow.parameters) {
    const wrong = fault(parameter, valueOf(draft, parameter));
    if (wrong) found[`parameters.${parameter.name}`] = wrong;
  }
  for (const input of draft.workflow.inputs) {
    const file = draft.files[input.name];
    if (file.state.value === "none" && input.required) found[`inputs.${input.name}`] = t(`file.needed_${input.kind}`);
  }
  return found;
}

// What the service says of a field is beside it until that is changed.
function say(draft, error) {
  if (error.field && /^(parameters|inputs)\./.test(error.field)) draft.faults.value = { ...draft.faults.value, [error.field]: error.message };
  else draft.refused.value = error.message;
}

function set(draft, name, value) {
  batch(() => {
    draft.touched.value = { ...draft.touched.value, [name]: value };
    const { [`parameters.${name}`]: _, ...others } = draft.faults.value;
    draft.faults.value = others;
    draft.refused.value = "";
    draft.key = null;
  });
}

// Asks for the price whenever what it depends on rests for a moment.
function quoting(draft) {
  let timer = null;
  let asking = null;
  const stop = effect(() => {
    const order = { style: draft.style.value, parameters: orderOf(draft).parameters };
    // The balance too: whether it is enough is part of the answer.
    void account.value.available;
    const wrong = draft.workflow.parameters.some((one) => fault(one, valueOf(draft, one)) && !(one.type === "text" && valueOf(draft, one) === ""));
    clearTimeout(timer);
    timer = setTimeout(async () => {
      asking?.abort();
      if (wrong) return;
      asking = new AbortController();
      for (const one of draft.workflow.parameters) {
        // Not written yet, and nothing of the price depends on words.
        if (one.type === "text" && order.parameters[one.name] === undefined) order.parameters[one.name] = "";
      }
      if (order.style === null) delete order.style;
      try {
        draft.quote.value = await post(`gate/v1/workflows/${encodeURIComponent(draft.workflow.name)}/quote`, order, { signal: asking.signal });
      } catch (error) {
        if (error.name === "AbortError") return;
        draft.quote.value = null;
        say(draft, error);
      }
    }, QUOTE_MS);
  });
  return () => {
    stop();
    clearTimeout(timer);
    asking?.abort();
  };
}

function toTheFirstFault() {
  setTimeout(() => {
    const place = document.querySelector(".order .fault")?.closest("[data-field]");
    place?.scrollIntoView({ block: "center", behavior: "smooth" });
    place?.querySelector("input, textarea, select, button")?.focus({ preventScroll: true });
  });
}

async function order(draft, event) {
  event.preventDefault();
  if (draft.busy.value) return;
  draft.tried.value = true;
  draft.refused.value = "";
  if (Object.keys({ ...faultsOf(draft), ...draft.faults.value }).length) {
    toTheFirstFault();
    return;
  }
  draft.busy.value = true;
  // What is still being uploaded goes along: it is waited for.
  await Promise.all(Object.values(draft.files).map((file) => file.going));
  if (Object.keys(faultsOf(draft)).length || Object.values(draft.files).some((file) => file.fault.value)) {
    draft.busy.value = false;
    toTheFirstFault();
    return;
  }
  // The same for every try of this order: however often it is sent, one job comes of it.
  draft.key ??= oneTimeKey();
  const asked = askedNow();
  try {
    const job = await post(`gate/v1/workflows/${encodeURIComponent(draft.workflow.name)}/jobs`, orderOf(draft), { key: draft.key });
    draft.key = null;
    answered({ workflow: draft.workflow.name, style: draft.style.value, charged: draft.quote.value?.charged ?? 0, hold: "placed", inputs: [], eta: null, ...job }, asked);
    look(job.id).catch(() => {});
    note(t("make.placed"));
  } catch (error) {
    if (error.code === "idempotency_key_reuse") {
      // An earlier try arrived, and its answer was lost: the job is there already.
      draft.key = null;
      note(t("make.placed_before"));
    } else {
      if (error.status) draft.key = null;
      say(draft, error);
      toTheFirstFault();
    }
  } finally {
    draft.busy.value = false;
  }
}

const Price = seen(({ draft }) => {
  const quote = draft.quote.value;
  if (!quote) return html`<div class="price"><span class="skeleton price-waits"></span></div>`;
  return html`<div class="price" aria-live="polite"><b class="number">${credits(quote.charged)}</b>
    ${quote.free && html`<span class="tag good">${t("make.free_today")}</span>`}
    ${!quote.free && quote.discount > 0 && html`<span class="tag good">${t("make.saves", { n: quote.discount })}</span>`}
    <span class="soft small">${t("credits.you_have", { n: quote.available })}</span></div>
    ${!quote.enough && html`<p class="banner warm"><${Icon} name="failed" /><span>${t("make.missing", { n: quote.charged - quote.available })}
      <a href="#/credits">${t("make.top_up")}</a></span></p>`}`;
});

const Styles = seen(({ draft }) => html`<fieldset class="field"><legend>${t("make.style")}</legend><div class="styles">
  ${draft.workflow.styles.map((style) => html`<label key=${style.name} class="style">
    <input type="radio" class="unseen" name="style" value=${style.name} checked=${draft.style.value === style.name}
      onChange=${() => { draft.style.value = style.name; draft.key = null; draft.refused.value = ""; }} />
    <span class="style-picture"><${Shown} workflow=${draft.workflow} style=${style.name} /></span>
    <span class="style-words"><span class="clip">${said(style.title)}</span>
      <span class="soft small">${style.price.credits === null ? t("price.formula") : credits(style.price.credits)}</span></span></label>`)}
</div></fieldset>`);

// Fills a draft with what a job was ordered with.
async function fill(draft, id) {
  const job = await look(id);
  if (!job) return;
  batch(() => {
    if (draft.workflow.styles.some((one) => one.name === job.style)) draft.style.value = job.style;
    draft.touched.value = { ...(job.parameters ?? {}) };
    for (const one of job.inputs) if (draft.files[one.input]) reuse(draft.files[one.input], one);
  });
}

const Form = seen(({ draft }) => {
  const { workflow } = draft;
  useEffect(() => {
    const stop = quoting(draft);
    return () => {
      stop();
      Object.values(draft.files).forEach(clear);
    };
  }, [draft]);
  const faults = { ...(draft.tried.value ? faultsOf(draft) : {}), ...draft.faults.value };
  const early = (parameter) => (parameter.name in draft.touched.value ? fault(parameter, valueOf(draft, parameter)) : null);
  const [simple, fine] = [workflow.parameters.filter((one) => one.default === null && one.type !== "seed"),
    workflow.parameters.filter((one) => one.default !== null || one.type === "seed")];
  const field = (parameter) => html`<${Field} key=${parameter.name} parameter=${parameter} value=${valueOf(draft, parameter)}
    set=${(value) => set(draft, parameter.name, value)} wrong=${faults[`parameters.${parameter.name}`] ?? early(parameter)} />`;
  return html`<form class="order sheet" noValidate onSubmit=${(event) => order(draft, event)}>
    <div class="order-head"><a class="button bare square" href="#/" aria-label=${t("button.back")}><${Icon} name="back" /></a>
      <div><h1>${said(workflow.title)}</h1><p class="soft">${said(workflow.description)}</p></div></div>
    ${workflow.inputs.map((input, at) => html`<div key=${input.name}><${FileField} input=${input} file=${draft.files[input.name]} pastes=${at === 0} />
      ${faults[`inputs.${input.name}`] && draft.files[input.name].state.value === "none" && !draft.files[input.name].fault.value
        && html`<p class="fault" role="alert" data-field=${input.name}>${faults[`inputs.${input.name}`]}</p>`}
      ${draft.faults.value[`inputs.${input.name}`] && draft.files[input.name].state.value !== "none" && html`<p class="fault" role="alert">${draft.faults.value[`inputs.${input.name}`]}</p>`}</div>`)}
    ${simple.map(field)}
    ${workflow.styles.length > 0 && html`<${Styles} draft=${draft} />`}
    ${fine.length > 0 && html`<details class="fine" open=${fine.length <= 4}><summary><${Icon} name="settings" size=${18} />${t("make.settings")}</summary>
      <div class="fine-body">${fine.map(field)}</div></details>`}
    <div class="order-foot"><${Price} draft=${draft} />
      ${draft.refused.value && html`<p class="banner bad" role="alert"><${Icon} name="failed" />${draft.refused.value}</p>`}
      <button type="submit" class="button wide" disabled=${draft.busy.value || draft.quote.value?.enough === false}>
        <${Icon} name="make" />${draft.busy.value ? t("make.placing") : t("button.make", { price: draft.quote.value ? credits(draft.quote.value.charged) : "…" })}</button></div>
  </form>`;
});

// `like`: the id of a job whose settings are taken over.
export const Order = seen(({ name, like }) => {
  const workflow = named(name);
  const draft = useMemo(() => workflow && draftOf(workflow), [workflow?.name, like]);
  useEffect(() => {
    if (draft && like) fill(draft, like).catch((error) => say(draft, error));
  }, [draft]);
  if (!workflows.value) return html`<div class="sheet order"><div class="skeleton entry-waits"></div></div>`;
  if (!draft) {
    return html`<div class="sheet empty"><${Icon} name="failed" /><h1>${t("make.unknown")}</h1>
      <button type="button" class="button" onClick=${() => go()}>${t("make.all")}</button></div>`;
  }
  return html`<${Form} key=${`${workflow.name} ${like ?? ""}`} draft=${draft} />`;
});
