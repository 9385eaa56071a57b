// An account: what it has and may, its keys, sessions and chats, what counts against it, its jobs and credits.
import { html, seen, useSignal } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { tier } from "../shell/session.js";
import { count, credits, t } from "../shell/texts.js";
import { addKey, changeRole, changeTier, forgive, grant, restore, revokeKey, signInCode, signOut, suspend } from "./account-acts.js";
import { Facts, Gone, JobLink, Listing, Nothing, Section, Table, useRead, Waits, When } from "./bits.js";
import { useEvents } from "./hear.js";
import { JobList, jobsAt } from "./jobs.js";
import { can } from "./state.js";
import { Copied, movements, percent, role } from "./telling.js";

const Do = ({ when = true, of, title, work, danger = false }) => when && can(of) && html`<button type="button" class=${`button quiet small${danger ? " bad-ink" : ""}`} onClick=${work}>${title}</button>`;

const Head = ({ account, then }) => html`<div class="lead story-lead"><div class="grow"><div class="row"><h1>${account.name}</h1>
      <span class="tag">${tier(account.tier)}</span>${account.role !== "user" && html`<span class="tag accent">${role(account.role)}</span>`}
      ${account.disabled_at_ms && html`<span class="tag bad" data-state="disabled">${t("person.disabled")}</span>`}</div><${Copied} text=${account.id} /></div>
    <div class="row"><${Do} of="credits.grant" when=${!account.merged_into} title=${t("person.grant")} work=${then(() => grant(account))} />
      <${Do} of="accounts.tier" when=${!account.merged_into} title=${t("person.tier_change")} work=${then(() => changeTier(account))} />
      <${Do} of="accounts.role" when=${!account.merged_into} title=${t("person.role_change")} work=${then(() => changeRole(account))} />
      <${Do} of="accounts.sign_in" when=${!account.disabled_at_ms} title=${t("person.code")} work=${then(() => signInCode(account))} />
      <${Do} of="accounts.suspend" when=${!account.disabled_at_ms} danger title=${t("person.suspend")} work=${then(() => suspend(account))} />
      <${Do} of="accounts.restore" when=${account.disabled_at_ms && !account.merged_into} title=${t("person.restore")} work=${then(() => restore(account))} /></div></div>
  ${account.merged_into && html`<p class="banner warm"><${Icon} name="failed" /><span>${t("person.merged")} <a href=${`#/account/${encodeURIComponent(account.merged_into)}`}>${account.merged_into}</a></span></p>`}
  ${account.disabled_at_ms && !account.merged_into && html`<p class="banner bad"><${Icon} name="failed" /><span>${t("person.disabled_since")} <${When} at=${account.disabled_at_ms} /></span></p>`}`;

const Figures = ({ account }) => html`<dl class="sheet boxed figures wide-figures">${[
  [t("person.available"), account.available, "available"], [t("person.held"), account.held, "held"],
  [t("person.queued_max"), account.jobs_queued, "queued"], [t("person.running_max"), account.jobs_running, "running"],
].map(([label, value, name]) => html`<div key=${name} data-figure=${name}><dt>${label}</dt><dd>${count(value)}</dd></div>`)}</dl>`;

const keys = (account, then) => [
  { title: t("person.key_mark"), cell: (one) => html`<code class="mono">${one.key}</code>` },
  { title: t("story.created"), cell: (one) => html`<${When} at=${one.created_at_ms} />` },
  { title: t("story.state"), cell: (one) => (one.revoked_at_ms ? html`<span class="tag" data-state="revoked">${t("person.ended_key")}</span> <span class="soft small"><${When} at=${one.revoked_at_ms} /></span>` : html`<span class="tag good" data-state="open">${t("person.in_force")}</span>`) },
  ...(can("keys.revoke") ? [{ title: t("person.end"), end: true, cell: (one) => !one.revoked_at_ms && html`<button type="button" class="button quiet small"
    aria-label=${t("person.revoke_this", { key: one.key })} onClick=${then(() => revokeKey(account, one.key))}>${t("person.revoke")}</button>` }] : []),
];

const Keys = ({ account, then }) => html`<${Section} id="keys" title=${t("person.keys")} tools=${can("keys.add") && html`<button type="button" class="button quiet small"
    onClick=${then(() => addKey(account))}><${Icon} name="add" size=${16} />${t("person.key_add")}</button>`}>
  ${account.keys.length ? html`<${Table} label=${t("person.keys")} columns=${keys(account, then)} rows=${account.keys} keyOf=${(one) => one.key} />` : html`<${Nothing}>${t("person.no_key")}<//>`}<//>`;

const suspicions = () => [
  { title: t("credits.when"), cell: (one) => html`<${When} at=${one.at_ms} />` },
  { title: t("credits.what"), cell: (one) => t(`person.suspicion_${one.kind}`) },
  { title: t("story.score"), end: true, cell: (one) => percent(one.score) },
  { title: t("story.job"), cell: (one) => (one.job_id ? html`<${JobLink} id=${one.job_id} />` : "–") },
  { title: t("story.state"), cell: (one) => (one.forgiven_at_ms ? html`<span class="tag">${t("person.forgiven_one")}</span>`
    : html`<span class="tag warm">${one.suspended ? t("person.brought_suspension") : t("person.counts")}</span>`) },
];

