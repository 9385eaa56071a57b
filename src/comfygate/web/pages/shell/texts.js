// Every word of the pages, in the language of the person: `texts/en.json`, `texts/zh.json`, one file a language.
import { kept } from "./kept.js";

export const LANGUAGES = { en: "English", zh: "中文" };
export const language = document.documentElement.lang === "zh" ? "zh" : "en";

const read = async (name) => (await fetch(new URL(`../texts/${name}.json`, import.meta.url))).json();
const texts = await read(language);

// The words of one page more: `texts/ops.en.json`, say. They add to the sections that there are.
export async function learn(page) {
  Object.assign(texts, await read(`${page}.${language}`));
}

// How numbers and dates are written where the person is, if that is a place of this language.
export const place = navigator.languages.find((one) => one.toLowerCase().startsWith(language)) ?? language;
const plural = new Intl.PluralRules(language);
const number = new Intl.NumberFormat(place);

export const count = (value) => number.format(value);

// The text of a key, with {names} filled in. Where it has forms by number, `n` chooses.
export function t(key, values = {}) {
  let text = key.split(".").reduce((part, name) => part?.[name], texts);
  if (text && typeof text === "object") text = text[plural.select(values.n)] ?? text.other;
  if (typeof text !== "string") return key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    if (value === undefined) return whole;
    return typeof value === "number" ? count(value) : String(value);
  });
}

// Whether there is such a text.
export const has = (key) => typeof key.split(".").reduce((part, name) => part?.[name], texts) === "string";

// What the service says in both languages.
export const said = (both) => (both ? both[language] || both.en : "");

export function speak(wanted) {
  kept.set("language", wanted);
  location.reload();
}

export const credits = (n) => (n ? t("price.n", { n }) : t("price.free"));

// A length of time for people.
export function span(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 90) return t("span.seconds", { n: whole });
  if (whole < 5400) return t("span.minutes", { n: Math.round(whole / 60) });
  return t("span.hours", { n: Math.round(whole / 3600) });
}

// The same where there is little room.
export function brief(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 90) return t("brief.seconds", { n: whole });
  if (whole < 5400) return t("brief.minutes", { n: Math.round(whole / 60) });
  if (whole < 129600) return t("brief.hours", { n: Math.round(whole / 3600) });
  return t("brief.days", { n: Math.round(whole / 86400) });
}

const day = new Intl.DateTimeFormat(place, { dateStyle: "medium", timeStyle: "short" });
const hour = new Intl.DateTimeFormat(place, { timeStyle: "short" });
const second = new Intl.DateTimeFormat(place, { timeStyle: "medium" });
const whole = new Intl.DateTimeFormat(place, { dateStyle: "medium", timeStyle: "long" });

export function moment(text) {
  const when = new Date(text);
  return when.toDateString() === new Date().toDateString() ? hour.format(when) : day.format(when);
}

// The time of the day to the second; and a moment in full, with its zone.
export const clock = (at) => second.format(new Date(at));
export const exact = (at) => whole.format(new Date(at));

export function size(bytes) {
  if (bytes < 1e6) return `${count(Math.max(1, Math.round(bytes / 1e3)))} kB`;
  return `${count(Math.round(bytes / 1e5) / 10)} MB`;
}
