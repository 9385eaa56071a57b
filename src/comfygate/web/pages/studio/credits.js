// What the account has, and every movement of its credits.
import { get, post } from "../shell/api.js";
import { attempt, note } from "../shell/dialog.js";
import { effect, html, seen, signal, useEffect } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { entry, sign } from "../shell/ledger.js";
import { account, refresh } from "../shell/session.js";
import { count, moment, t } from "../shell/texts.js";

const PAGE = 50;
const entries = signal(null);
const older = signal(null);
const code = signal("");
const busy = signal(false);

async function load(before = null) {
  const page = await get(`gate/v1/entries?limit=${PAGE}${before ? `&before=${before}` : ""}`);
  entries.value = before ? [...entries.value, ...page.entries] : page.entries;
  older.value = page.next_before;
}

async function redeem(event) {
  event.preventDefault();
  if (busy.value) return;
  busy.value = true;
  await attempt(async () => {
    const done = await post("gate/v1/account/redeem", { code: code.value });
    code.value = "";
    note(done.again ? t("credits.redeemed_before") : t("credits.redeemed", { n: done.credits }));
    await refresh();
    await load();
  });
  busy.value = false;
}

const Line = ({ one }) => html`<tr>
  <td class="soft small">${moment(one.created_at)}</td>
  <td>${entry(one.kind, one.words)}${one.reason && html` <span class="soft small">${one.reason}</span>`}
    ${one.job_id && html` <a class="small" href=${`#/job/${one.job_id}`}>${t("credits.job")}</a>`}</td>
  <td class=${`end number amount ${sign(one.kind) === "+" ? "plus" : ""}`}>${sign(one.kind)}${count(one.amount)}</td>
</tr>`;

const Entries = seen(() => {
  if (!entries.value) return html`<div class="skeleton tall"></div>`;
  if (!entries.value.length) return html`<p class="empty">${t("credits.none")}</p>`;
  return html`<table><thead><tr><th scope="col">${t("credits.when")}</th><th scope="col">${t("credits.what")}</th>
    <th scope="col" class="end">${t("credits.amount")}</th></tr></thead>
    <tbody>${entries.value.map((one) => html`<${Line} key=${one.id} one=${one} />`)}</tbody></table>`;
});

export const Credits = seen(() => {
  useEffect(() => {
    let had = null;
    // Whenever credits move, the list is read again.
    return effect(() => {
      const now = `${account.value.available} ${account.value.held}`;
      if (now !== had) attempt(load);
      had = now;
    });
  }, []);
  return html`<div class="narrow">
    <h1 class="unseen">${t("credits.title")}</h1>
    <section class="sheet balance"><span>${t("credits.available")}</span><b>${count(account.value.available)}</b>
      ${account.value.held > 0 && html`<span>${t("credits.held", { n: account.value.held })}</span>`}</section>
    <form class="sheet code-form field" onSubmit=${redeem}><label for="code">${t("credits.code")}</label>
      <div class="row"><input id="code" class="input grow" required maxlength="100" autocomplete="off" autocapitalize="characters"
        placeholder="ABCD-EFGH-JKLMN" aria-describedby="code-hint" value=${code.value} onInput=${(event) => { code.value = event.target.value; }} />
        <button type="submit" class="button" disabled=${busy.value}>${t("button.redeem")}</button></div>
      <p class="hint" id="code-hint">${t("credits.code_hint")}</p></form>
    <section class="grid-gap"><h2>${t("credits.entries")}</h2><div class="sheet wide-table"><${Entries} /></div>
      ${older.value && html`<p class="row"><button type="button" class="button quiet" onClick=${() => attempt(() => load(older.value))}>
        <${Icon} name="again" />${t("button.more")}</button></p>`}</section>
  </div>`;
});
