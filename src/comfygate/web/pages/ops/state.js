// What the operator's pages know of now: lanes, servers, alerts, events. Kept true by the stream.
import { get, leaveFor } from "../shell/api.js";
import { batch, signal } from "../shell/html.js";
import { follow } from "../shell/live.js";

export const lanes = signal(null);
export const servers = signal(null);
export const alerts = signal([]);
export const untold = signal({ rows: 0, oldest_at_ms: null });
export const busy = signal(null);
export const events = signal([]);
export const missed = signal(0);
export const firstRun = signal(null);

// The time, second by second, for ages and for what moves by itself; as the service's clock has it.
export const now = signal(Date.now());
let ahead = 0;
setInterval(() => {
  now.value = Date.now() + ahead;
}, 1000);

const EVENTS_KEPT = 200;
const KINDS = { lane: lanes, server: servers };
const byName = (list) => new Map(list.map((one) => [one.name, one]));

let operations = new Set();
// Whether the role is enough for an operation, `lanes.pause` say.
export const can = (operation) => operations.has(operation);

function set(kind, name, value) {
  const all = new Map(kind.value ?? []);
  if (value) all.set(name, value);
  else all.delete(name);
  kind.value = all;
}

const TAKE = {
  now: (all) => batch(() => {
    ahead = all.at_ms - Date.now();
    now.value = all.at_ms;
    lanes.value = byName(all.lanes);
    servers.value = byName(all.servers);
    untold.value = all.untold;
    alerts.value = all.alerts;
    busy.value = all.busy;
  }),
  lane: (one) => set(lanes, one.name, one),
  server: (one) => set(servers, one.name, one),
  gone: ({ what, name }) => KINDS[what] && set(KINDS[what], name, null),
  untold: (found) => { untold.value = found; },
  alerts: (found) => { alerts.value = found; },
  busy: (found) => { busy.value = found; },
  events: (found) => batch(() => {
    // A service that began anew counts from one again.
    const known = new Set(events.value.map((one) => `${one.id} ${one.at_ms}`));
    const fresh = found.events.filter((one) => !known.has(`${one.id} ${one.at_ms}`)).reverse();
    events.value = [...fresh, ...events.value].slice(0, EVENTS_KEPT);
    if (known.size) missed.value += found.missed;
  }),
};

export async function begin() {
  operations = new Set((await get("gate/v1/ops/me")).operations);
  await lookAround();
}

// What a new service has already of what it needs.
export async function lookAround() {
  firstRun.value = await get("gate/v1/ops/first-run");
}

export function listen() {
  const refused = (error) => {
    // Somebody took the role away.
    if (error.status === 403) leaveFor("studio");
  };
  const how = { address: "gate/v1/ops/stream", names: Object.keys(TAKE), whole: "now", check: "gate/v1/ops/me", refused };
  follow(how, (name, data) => TAKE[name](data));
}
