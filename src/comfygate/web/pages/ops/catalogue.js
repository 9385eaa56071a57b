// The catalogue as the service has it: what is served, and what is refused and why.
import { route } from "../shell/frame.js";
import { html, seen, useState } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { tier } from "../shell/session.js";
import { count, credits, said, size, t } from "../shell/texts.js";
import { path } from "./acts.js";
import { Facts, Gone, Nothing, Section, Table, useRead, Waits } from "./bits.js";

const at = (name) => `#/catalogue/${encodeURIComponent(name)}`;
const Price = ({ price }) => (price.credits === null ? html`<code class="mono" title=${t("price.formula")}>${price.formula}</code>` : credits(price.credits));
const tiers = (one) => one.tiers.map(tier).join(", ") || t("catalogue.every_tier");

// Files as seen from the catalogue's folder.
const within = (folder, file) => (file.startsWith(folder) ? file.slice(folder.length + 1) : file);

const Refused = ({ one, folder }) => html`<li class="sheet refused" data-refused=${one.name}>
  <div class="row"><${Icon} name="failed" /><h3 class="grow">${one.served ? html`<a href=${at(one.name)}>${one.name}</a>` : one.name}</h3>
    <span class=${`tag ${one.served ? "warm" : "bad"}`}>${one.served ? t("catalogue.served_before") : t("catalogue.not_served")}</span></div>
  <ul class="faults">${one.faults.map((fault, nth) => html`<li key=${nth}><p class="mono small soft">${within(folder, fault.file)}${fault.key && ` · ${fault.key}`}</p><p>${fault.reason}</p></li>`)}</ul></li>`;

const columns = () => [
  { title: t("catalogue.workflow"), cell: (one) => html`<a href=${at(one.name)}>${said(one.title)}</a> <span class="mono small soft">${one.name}</span>` },
  { title: t("plots.lane"), cell: (one) => one.lane },
  { title: t("catalogue.price"), cell: (one) => html`<${Price} price=${one.price} />` },
  { title: t("catalogue.styles"), end: true, cell: (one) => count(one.styles.length) },
  { title: t("catalogue.inputs"), end: true, cell: (one) => count(one.inputs.length) },
  { title: t("catalogue.parameters"), end: true, cell: (one) => count(one.parameters.length) },
  { title: t("catalogue.tiers"), cell: tiers },
];

const List = seen(() => {
  const { found, again } = useRead("gate/v1/ops/workflows");
  const [search, setSearch] = useState("");
  const all = found.value;
  if (!all) return html`<h1>${t("ops.catalogue")}</h1><${Waits} />`;
  const wanted = search.trim().toLowerCase();
  const rows = all.workflows.filter((one) => [one.name, one.title.en, one.title.zh, one.lane].some((text) => text.toLowerCase().includes(wanted)));
  return html`<div class="lead"><h1 class="grow">${t("ops.catalogue")}</h1><button type="button" class="button quiet small" onClick=${again}><${Icon} name="again" size=${16} />${t("first.look_again")}</button></div>
    <p class="soft about">${t("catalogue.about")} <code class="mono">${all.folder}</code></p>
    <div class="records">${all.refused.length > 0 && html`<${Section} id="refused" title=${t("catalogue.refused", { n: all.refused.length })}>
      <ul class="grid-gap">${all.refused.map((one) => html`<${Refused} key=${one.name} one=${one} folder=${all.folder} />`)}</ul><//>`}
    <${Section} id="served" title=${t("catalogue.served", { n: all.workflows.length })} tools=${html`<label class="unseen" for="catalogue-search">${t("catalogue.search")}</label>
      <input id="catalogue-search" class="input short" type="search" value=${search} placeholder=${t("catalogue.search")} onInput=${(event) => setSearch(event.target.value)} />`}>
      ${rows.length ? html`<${Table} label=${t("ops.catalogue")} columns=${columns()} rows=${rows} keyOf=${(one) => one.name} />` : html`<${Nothing}>${t("catalogue.none")}<//>`}<//></div>`;
});

const shown = (value) => (value === null || value === undefined ? "–" : typeof value === "string" ? value : JSON.stringify(value));
const name = (one) => html`<span class="mono">${one.name}</span>`;
const title = (one) => said(one.title);
const wraps = (text) => html`<div class="cell-wraps">${text}</div>`;

function range(one) {
  if (one.choices) return wraps(one.choices.map(shown).join(", "));
  if (one.chars_max) return t("catalogue.chars", { n: one.chars_max });
  if (one.min === null && one.max === null) return "–";
  return t("catalogue.range", { low: shown(one.min), high: shown(one.max) });
}

