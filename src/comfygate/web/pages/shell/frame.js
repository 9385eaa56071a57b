// What is around every page: name, places to go, credits, theme, language, account. A page gives its places and
// its body; see docs/web.md for how another page is added.
import { account, leave, may, session, tier } from "./session.js";
import { attempt, Asides } from "./dialog.js";
import { html, render, seen, signal, useEffect, useRef } from "./html.js";
import { Icon } from "./icons.js";
import { kept } from "./kept.js";
import { count, LANGUAGES, language, speak, t } from "./texts.js";

// Pages of the service, each for a role and those above it.
export const PAGES = [
  { page: "studio", role: "user", icon: "make", title: "nav.studio" },
  { page: "ops", role: "operator", icon: "operations", title: "nav.ops" },
];

// The part of the address behind `#/`, in pieces.
export const route = signal(read());
function read() {
  return location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decoded);
}
function decoded(piece) {
  try {
    return decodeURIComponent(piece);
  } catch {
    return piece;
  }
}
addEventListener("hashchange", () => {
  route.value = read();
});
export const go = (...pieces) => {
  location.hash = `#/${pieces.map(encodeURIComponent).join("/")}`;
};

const theme = signal(kept.get("theme"));
const dark = () => (theme.value ? theme.value === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
function turn() {
  theme.value = dark() ? "light" : "dark";
  kept.set("theme", theme.value);
  document.documentElement.dataset.theme = theme.value;
}

// A list that opens below its button; Escape and a click elsewhere close it.
export function Menu({ label, button, children }) {
  const box = useRef(null);
  useEffect(() => {
    const close = (event) => {
      const inside = event.type === "click" && box.current?.contains(event.target);
      if (box.current?.open && !inside && (event.type === "click" || event.key === "Escape")) {
        box.current.open = false;
        if (event.key === "Escape") box.current.querySelector("summary").focus();
      }
    };
    addEventListener("click", close);
    addEventListener("keydown", close);
    return () => {
      removeEventListener("click", close);
      removeEventListener("keydown", close);
    };
  }, []);
  return html`<details class="menu" ref=${box}>
    <summary class="button quiet" aria-label=${label}>${button}</summary>
    <div class="menu-body" onClick=${() => { box.current.open = false; }}>${children}</div>
  </details>`;
}

const Account = seen(() => html`<${Menu} label=${t("nav.account")} button=${html`<${Icon} name="account" />
    <span class="wide">${account.value.name}</span>`}>
  <p class="menu-head"><strong>${account.value.name}</strong>
    <span>${tier(account.value.tier)}${session.value.role !== "user" && ` · ${t(`role.${session.value.role}`)}`}</span></p>
  ${PAGES.filter((one) => may(one.role)).length > 1 && PAGES.filter((one) => may(one.role)).map((one) => html`
    <a class="menu-item" href=${one.page}><${Icon} name=${one.icon} />${t(one.title)}</a>`)}
  <a class="menu-item" href="studio#/account"><${Icon} name="key" />${t("nav.sessions")}</a>
  <div class="menu-item split" role="group" aria-label=${t("nav.language")}><${Icon} name="globe" />
    ${Object.entries(LANGUAGES).map(([code, name]) => html`<button type="button" lang=${code} class="chip"
      aria-pressed=${String(code === language)} onClick=${() => speak(code)}>${name}</button>`)}</div>
  <button type="button" class="menu-item" onClick=${() => attempt(leave)}><${Icon} name="out" />${t("button.out")}</button>
<//>`);

const Purse = seen(() => html`<a class="purse" href="studio#/credits" aria-label=${t("credits.you_have", { n: account.value.available })}>
  <${Icon} name="credits" size=${18} /><b data-credits>${count(account.value.available)}</b>
  ${account.value.held > 0 && html`<span class="held">${t("credits.held_short", { n: account.value.held })}</span>`}</a>`);

const Head = seen(({ places, home, aside }) => html`<header class="head">
  <a class="brand" href=${home}><span class="mark"><${Icon} name="logo" size=${20} /></span>comfygate</a>
  <nav class="places" aria-label=${t("nav.places")}>
    ${places.map((one) => html`<a key=${one.at} href=${`#/${one.at}`}
      aria-current=${(one.covers ?? [one.at]).includes(route.value[0] ?? "") ? "page" : null}>
      <${Icon} name=${one.icon} /><span>${t(one.title)}</span></a>`)}
  </nav>
  <div class="head-end">
    ${aside ? aside() : html`<${Purse} />`}
    <button type="button" class="button quiet square" aria-label=${t("nav.theme")} onClick=${turn}>
      <${Icon} name=${dark() ? "sun" : "moon"} /></button>
    <${Account} />
  </div>
</header>`);

const Page = seen(({ places, home, body, aside }) => html`
  <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.getElementById("main").focus(); }}>${t("nav.skip")}</a>
  <${Head} places=${places} home=${home} aside=${aside} />
  <main id="main" tabindex="-1">${body()}</main>
  <${Asides} />`);

// Draws a page. `places`: [{at, title, icon, covers}], what its navigation shows, and of which addresses it is the place; `body` draws what is at `route`; `aside` what
// is shown at the end of the head in place of the account's credits.
export function show({ places, home, body, title, aside = null }) {
  document.title = `${t(title)} · comfygate`;
  const place = document.getElementById("page");
  place.textContent = "";
  render(html`<${Page} places=${places} home=${home} body=${body} aside=${aside} />`, place);
}

// What is shown in place of a page that could not begin.
export function failed(error) {
  const place = document.getElementById("page");
  place.textContent = "";
  render(html`<main class="alone"><div class="empty"><${Icon} name="failed" size=${32} />
    <h1>${t("error.title")}</h1><p>${error.message}</p>
    <button type="button" class="button" onClick=${() => location.reload()}>${t("button.reload")}</button></div></main>`, place);
}
