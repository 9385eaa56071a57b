// Accounts, by a part of their name, an id or a Telegram id: `#/accounts/ann`.
import { go, route } from "../shell/frame.js";
import { html, seen, useEffect, useSignal } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { tier } from "../shell/session.js";
import { t } from "../shell/texts.js";
import { ImportButton, ImportPanel, useImport } from "./account-import.js";
import { useSerial } from "./asked.js";
import { AccountLink, Listing, number, When } from "./bits.js";
import { addAccount } from "./first.js";
import { can } from "./state.js";
import { role } from "./telling.js";

const SEARCH_MAX = 100;

const columns = () => [
  { title: t("first.account_name"), cell: (one) => html`<span class="cell clip"><${AccountLink} id=${one.id} name=${one.name} /></span>` },
  { title: t("first.account_tier"), cell: (one) => tier(one.tier) },
  { title: t("person.role"), cell: (one) => (one.role === "user" ? html`<span class="soft">${role(one.role)}</span>` : html`<span class="tag accent">${role(one.role)}</span>`) },
  { title: t("person.available"), end: true, cell: (one) => number(one.available) },
  { title: t("person.held"), end: true, cell: (one) => number(one.held) },
  { title: t("person.suspicions"), end: true, cell: (one) => (one.suspicions ? html`<span class="tag warm">${number(one.suspicions)}</span>` : number(0)) },
  { title: t("story.created"), cell: (one) => html`<${When} at=${one.created_at_ms} />` },
  { title: t("story.state"), cell: (one) => (one.disabled_at_ms ? html`<span class="tag bad" data-state="disabled">${t("person.disabled")}</span> <span class="soft small"><${When} at=${one.disabled_at_ms} /></span>` : html`<span class="tag good" data-state="open">${t("person.in_force")}</span>`) },
];

const Search = seen(({ wanted }) => {
  const typed = useSignal("");
  useEffect(() => { typed.value = wanted; }, [wanted]);
  const search = (event) => {
    event.preventDefault();
    go(...["accounts", typed.value.trim()].filter(Boolean));
  };
  return html`<form class="find" role="search" onSubmit=${search}><label class="field grow"><span class="label">${t("person.search")}</span>
      <input class="input" type="search" name="search" maxlength=${SEARCH_MAX} autocomplete="off" value=${typed.value} onInput=${(event) => { typed.value = event.target.value; }} /></label>
    <button type="submit" class="button quiet">${t("person.find")}</button></form>`;
});

export const Accounts = seen(() => {
  const serial = useSerial("accounts.", "credits.");
  const how = useImport();
  const wanted = route.value[1] ?? "";
  const add = async () => {
    const made = await addAccount();
    if (made) go("account", made.id);
  };
  return html`<div class="lead"><h1 class="grow">${t("ops.accounts")}</h1>
      ${can("accounts.import") && html`<${ImportButton} choose=${how.choose} />`}
      ${can("accounts.add") && html`<button type="button" class="button" onClick=${add}><${Icon} name="add" size=${16} />${t("first.account_make")}</button>`}</div>
    <${ImportPanel} how=${how} />
    <div class="filters"><${Search} wanted=${wanted} />${wanted && html`<a class="button bare small" href="#/accounts">${t("story.all")}</a>`}</div>
    <${Listing} label=${t("ops.accounts")} address="gate/v1/ops/accounts" query=${{ search: wanted }} columns=${columns()} keyOf=${(one) => one.id}
      none=${t("person.none")} serial=${serial} />`;
});
