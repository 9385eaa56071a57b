// What can be made: every workflow with an example and its price.
import { html, seen, signal } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { account } from "../shell/session.js";
import { count, said, t } from "../shell/texts.js";
import { workflows } from "./state.js";

// The least that an order costs, in words. A formula may come to anything.
function priceFrom(workflow) {
  const prices = [workflow.price, ...workflow.styles.map((style) => style.price)].slice(workflow.styles.length ? 1 : 0);
  const fixed = prices.filter((price) => price.credits !== null).map((price) => price.credits);
  if (fixed.length < prices.length) return t("price.formula");
  const least = Math.min(...fixed);
  if (fixed.every((one) => one === least)) return least ? t("price.n", { n: least }) : t("price.free");
  return least ? t("price.from", { n: t("price.n", { n: least }) }) : t("price.from_free");
}

export const example = (workflow, style = "") => (workflow.examples.includes(style)
  ? `gate/v1/workflows/${encodeURIComponent(workflow.name)}/example${style ? `?style=${encodeURIComponent(style)}` : ""}` : null);

const HUES = ["h1", "h2", "h3", "h4", "h5"];
const hue = (name) => HUES[[...name].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % HUES.length];

export const Shown = ({ workflow, style = "" }) => {
  const address = example(workflow, style) || example(workflow) || example(workflow, workflow.examples[0] ?? "");
  if (address) return html`<img src=${address} alt="" loading="lazy" decoding="async" />`;
  const icon = workflow.lane === "video" ? "video" : workflow.inputs.length ? "picture" : "make";
  return html`<span class=${`no-example ${hue(workflow.name)}`}><${Icon} name=${icon} size=${34} /></span>`;
};

const wanted = signal("all");
const KINDS = {
  all: () => true,
  picture: (one) => one.inputs.some((input) => input.kind === "image") && one.lane !== "video",
  text: (one) => !one.inputs.length,
  video: (one) => one.lane === "video",
};

const Entry = ({ workflow }) => html`<li><a class="entry sheet" href=${`#/make/${encodeURIComponent(workflow.name)}`}>
  <span class="entry-picture"><${Shown} workflow=${workflow} />
    ${workflow.styles.length > 1 && html`<span class="tag on-picture">${t("make.styles", { n: workflow.styles.length })}</span>`}</span>
  <span class="entry-words"><strong>${said(workflow.title)}</strong>
    <span class="soft small clamp">${said(workflow.description)}</span>
    <span class="tag accent">${priceFrom(workflow)}</span></span></a></li>`;

export const Catalogue = seen(() => {
  const all = workflows.value;
  if (!all) return html`<ul class="entries" aria-busy="true">${[1, 2, 3, 4].map((n) => html`<li key=${n}><div class="skeleton entry-waits"></div></li>`)}</ul>`;
  const kinds = Object.keys(KINDS).filter((kind) => all.some(KINDS[kind]));
  const shown = all.filter(KINDS[wanted.value]);
  return html`
    <div class="lead"><h1>${t("make.title", { name: account.value.name })}</h1><p class="soft">${t("make.lead")}</p></div>
    ${kinds.length > 2 && html`<div class="row chips" role="group" aria-label=${t("make.kinds")}>
      ${kinds.map((kind) => html`<button key=${kind} type="button" class="chip" aria-pressed=${String(wanted.value === kind)}
        onClick=${() => { wanted.value = kind; }}>${t(`make.kind_${kind}`)} <span class="soft">${count(all.filter(KINDS[kind]).length)}</span></button>`)}</div>`}
    ${shown.length ? html`<ul class="entries">${shown.map((one) => html`<${Entry} key=${one.name} workflow=${one} />`)}</ul>`
      : html`<div class="sheet empty"><${Icon} name="make" /><h2>${t("make.none")}</h2><p>${t("make.none_text")}</p></div>`}`;
});
