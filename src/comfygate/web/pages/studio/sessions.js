// Where the account is signed in, and signing out there.
import { get, remove } from "../shell/api.js";
import { ask, attempt } from "../shell/dialog.js";
import { html, seen, signal, useEffect } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { leave } from "../shell/session.js";
import { moment, t } from "../shell/texts.js";

const sessions = signal(null);

async function load() {
  sessions.value = (await get("gate/v1/sessions")).sessions;
}

async function end(one) {
  if (one.this) await leave();
  else await remove(`gate/v1/sessions/${encodeURIComponent(one.id)}`);
  await load();
}

async function endAll() {
  const yes = await ask({ title: t("sessions.all"), text: t("sessions.all_text"), confirm: t("sessions.all"), danger: true });
  if (yes) await attempt(() => leave(true));
}

const One = ({ one }) => html`<li><${Icon} name="key" />
  <div class="grow"><strong>${t("sessions.since", { when: moment(one.created_at) })}</strong>
    ${one.this && html` <span class="tag accent">${t("sessions.this")}</span>`}
    <p class="soft small">${t("sessions.until", { when: moment(one.expires_at) })}</p></div>
  <button type="button" class="button quiet small" onClick=${() => attempt(() => end(one))}>${t("sessions.end")}</button></li>`;

export const Sessions = seen(() => {
  useEffect(() => {
    attempt(load);
  }, []);
  return html`<div class="narrow">
    <div><h1>${t("sessions.title")}</h1><p class="soft">${t("sessions.about")}</p></div>
    <ul class="sheet list">${sessions.value?.map((one) => html`<${One} key=${one.id} one=${one} />`)
      ?? html`<li><div class="skeleton grow tall"></div></li>`}</ul>
    <p><button type="button" class="button quiet" onClick=${endAll}><${Icon} name="out" />${t("sessions.all")}</button></p>
  </div>`;
});
