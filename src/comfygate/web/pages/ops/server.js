// A server: how it stands and came to stand so, what runs there, what went wrong there.
import { go } from "../shell/frame.js";
import { html, seen } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { count, t } from "../shell/texts.js";
import { Facts, Gone, JobLink, Nothing, number, Section, Since, State, Table, useRead, Waits, When } from "./bits.js";
import { changeServer, drain, removeServer, resumeServer } from "./fleet.js";
import { phase, useMark } from "./hear.js";
import { jobsAt } from "./jobs.js";
import { can, lanes, servers } from "./state.js";
import { At, Blame, Cause, or, Outcome, Slot } from "./telling.js";

const drained = (server) => server.drained_at_ms !== null;

const Head = ({ server, then }) => {
  const forget = async () => { if (await removeServer(server.name)) go(); };
  return html`<div class="lead story-lead"><div class="grow"><div class="row"><h1>${server.name}</h1><${State} name=${server.state} /></div>
      <code class="mono soft">${server.url}</code></div>
    <div class="row">${(drained(server) || server.state === "quarantined") && can("servers.resume") && html`<button type="button" class="button small" onClick=${then(() => resumeServer(server.name))}>${t("now.resume")}</button>`}
      ${!drained(server) && can("servers.drain") && html`<button type="button" class="button quiet small" onClick=${then(() => drain(server.name))}>${t("now.drain")}</button>`}
      ${can("servers.add") && lanes.value && html`<button type="button" class="button quiet small" onClick=${then(() => changeServer(server))}><${Icon} name="settings" size=${16} />${t("fleet.change")}</button>`}
      ${can("servers.remove") && html`<button type="button" class="button quiet small bad-ink" onClick=${forget}><${Icon} name="remove" size=${16} />${t("fleet.remove")}</button>`}</div></div>
    ${server.last_error && html`<div class="banner warm"><${Icon} name="failed" /><div class="grow"><${Cause} text=${server.last_error} /></div></div>`}`;
};

const Runs = ({ server }) => {
  const beyond = server.running_now.filter((one) => one.slot >= server.slots);
  const slots = Array.from({ length: server.slots }, (_, nth) => server.running_now.find((one) => one.slot === nth));
  return html`<${Section} id="running" title=${t("server.runs")}><ul class="slots sheet boxed">${slots.map((one, nth) => (one ? html`<${Slot} key=${one.job_id} one=${one} />`
    : html`<li key=${nth} class="slot idle small soft">${t("now.idle", { n: nth + 1 })}</li>`))}${beyond.map((one) => html`<${Slot} key=${one.job_id} one=${one} />`)}</ul><//>`;
};

const changes = () => [
  { title: t("credits.when"), cell: (one) => html`<${At} at=${one.at_ms} />` },
  { title: t("story.state"), cell: (one) => html`<${State} name=${one.state} />` },
  { title: t("story.reason"), cell: (one) => html`<${Cause} text=${one.reason} />` },
];
const troubles = () => [
  { title: t("story.job"), cell: (one) => html`<${JobLink} id=${one.job_id} />` },
  { title: t("story.attempt"), end: true, cell: (one) => number(one.number) },
  { title: t("story.outcome"), cell: (one) => html`<${Outcome} name=${one.outcome} />` },
  { title: t("story.blame"), cell: (one) => html`<${Blame} name=${one.blame} />` },
  { title: t("story.cause"), cell: (one) => html`<${Cause} text=${one.cause} />` },
  { title: t("story.ended"), cell: (one) => html`<${When} at=${one.ended_at_ms} />` },
];
const keptOff = () => [
  { title: t("server.workflow"), cell: (one) => html`<code class="mono small">${one.workflow}</code>` },
  { title: t("story.reason"), cell: (one) => html`<${Cause} text=${one.reason} />` },
  { title: t("story.until"), cell: (one) => (one.until_at_ms ? html`<${When} at=${one.until_at_ms} />` : t("server.until_changed")) },
];

const List = ({ id, title, columns, rows, keyOf, none, about }) => html`<${Section} id=${id} title=${title}>${rows.length
  ? html`${about && html`<p class="soft small">${about}</p>`}<${Table} label=${title} columns=${columns} rows=${rows} keyOf=${keyOf} />` : html`<${Nothing}>${none}<//>`}<//>`;

const About = ({ server }) => html`<${Section} id="about" title=${t("story.server")}><div class="sheet boxed"><${Facts} rows=${[
  [t("server.version"), or(server.version)],
  [t("now.lanes"), server.lanes.map((lane, nth) => html`${nth > 0 && ", "}<a key=${lane} href=${jobsAt({ lane })}>${lane}</a>`)],
  [t("fleet.slots"), count(server.slots)], [t("fleet.ahead"), server.ahead ? count(server.ahead) : t("fleet.ahead_0")],
  [t("server.classes"), number(server.node_classes)],
  [t("server.foreign"), number(server.foreign)],
  [t("server.drained"), server.drained_at_ms && html`<${When} at=${server.drained_at_ms} />`],
  [t("server.quarantined_until"), server.quarantined_until_at_ms && html`<${When} at=${server.quarantined_until_at_ms} />`],
  [t("story.created"), html`<${When} at=${server.created_at_ms} />`]]} /></div><//>`;

const Health = ({ health }) => html`<${Section} id="health" title=${t("server.health")}><div class="sheet boxed">${health ? html`<${Facts} rows=${[
  [t("server.failures"), count(health.failures)], [t("server.trips"), count(health.trips)], [t("server.stands_since"), html`<${Since} at=${health.changed_at_ms} />`]]} />`
  : html`<p class="soft small">${t("server.no_health")}</p>`}</div><//>`;

const Warm = ({ list }) => html`<${Section} id="warm" title=${t("server.warm")}><div class="sheet boxed">${list.length
  ? html`<ul class="plain-list small">${list.map((one) => html`<li key=${one}><code class="mono">${one}</code></li>`)}</ul>` : html`<p class="soft small">${t("server.warm_nothing")}</p>`}</div><//>`;

// All of it but how far its jobs are: that is shown without reading anything.
function mark(name) {
  const server = servers.value.get(name);
  return JSON.stringify(server && { ...server, running_now: server.running_now.map(phase) });
}

export const Server = seen(({ id }) => {
  const { found, gone, again } = useRead(`gate/v1/ops/servers/${encodeURIComponent(id)}`);
  useMark(() => mark(id) ?? "", again);
  if (gone.value) return html`<${Gone} text=${gone.value} />`;
  if (!found.value) return html`<${Waits} />`;
  const server = { ...found.value, ...servers.value?.get(id) };
  const then = (work) => async () => { if (await work()) await again(); };
  return html`<${Head} server=${server} then=${then} /><div class="story"><div class="story-main"><${Runs} server=${server} />
      ${server.kept_off.length > 0 && html`<${List} id="kept-off" title=${t("server.kept_off")} about=${t("server.kept_off_text")} columns=${keptOff()} rows=${server.kept_off} keyOf=${(one) => `${one.workflow} ${one.until_at_ms}`} />`}
      <${List} id="troubles" title=${t("server.troubles")} columns=${troubles()} rows=${server.troubles} keyOf=${(one) => `${one.job_id} ${one.number}`} none=${t("server.no_trouble")} />
      <${List} id="changes" title=${t("server.changes")} columns=${changes()} rows=${server.changes} keyOf=${(one) => one.id} none=${t("server.no_change")} />
    </div><div class="story-side"><${About} server=${server} /><${Health} health=${server.health} /><${Warm} list=${server.warm} /></div></div>`;
});
