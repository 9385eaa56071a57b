// The books: whether they balance, every entry, codes that bring credits, and payments in Telegram Stars.
import { get, post, remove } from "../shell/api.js";
import { attempt } from "../shell/dialog.js";
import { html, seen, signal, useEffect, useState } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { clock, count, credits, t } from "../shell/texts.js";
import { act, doPost, path, reveal } from "./acts.js";
import { asked, askFor, useDeeds, useSerial } from "./asked.js";
import { AccountLink, JobLink, Listing, Nothing, Section, Table, useRead, Waits, When } from "./bits.js";
import { can } from "./state.js";
import { movements } from "./telling.js";

const SHOWN = 100;

const audited = signal(null);
const auditing = signal(false);

async function recompute() {
  if (auditing.value) return;
  auditing.value = true;
  await attempt(async () => {
    audited.value = { ...await get("gate/v1/ops/ledger/audit"), at_ms: Date.now() };
  });
  auditing.value = false;
}

const SUMS = ["issued", "revenue", "available", "held", "total"];

const Audited = ({ found }) => html`<div class="grid-gap" data-balanced=${String(found.balanced)}>
  <div class=${`banner ${found.balanced ? "good" : "bad"}`} role="status"><${Icon} name=${found.balanced ? "done" : "failed"} /><div class="grow">
    <strong>${found.balanced ? t("books.balanced") : t("books.not_balanced", { n: found.faults.length })}</strong>
    <p class="small">${t("books.looked_at", { accounts: found.accounts, entries: found.entries, when: clock(found.at_ms) })}</p></div></div>
  ${found.faults.length > 0 && html`<ul class="sheet faults">${found.faults.map((one) => html`<li key=${one}>${one}</li>`)}</ul>`}
  <dl class="sheet boxed figures sums">${SUMS.map((name) => html`<div key=${name}><dt>${t(`books.sum_${name}`)}</dt><dd>${count(name === "issued" ? -found.issued : found[name])}</dd></div>`)}</dl></div>`;

const Balance = seen(() => html`<${Section} id="balance" title=${t("books.balance")} tools=${html`<button type="button" class="button small" disabled=${auditing.value} onClick=${recompute}>
    <${Icon} name="again" size=${16} />${auditing.value ? t("books.recomputing") : t("books.recompute")}</button>`}>
  <p class="soft small">${t("books.balance_about")}</p>
  ${audited.value && html`<${Audited} found=${audited.value} />`}<//>`);

function entryColumns() {
  const [when, what, amount, reason] = movements();
  return [
    when, { title: t("books.account"), cell: (one) => html`<${AccountLink} id=${one.account_id} name=${one.account_name || one.account_id} />` },
    what, amount, { title: t("books.job"), cell: (one) => (one.job_id ? html`<${JobLink} id=${one.job_id} />` : "–") }, reason,
  ];
}

// Whose entries: an id or a name. One that is not there is said at the field.
const Whose = seen(({ account }) => {
  const [name, setName] = useState(account);
  const [fault, setFault] = useState("");
  useEffect(() => setName(account), [account]);
  const ask = async (event) => {
    event.preventDefault();
    const wanted = name.trim();
    setFault("");
    try {
      if (wanted) await get(`gate/v1/ops/accounts/${path(wanted)}`);
      askFor("books", { account: wanted });
    } catch (error) {
      setFault(error.message);
    }
  };
  return html`<form class="filters" onSubmit=${ask}><div class="field"><label for="books-account">${t("books.whose")}</label>
    <input id="books-account" class="input" value=${name} maxlength="200" autocomplete="off" placeholder=${t("books.everybody")} aria-invalid=${fault ? "true" : null}
      aria-describedby="books-account-fault" onInput=${(event) => setName(event.target.value)} /><p class="fault" id="books-account-fault" role="alert" hidden=${!fault}>${fault}</p></div>
    <button type="submit" class="button quiet">${t("audit.ask")}</button>${account && html`<a class="button bare" href="#/books">${t("audit.all")}</a>`}</form>`;
});

const Entries = seen(({ account }) => {
  const serial = useSerial("credits.", "payments.", "accounts.");
  return html`<${Section} id="entries" title=${t("books.entries")}><${Whose} account=${account} />
  <${Listing} key=${account} label=${t("books.entries")} address="gate/v1/ops/entries" query=${{ account }} columns=${entryColumns()} keyOf=${(one) => one.id}
    none=${t("books.no_entry")} serial=${serial} /><//>`;
});

const TONES = { open: "good", used: "accent", expired: "", revoked: "warm" };

const codeColumns = () => [
  { title: t("books.code"), cell: (one) => html`<span class="mono">…${one.hint}</span>` },
  { title: t("books.state"), cell: (one) => html`<span class=${`tag ${TONES[one.state] ?? ""}`}>${t(`books.code_${one.state}`)}</span>` },
  { title: t("credits.amount"), end: true, cell: (one) => count(one.credits) },
  { title: t("books.note"), cell: (one) => (one.note ? html`<div class="cell-wraps">${one.note}</div>` : "–") },
  { title: t("books.made"), cell: (one) => html`<${When} at=${one.created_at_ms} />` },
  { title: t("books.until"), cell: (one) => (one.expires_at_ms ? html`<${When} at=${one.expires_at_ms} />` : t("books.for_ever")) },
  { title: t("books.used"), cell: (one) => (one.used_at_ms ? html`<${When} at=${one.used_at_ms} />${one.used_by && html` <${AccountLink} id=${one.used_by} name=${`…${one.used_by.slice(-8)}`} />`}` : "–") },
];

