// Small things that all of the operator's pages show.
import { get } from "../shell/api.js";
import { attempt, note } from "../shell/dialog.js";
import { html, seen, useEffect, useRef, useSignal } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { brief, count, exact, has, moment, t } from "../shell/texts.js";
import { now } from "./state.js";

const jobAt = (id) => `#/job/${encodeURIComponent(id)}`;
const accountAt = (id) => `#/account/${encodeURIComponent(id)}`;
export const serverAt = (name) => `#/server/${encodeURIComponent(name)}`;

// The end of an id tells jobs apart; the beginning is the time.
export const JobLink = ({ id }) => html`<a class="mono" href=${jobAt(id)} title=${id}>…${id.slice(-8)}</a>`;
export const AccountLink = ({ id, name }) => html`<a href=${accountAt(id)}>${name}</a>`;
export const ServerLink = ({ name }) => html`<a href=${serverAt(name)}>${name}</a>`;

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
export const shortly = (value) => (ID.test(value) ? `…${value.slice(-8)}` : value);

// Who did something: an account, by its name where that is known, or a way in.
const ACCOUNTS_ACTOR = "account:";
export const Actor = ({ actor, name = null }) => {
  if (!actor.startsWith(ACCOUNTS_ACTOR)) return html`<span title=${actor}>${has(`audit.actor_${actor}`) ? t(`audit.actor_${actor}`) : actor}</span>`;
  const id = actor.slice(ACCOUNTS_ACTOR.length);
  return html`<span title=${actor}><${AccountLink} id=${id} name=${name ?? shortly(id)} /></span>`;
};

// A moment, with the second in its title.
export const When = ({ at }) => (at ? html`<time datetime=${new Date(at).toISOString()} title=${exact(at)}>${moment(at)}</time>` : "–");

// How long ago, second by second.
export const Since = seen(({ at }) => (at ? html`<time datetime=${new Date(at).toISOString()} title=${exact(at)}>${
  brief((now.value - at) / 1000)}</time>` : "–"));

const TONES = {
  up: "good", open: "good", succeeded: "good", released: "good", balanced: "good", redeemed: "good",
  suspect: "warm", paused: "warm", draining: "warm", drained: "warm", canceled: "warm", canceling: "warm", expired: "warm", waiting: "warm", trial: "warm",
  down: "bad", quarantined: "bad", failed: "bad", rejected: "bad", disabled: "bad",
  running: "accent", queued: "", unknown: "",
};

// A state as a coloured word. `of` is the section of the texts that has the word; one that is not there shows as it is.
export const State = ({ name, of = "state" }) => html`<span class=${`tag ${TONES[name] ?? ""}`} data-state=${name}>${
  has(`${of}.${name}`) ? t(`${of}.${name}`) : name}</span>`;

// [[label, what is shown], ...]; what is null is left out.
export const Facts = ({ rows }) => html`<dl class="facts">${rows.filter(([, shown]) => shown !== null && shown !== undefined).map(([label, shown]) => html`
  <div key=${label}><dt>${label}</dt><dd>${shown}</dd></div>`)}</dl>`;

export const Section = ({ title, tools, children, id }) => html`<section class="part" aria-labelledby=${id}>
  <div class="part-head"><h2 id=${id}>${title}</h2>${tools && html`<div class="row">${tools}</div>`}</div>${children}</section>`;

export const Nothing = ({ children }) => html`<p class="soft nothing">${children}</p>`;
export const Waits = () => html`<div class="skeleton tall" aria-busy="true"></div>`;
export const number = (value) => (value === null || value === undefined ? "–" : count(value));

// A table that scrolls by itself where the page is narrow. `columns`: {title, end, cell(row)}.
export const Table = ({ label, columns, rows, keyOf }) => html`<div class="sheet wide-table" tabindex="0" role="region" aria-label=${label}><table>
  <thead><tr>${columns.map((one) => html`<th key=${one.title} scope="col" class=${one.end ? "end" : null}>${one.title}</th>`)}</tr></thead>
  <tbody>${rows.map((row) => html`<tr key=${keyOf(row)} data-row=${keyOf(row)}>${columns.map((one) => html`<td key=${one.title} class=${one.end ? "end number" : null}>${one.cell(row)}</td>`)}</tr>`)}</tbody>
</table></div>`;

