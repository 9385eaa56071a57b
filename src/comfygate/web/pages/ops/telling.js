// Words and small parts that the stories of jobs, accounts and servers share.
import { attempt, note } from "../shell/dialog.js";
import { html, seen } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { became, entry, sign } from "../shell/ledger.js";
import { brief, clock, count, exact, has, moment, t } from "../shell/texts.js";
import { AccountLink, JobLink, Since, When } from "./bits.js";

// A length of time, to a part of the second where it is short.
export function lasts(ms) {
  if (ms < 1000) return t("story.ms", { n: Math.round(ms) });
  if (ms < 10000) return t("brief.seconds", { n: Math.round(ms / 100) / 10 });
  if (ms < 90000 || ms >= 5400000) return brief(ms / 1000);
  const seconds = Math.round(ms / 1000);
  return `${t("brief.minutes", { n: Math.floor(seconds / 60) })} ${t("brief.seconds", { n: seconds % 60 })}`;
}

export const percent = (share) => t("now.busy_short", { n: Math.round(share * 100) });
export const made = (one) => `${one.workflow ?? t("job.own_graph")}${one.style ? ` · ${one.style}` : ""}`;
export const or = (text, other = "–") => (text === null || text === undefined || text === "" ? other : text);

// A word of the service; one that the texts do not know shows as it is.
export const blame = (name) => (has(`blame.${name}`) ? t(`blame.${name}`) : name);
export const role = (name) => (has(`role.${name}`) ? t(`role.${name}`) : t("person.user"));

export const price = (job) => became(job.hold, job.price) ?? t("price.free");

const OUTCOMES = { succeeded: "good", canceled: "warm", failed: "bad", lost: "bad" };
export const Outcome = ({ name }) => (name ? html`<span class=${`tag ${OUTCOMES[name] ?? ""}`} data-outcome=${name}>${
  has(`outcome.${name}`) ? t(`outcome.${name}`) : name}</span>` : html`<span class="tag accent">${t("outcome.open")}</span>`);

export const Blame = ({ name }) => (name ? html`<span title=${name} data-blame=${name}>${blame(name)}</span>` : "–");

// A moment to the second, as what happens within a minute is told apart by it.
export const At = ({ at }) => {
  if (!at) return "–";
  const today = new Date(at).toDateString() === new Date().toDateString();
  return html`<time datetime=${new Date(at).toISOString()} title=${exact(at)}>${today ? clock(at) : moment(at)}</time>`;
};

// Columns of entries of the ledger.
export const movements = () => [
  { title: t("credits.when"), cell: (one) => html`<${When} at=${one.created_at_ms} />` },
  { title: t("credits.what"), cell: (one) => html`<span data-entry=${one.kind}>${entry(one.kind)}</span>` },
  { title: t("credits.amount"), end: true, cell: (one) => html`<span class=${sign(one.kind) === "+" ? "good-ink" : null}>${sign(one.kind)}${count(one.amount)}</span>` },
  { title: t("story.reason"), cell: (one) => html`<span class="cause">${or(one.reason)}</span>` },
];

// An id in full, to take along.
export const Copied = ({ text }) => {
  const copy = () => attempt(async () => {
    await navigator.clipboard.writeText(text);
    note(t("act.copied"));
  });
  return html`<span class="copied"><code class="mono">${text}</code>${globalThis.isSecureContext && html`
    <button type="button" class="button bare small square" aria-label=${`${t("act.copy")}: ${text}`} onClick=${copy}><${Icon} name="copy" size=${16} /></button>`}</span>`;
};

// The first line of what was said; the others open below it.
export const Cause = ({ text }) => {
  const lines = text.split("\n").filter((one) => one.trim());
  if (!lines.length) return "–";
  if (lines.length === 1) return html`<span class="cause">${lines[0]}</span>`;
  return html`<details class="cause"><summary>${lines[0]}</summary><pre class="said">${text}</pre></details>`;
};

// What the service says word for word, lines and all.
export const Said = ({ text, label }) => html`<pre class="said" tabindex="0" role="region" aria-label=${label}>${text}</pre>`;

// What runs, with how far it is.
export const Running = seen(({ one }) => {
  const value = one.progress?.value ?? 0;
  const at = one.progress?.current_node_class ?? t(`now.stage_${one.left_at_ms ? "collecting" : one.started_at_ms ? "running" : "sending"}`);
  const step = one.progress?.steps ? t("job.step", { step: one.progress.step, steps: one.progress.steps }) : "";
  return html`<div class="row small"><span class="grow clip">${at}${step}</span>
      <span class="soft number">${percent(value)} · <${Since} at=${one.started_at_ms ?? one.claimed_at_ms} /></span></div>
    <div class="bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(value * 100)} aria-label=${t("now.progress")}>
      <i style=${{ transform: `scaleX(${value})` }}></i></div>`;
});

export const Slot = ({ one }) => html`<li class="slot" data-job=${one.job_id}><div class="row small"><${JobLink} id=${one.job_id} />
    <span class="clip grow">${made(one)}</span><${AccountLink} id=${one.account_id} name=${one.account_name} /></div>
  <${Running} one=${one} /></li>`;
