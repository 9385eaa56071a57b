// Asks the service, as every client does. Addresses are relative, so that they hold behind a path prefix.
import { t } from "./texts.js";

export class Refused extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.code = error.code;
    this.details = error.details || {};
    this.field = this.details.field || null;
  }
}

const REFUSED_AS = {
  0: { code: "away" },
};

let leaving = false;

// Leaves for another page, once: several calls may find at the same time that the session has ended.
export function leaveFor(page) {
  if (!leaving) {
    leaving = true;
    location.replace(page);
  }
  return new Promise(() => {});
}

// Leaves for the page that signs in; it leads back here.
export function signIn() {
  const here = location.pathname.split("/").pop();
  sessionStorage.setItem("comfygate.place", location.hash);
  return leaveFor(here && here !== "studio" ? `sign-in?to=${encodeURIComponent(here)}` : "sign-in");
}

export async function call(method, address, { json, form, key, signal } = {}) {
  const headers = { Accept: "application/json" };
  if (json !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  let answer;
  try {
    answer = await fetch(address, { method, headers, signal, body: json === undefined ? form : JSON.stringify(json) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { ...REFUSED_AS[0], message: t("error.away") });
  }
  const text = await answer.text();
  let body = null;
  try {
    body = text ? JSON.parse(text) : null;
  } catch {
    // A proxy's own page: only its status counts.
  }
  if (answer.ok) return body;
  if (answer.status === 401 && !address.endsWith("/session")) return signIn();
  throw new Refused(answer.status, body?.error || { code: "away", message: t("error.away") });
}

export const get = (address, more) => call("GET", address, more);
export const post = (address, json, more) => call("POST", address, { json, ...more });
export const remove = (address) => call("DELETE", address);

// Uploads one file; `progress` hears the part that has gone, from 0 to 1. `stop` is an AbortSignal.
export function upload(file, { progress, stop } = {}) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    form.append("content_type", file.type || "application/octet-stream");
    form.append("file_path", (file.name || "picture").slice(-200));
    form.append("file", file, file.name || "picture");
    const request = new XMLHttpRequest();
    request.open("POST", "api/v2/assets");
    request.responseType = "json";
    request.upload.onprogress = (event) => event.lengthComputable && progress?.(event.loaded / event.total);
    request.onload = () => {
      if (request.status === 401) signIn();
      else if (request.status < 300 && request.response) resolve(request.response);
      else reject(new Refused(request.status, request.response?.error || { code: "away", message: t("error.away") }));
    };
    request.onerror = () => reject(new Refused(0, { code: "away", message: t("error.away") }));
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
    stop?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

// Bytes are fetched from where this page came from, whatever host a signed address names.
export const content = (assetId) => `api/v2/assets/${encodeURIComponent(assetId)}/content`;

// A key that is good for one request, made before the first try.
export function oneTimeKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