const AGAIN_MS = 5000;

// Reads an address whenever it changes; `found` is a signal with what came, null until then, `again()` reads once more.
export function useRead(address) {
  const found = useSignal(null);
  const gone = useSignal(null);
  const here = useRef(address);
  const read = async () => {
    try {
      const body = await get(address);
      if (here.current !== address) return;
      found.value = body;
      gone.value = null;
    } catch (error) {
      // What is asked for is not there, or nothing that could be.
      if (error.status !== 404 && error.status !== 422) throw error;
      if (here.current === address) gone.value = error.message;
    }
  };
  // What could not be read is read again while there is nothing to show.
  const again = async () => {
    if (!(await attempt(read)) && here.current === address && !found.value) setTimeout(again, AGAIN_MS);
  };
  useEffect(() => {
    here.current = address;
    found.value = null;
    again();
    return () => {
      here.current = null;
    };
  }, [address]);
  return { found, gone, again };
}

export const Gone = ({ text }) => html`<div class="sheet empty"><${Icon} name="failed" /><h1>${t("ops.gone")}</h1><p>${text}</p>
  <a class="button" href="#/">${t("ops.now")}</a></div>`;

const PAGE = 50;
const PAGE_MAX = 500;

// A long list in pages, the newest first, with the whole of it as a file. `query` filters; `columns` as in Table. With
// another `serial` it is read anew, as much of it as is shown.
export const Listing = seen(({ label, address, query = {}, columns, keyOf, none, serial = 0 }) => {
  const rows = useSignal(null);
  const cursor = useSignal(null);
  const latest = useSignal("");
  // What `rows` are those of, and why there are none.
  const shown = useSignal(null);
  const refused = useSignal("");
  const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ""));
  const here = `${address}?${asked}`;
  // Only what was asked for last counts.
  const turn = useRef(0);
  const busy = useSignal(false);
  const page = async (more) => {
    const mine = (turn.current += 1);
    const wanted = new URLSearchParams(asked);
    const kept = shown.value === here ? rows.value.length : 0;
    wanted.set("limit", more ? PAGE : Math.min(Math.max(PAGE, kept), PAGE_MAX));
    if (more) wanted.set("cursor", cursor.value);
    let found = await get(`${address}?${wanted}`);
    // A page may be empty and have a next one: the service looks at so many rows and no more.
    while (!found.rows.length && found.next_cursor && mine === turn.current) {
      wanted.set("cursor", found.next_cursor);
      found = await get(`${address}?${wanted}`);
    }
    if (mine !== turn.current) return;
    rows.value = more ? [...rows.value, ...found.rows] : found.rows;
    cursor.value = found.next_cursor;
    [shown.value, refused.value] = [here, ""];
  };
  const read = async (more) => {
    busy.value = more;
    latest.value = here;
    try {
      await page(more);
    } catch (error) {
      if (latest.value !== here) return;
      // Rows stay where they are those that were asked for; they are not shown for others.
      if (shown.value === here) note(error.message, "bad");
      else [rows.value, cursor.value, shown.value, refused.value] = [null, null, null, error.message];
    } finally {
      busy.value = false;
    }
  };
  useEffect(() => {
    // While somebody asks for more, that comes first: it is read anew the next time.
    if (!busy.value || latest.value !== here) read(false);
  }, [here, serial]);
  const whole = new URLSearchParams(asked);
  whole.set("format", "csv");
  return html`<div class="listing">
    ${rows.value === null ? refused.value ? html`<p class="fault" role="alert">${refused.value}</p>
      <p><button type="button" class="button quiet small" onClick=${() => read(false)}>${t("first.look_again")}</button></p>` : html`<${Waits} />` : rows.value.length ? html`<${Table} label=${label} columns=${columns} rows=${rows.value} keyOf=${keyOf} />`
      : html`<${Nothing}>${none}<//>`}
    <p class="row">${cursor.value && html`<button type="button" class="button quiet small" disabled=${busy.value} onClick=${() => read(true)}>${t("button.more")}</button>`}
      <a class="button bare small" href=${`${address}?${whole}`} download><${Icon} name="download" size=${16} />${t("ops.csv")}</a></p>
  </div>`;
});