async function makeCodes() {
  const made = await act({
    title: t("books.make_title"), text: t("books.make_text"), confirm: t("books.make"), done: null,
    fields: [
      { name: "credits", label: t("books.credits_each"), kind: "number", least: 1, required: true },
      { name: "count", label: t("books.how_many"), kind: "number", least: 1, most: 1000, value: 1, required: true },
      { name: "note", label: t("books.note"), hint: t("books.note_hint"), most: 200 },
      { name: "days", label: t("books.days"), hint: t("books.days_hint"), kind: "number", least: 0, most: 3650 },
    ],
    work: (sent) => post("gate/v1/ops/codes", sent),
  });
  if (made) await reveal({ title: t("books.codes_title", { n: made.codes.length }), text: t("books.codes_text", { price: credits(made.credits) }), secret: made.codes.join("\n") });
}

const revokeCode = () => act({
  title: t("books.revoke_title"), text: t("books.revoke_text"), confirm: t("books.revoke"), danger: true, done: t("books.revoked"),
  fields: [{ name: "code", label: t("books.code"), required: true, most: 40, example: "ABCD-EFGH-JKMNP" }],
  work: ({ code }) => remove(`gate/v1/ops/${path("codes", code)}`),
});

const Codes = seen(() => {
  const { found, again } = useRead(`gate/v1/ops/codes?limit=${SHOWN}`);
  useDeeds(["codes."], again);
  const then = (work) => async () => {
    await work();
    await again();
  };
  const tools = html`${can("codes.make") && html`<button type="button" class="button small" onClick=${then(makeCodes)}><${Icon} name="add" size=${16} />${t("books.make")}</button>`}
    ${can("codes.revoke") && html`<button type="button" class="button quiet small" onClick=${then(revokeCode)}>${t("books.revoke")}</button>`}`;
  return html`<${Section} id="codes" title=${t("books.codes")} tools=${tools}>
    ${!found.value ? html`<${Waits} />` : found.value.codes.length ? html`<${Table} label=${t("books.codes")} columns=${codeColumns()} rows=${found.value.codes} keyOf=${(one) => `${one.hint} ${one.created_at_ms}`} />
      ${found.value.codes.length === SHOWN && html`<p class="small soft">${t("books.newest", { n: SHOWN })}</p>`}` : html`<${Nothing}>${t("books.no_code")}<//>`}<//>`;
});

const refund = (one) => act({
  title: t("books.refund_title", { n: one.stars }), text: t("books.refund_text", { price: credits(one.credits) }), confirm: t("books.refund"), danger: true,
  done: t("books.refund_asked"), work: doPost(path("payments", one.charge_id, "refund")),
});

function Paid({ one, again }) {
  if (one.refunded_at_ms) return html`<span class="tag">${t("books.paid_back")}</span> <${When} at=${one.refunded_at_ms} />`;
  if (one.refund_asked_at_ms) return html`<span class="tag warm">${t("books.paying_back")}</span>`;
  const ask = async () => {
    if (await refund(one)) await again();
  };
  return html`${one.refund_error && html`<div class="cell-wraps warm-ink">${one.refund_error}</div>`}
    ${can("payments.refund") ? html`<button type="button" class="button quiet small" onClick=${ask}>${t("books.refund")}</button>` : html`<span class="tag good">${t("books.paid")}</span>`}`;
}

const Payments = seen(({ account }) => {
  const { found, again } = useRead(`gate/v1/ops/payments?limit=${SHOWN}${account ? `&account=${encodeURIComponent(account)}` : ""}`);
  useDeeds(["payments."], again);
  const columns = [
    { title: t("credits.when"), cell: (one) => html`<${When} at=${one.paid_at_ms} />` },
    { title: t("books.account"), cell: (one) => html`<${AccountLink} id=${one.account_id} name=${`…${one.account_id.slice(-8)}`} />` },
    { title: t("books.stars"), end: true, cell: (one) => count(one.stars) },
    { title: t("credits.amount"), end: true, cell: (one) => count(one.credits) },
    { title: t("books.charge"), cell: (one) => html`<span class="mono clip charge" title=${one.charge_id}>${one.charge_id}</span>` },
    { title: t("books.telegram"), cell: (one) => html`<span class="mono">${String(one.telegram_id)}</span>` },
    { title: t("books.state"), cell: (one) => html`<${Paid} one=${one} again=${again} />` },
  ];
  return html`<${Section} id="payments" title=${t("books.payments")}>
    ${!found.value ? html`<${Waits} />` : found.value.payments.length ? html`<${Table} label=${t("books.payments")} columns=${columns} rows=${found.value.payments} keyOf=${(one) => one.charge_id} />
      ${found.value.payments.length === SHOWN && html`<p class="small soft">${t("books.newest", { n: SHOWN })}</p>`}` : html`<${Nothing}>${t("books.no_payment")}<//>`}<//>`;
});

export const Books = seen(() => {
  const { account = "" } = asked();
  return html`<div class="lead"><h1>${t("ops.books")}</h1></div><div class="records"><${Balance} />
    ${can("codes.list") && html`<${Codes} />`}${can("payments.list") && html`<${Payments} key=${account} account=${account} />`}<${Entries} account=${account} /></div>`;
});