const Suspicions = ({ account, then }) => account.suspicions.entries.length > 0 && html`<${Section} id="suspicions" title=${t("person.suspicions_title", { n: account.suspicions.suspicions })}
    tools=${account.suspicions.suspicions > 0 && html`<${Do} of="review.forgive" title=${t("person.forgive")} work=${then(() => forgive(account))} />`}>
  <${Table} label=${t("person.suspicions")} columns=${suspicions()} rows=${account.suspicions.entries} keyOf=${(one) => one.id} /><//>`;

const entries = () => [...movements(), { title: t("story.job"), cell: (one) => (one.job_id ? html`<${JobLink} id=${one.job_id} />` : "–") }];

const any = (n) => (n ? count(n) : t("person.any_number"));

const Limits = ({ limits }) => html`<${Section} id="limits" title=${t("person.limits")}><div class="sheet boxed">${limits ? html`<${Facts} rows=${[
  [t("story.priority"), count(limits.priority)],
  ...Object.entries(limits.priorities).map(([lane, n]) => [t("person.priority_in", { lane }), count(n)]),
  [t("person.queued_max"), count(limits.jobs_queued_max)],
  [t("person.running_max"), any(limits.jobs_running_max)],
  [t("person.requests"), any(limits.requests_per_minute)],
  [t("person.free"), limits.free_jobs_daily ? t("person.free_upto", { n: limits.free_jobs_daily, price: credits(limits.free_price_max) }) : count(0)],
  [t("person.discount"), limits.discount_percent ? t("now.busy_short", { n: limits.discount_percent }) : null],
  [t("person.weight"), count(limits.weight)],
  [t("person.raw"), limits.raw_graphs ? t("person.yes") : t("person.no")]]} />` : html`<p class="warm-ink small">${t("person.tier_unknown")}</p>`}</div><//>`;

const Sessions = ({ account, then }) => html`<${Section} id="sessions" title=${t("nav.sessions")}
    tools=${account.sessions.length > 0 && html`<${Do} of="accounts.sign_out" title=${t("button.out")} work=${then(() => signOut(account))} />`}>
  <div class="sheet boxed">${account.sessions.length ? html`<ul class="plain-list small">${account.sessions.map((one, nth) => html`<li key=${nth}><span><${When} at=${one.created_at_ms} /></span>
    <span class="soft">${t("story.until")} <${When} at=${one.expires_at_ms} /></span></li>`)}</ul>` : html`<p class="soft small">${t("person.no_session")}</p>`}</div><//>`;

const Chats = ({ list }) => html`<${Section} id="chats" title=${t("person.telegram")}><div class="sheet boxed">${list.length ? list.map((one) => html`<${Facts} key=${one.telegram_id} rows=${[
  [t("person.telegram_id"), html`<code class="mono">${one.telegram_id}</code>`], [t("nav.language"), one.language],
  [t("story.created"), html`<${When} at=${one.created_at_ms} />`], [t("person.terms"), html`<${When} at=${one.terms_at_ms} />`],
  [t("person.invited_by"), one.invited_by], [t("person.blocked"), one.blocked_at_ms && html`<span class="warm-ink"><${When} at=${one.blocked_at_ms} /></span>`]]} />`)
  : html`<p class="soft small">${t("person.no_chat")}</p>`}</div><//>`;

export const Account = seen(({ id }) => {
  const { found, gone, again } = useRead(`gate/v1/ops/accounts/${encodeURIComponent(id)}`);
  const serial = useSignal(0);
  const afresh = async () => {
    serial.value += 1;
    await again();
  };
  // An operation does not say to whom it was done.
  useEvents((one) => one.kind === "operation" || one.account_id === found.value?.id, again);
  if (gone.value) return html`<${Gone} text=${gone.value} />`;
  const account = found.value;
  if (!account) return html`<${Waits} />`;
  const then = (work) => async () => { if (await work()) await afresh(); };
  return html`<${Head} account=${account} then=${then} /><div class="story"><div class="story-main"><${Figures} account=${account} />
      <${Suspicions} account=${account} then=${then} /><${Keys} account=${account} then=${then} />
      <${Section} id="jobs" title=${t("ops.jobs")} tools=${html`<a class="small" href=${jobsAt({ account: account.id })}>${t("person.filter_jobs")}</a>`}>
        <${JobList} query=${{ account: account.id }} ofOne=${account.id} /><//>
      <${Section} id="entries" title=${t("nav.credits")}><${Listing} label=${t("nav.credits")} address="gate/v1/ops/entries" query=${{ account: account.id }}
        columns=${entries()} keyOf=${(one) => one.id} none=${t("credits.none")} serial=${`${serial.value} ${account.available} ${account.held}`} /><//>
    </div><div class="story-side"><${Section} id="about" title=${t("story.account")}><div class="sheet boxed"><${Facts} rows=${[
        [t("story.created"), html`<${When} at=${account.created_at_ms} />`],
        [t("first.account_tier"), tier(account.tier)], [t("person.role"), role(account.role)]]} /></div><//>
      <${Limits} limits=${account.limits} /><${Sessions} account=${account} then=${then} /><${Chats} list=${account.telegram} /></div></div>`;
});
