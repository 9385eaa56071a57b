// Signs in with the code behind `#`, when the person says so: a program that only fetches the link uses nothing up.
import { call } from "../shell/api.js";
import { html, render, seen, signal } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { LANGUAGES, language, speak, t } from "../shell/texts.js";

const PAGES = ["studio", "ops"];

const code = signal(location.hash.slice(1) || sessionStorage.getItem("comfygate.code") || "");
// Out of the address bar and the history before anything else happens; kept for a change of language.
history.replaceState(null, "", location.pathname + location.search);
sessionStorage.removeItem("comfygate.code");

const refused = signal("");
const busy = signal(false);
const shown = signal(false);
const key = signal("");

async function signIn(event, given) {
  event.preventDefault();
  if (busy.value) return;
  busy.value = true;
  refused.value = "";
  try {
    await call("POST", "gate/v1/session", { json: given });
    const to = new URLSearchParams(location.search).get("to");
    const place = sessionStorage.getItem("comfygate.place") ?? "";
    sessionStorage.removeItem("comfygate.place");
    location.replace(`${PAGES.includes(to) ? to : "studio"}${place.startsWith("#/") ? place : ""}`);
  } catch (error) {
    refused.value = error.message;
    code.value = "";
    busy.value = false;
  }
}

const ByLink = seen(() => html`<form onSubmit=${(event) => signIn(event, { code: code.value })}>
  <div><h1>${t("sign_in.welcome")}</h1><p class="soft">${t("sign_in.link")}</p></div>
  <button type="submit" class="button wide" autofocus disabled=${busy.value}>${t("sign_in.enter")}</button>
</form>`);

const ByKey = seen(() => html`<form onSubmit=${(event) => signIn(event, { api_key: key.value.trim() })}>
  <h1>${t("sign_in.title")}</h1>
  <div class="field"><label for="api-key">${t("sign_in.key")}</label>
    <div class="beside"><input id="api-key" class="input" type=${shown.value ? "text" : "password"} autocomplete="current-password" required
      maxlength="200" autocapitalize="off" spellcheck="false" autofocus aria-describedby="key-hint" aria-invalid=${String(Boolean(refused.value))}
      value=${key.value} onInput=${(event) => { key.value = event.target.value; }} />
      <button type="button" class="button bare small" aria-pressed=${String(shown.value)}
        onClick=${() => { shown.value = !shown.value; }}>${shown.value ? t("sign_in.hide") : t("sign_in.show")}</button></div>
    <p class="hint" id="key-hint">${t("sign_in.bot")}</p></div>
  <button type="submit" class="button wide" disabled=${busy.value}>${t("sign_in.enter")}</button>
</form>`);

const Page = seen(() => html`<main class="alone"><div>
  <section class="sheet way-in">
    <span class="brand"><span class="mark"><${Icon} name="logo" size=${24} /></span>comfygate</span>
    <div role="alert">${refused.value && html`<p class="banner bad"><${Icon} name="failed" />${refused.value}</p>`}</div>
    ${code.value ? html`<${ByLink} />` : html`<${ByKey} />`}
  </section>
  <p class="languages">${Object.entries(LANGUAGES).map(([one, name]) => html`<button type="button" lang=${one} class="button bare small"
    aria-pressed=${String(one === language)} onClick=${() => { sessionStorage.setItem("comfygate.code", code.value); speak(one); }}>${name}</button>`)}</p>
</div></main>`);

document.title = `${t("sign_in.title")} · comfygate`;
render(html`<${Page} />`, document.getElementById("page"));