const Part = ({ id, of, rows, columns }) => rows.length > 0 && html`<${Section} id=${id} title=${of}><${Table} label=${of} columns=${columns} rows=${rows} keyOf=${(one) => one.name} /><//>`;

// How often each class of node is in a graph.
function classesOf(graph) {
  const found = new Map();
  for (const node of Object.values(graph)) found.set(node.class_type, (found.get(node.class_type) ?? 0) + 1);
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1));
}

const Graph = ({ one }) => html`<${Section} id="graph" title=${t("catalogue.graph")}>
  <div class="sheet boxed grid-gap"><${Facts} rows=${[[t("catalogue.nodes"), count(Object.keys(one.graph).length)], [t("catalogue.delivers"), one.deliver.map((node) => `${node} ${one.graph[node]?.class_type ?? ""}`).join(", ") || t("catalogue.every_output")]]} />
    <ul class="row">${classesOf(one.graph).map(([of, n]) => html`<li key=${of} class="tag mono">${of}${n > 1 && ` × ${count(n)}`}</li>`)}</ul>
    <details class="folded"><summary>${t("catalogue.as_json")}</summary><pre class="mono code" tabindex="0" aria-label=${t("catalogue.graph")}>${JSON.stringify(one.graph, null, 2)}</pre></details></div><//>`;

const Workflow = seen(({ of }) => {
  const { found, gone } = useRead(`gate/v1/ops/workflows/${path(of)}`);
  if (gone.value) return html`<${Gone} text=${gone.value} />`;
  const one = found.value;
  if (!one) return html`<${Waits} />`;
  const sets = { title: t("catalogue.sets"), cell: (part) => html`<span class="mono small">${one.sets[part.name]?.join(", ") ?? "–"}</span>` };
  const described = said(one.description);
  return html`<p class="small"><a href="#/catalogue">${t("ops.catalogue")}</a></p><div class="lead" data-workflow=${one.name}><h1 class="grow">${said(one.title)}</h1><span class="tag">${one.lane}</span></div>
    ${described && html`<p class="soft about">${described}</p>`}
    <div class="story"><div class="story-main">
      <${Part} id="inputs" of=${t("catalogue.inputs")} rows=${one.inputs} columns=${[
        { title: t("catalogue.name"), cell: name }, { title: t("catalogue.title"), cell: title }, { title: t("catalogue.type"), cell: (part) => part.kind },
        { title: t("catalogue.needed"), cell: (part) => (part.required ? t("catalogue.yes") : t("catalogue.no")) },
        { title: t("catalogue.most"), cell: (part) => `${size(part.bytes_max)} · ${t("catalogue.pixels", { n: Math.round(part.pixels_max / 1e5) / 10 })}` }, sets]} />
      <${Part} id="parameters" of=${t("catalogue.parameters")} rows=${one.parameters} columns=${[
        { title: t("catalogue.name"), cell: name }, { title: t("catalogue.title"), cell: title }, { title: t("catalogue.type"), cell: (part) => part.type },
        { title: t("catalogue.default"), cell: (part) => wraps(shown(part.default)) }, { title: t("catalogue.may_be"), cell: range }, sets]} />
      <${Part} id="styles" of=${t("catalogue.styles")} rows=${one.styles} columns=${[
        { title: t("catalogue.name"), cell: name }, { title: t("catalogue.title"), cell: title }, { title: t("catalogue.price"), cell: (style) => html`<${Price} price=${style.price} />` },
        { title: t("catalogue.fixes"), cell: (style) => wraps(Object.entries(style.parameters).map(([key, value]) => `${key} = ${shown(value)}`).join(", ") || "–") }]} />
      <${Graph} one=${one} /></div>
    <div class="story-side"><${Section} id="workflow-facts" title=${t("catalogue.facts")}><div class="sheet boxed"><${Facts} rows=${[
      [t("catalogue.name"), html`<span class="mono">${one.name}</span>`], [t("plots.lane"), one.lane], [t("catalogue.price"), html`<${Price} price=${one.price} />`], [t("catalogue.tiers"), tiers(one)],
      [t("catalogue.examples"), count(one.examples.length)]]} /></div><//></div></div>`;
});

export const Catalogue = seen(() => {
  const of = route.value[1];
  return of ? html`<${Workflow} key=${of} of=${of} />` : html`<${List} />`;
});
