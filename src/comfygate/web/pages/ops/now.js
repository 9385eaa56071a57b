// How everything stands: what needs a person, lanes, servers with what they run, and what happens.
import { html, seen } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { brief, clock, count, t } from "../shell/texts.js";
import { tier } from "../shell/session.js";
import { act, doPost, path } from "./acts.js";
import { AccountLink, Actor, JobLink, Nothing, number, Section, serverAt, ServerLink, Since, State } from "./bits.js";
import { FirstRun } from "./first.js";
import { addServer, drain, resumeServer } from "./fleet.js";
import { alerts, busy, can, events, firstRun, lanes, missed, now, servers, untold } from "./state.js";

const GRADES = { fault: "bad", warn: "warm", note: "plain" };

// Servers of a lane that its alert leads to.
const LED_TO = 4;

const Alert = seen(({ one }) => html`<li class=${`banner ${GRADES[one.grade]}`} data-alert=${one.key}><${Icon} name="failed" />
  <div class="grow"><strong>${one.says}</strong> <span>${one.advice}</span>
    ${one.until_at_ms && html` <span>${t("now.until", { when: clock(one.until_at_ms) })}</span>`}</div>
  ${one.server && html`<a class="button quiet small" href=${serverAt(one.server)}>${t("now.look")}</a>`}
  ${(lanes.value.get(one.lane)?.servers ?? []).slice(0, LED_TO).map((name) => html`<a key=${name} class="button quiet small" href=${serverAt(name)}>${name}</a>`)}
  ${one.key === "ledger" && html`<a class="button quiet small" href="#/books">${t("now.look")}</a>`}
  ${one.key === "reviews" && html`<a class="button quiet small" href="#/reviews">${t("now.look")}</a>`}</li>`);

const Alerts = seen(() => alerts.value.length > 0 && html`<ul class="alerts" aria-label=${t("now.alerts")}>
  ${alerts.value.map((one) => html`<${Alert} key=${one.key} one=${one} />`)}</ul>`);

const pause = (lane) => act({
  title: t("now.pause_title", { lane }), text: t("now.pause_text"), confirm: t("now.pause"), danger: true,
  done: t("now.paused", { lane }), work: doPost(path("lanes", lane, "pause")),
});
const resume = (lane) => act({
  title: t("now.resume_title", { lane }), text: t("now.resume_text"), confirm: t("now.resume"),
  done: t("now.resumed", { lane }), work: doPost(path("lanes", lane, "resume")),
});

const whose = (one) => one.tiers.map(tier).join(", ") || t("now.priority", { n: one.priority });

// Who waits, as parts of a bar, those that go first at its beginning.
const Classes = ({ lane }) => html`<div class="classes">
  <div class="class-bar" aria-hidden="true">${lane.by_class.map((one, nth) => html`<i key=${one.priority} class=${`c${nth % 4}`} style=${{ flexGrow: one.waiting }}></i>`)}</div>
  <p class="small">${lane.by_class.map((one, nth) => html`<span key=${one.priority} class="class-word"><i class=${`dot c${nth % 4}`}></i>${whose(one)} <b>${count(one.waiting)}</b></span>`)}</p></div>`;

const ended = (rates, names) => names.reduce((sum, name) => sum + (rates[name] ?? 0), 0);

const Lane = ({ lane }) => html`<li class="sheet lane" data-lane=${lane.name} data-state=${lane.state}>
  <div class="row"><h3 class="grow">${lane.name}</h3><${State} name=${lane.state} />
    ${!lane.in_settings && html`<span class="tag warm">${t("now.not_in_settings")}</span>`}</div>
  <dl class="figures">
    <div><dt>${t("now.waiting")}</dt><dd data-depth>${count(lane.depth)}${lane.depth_is_capped && "+"}${lane.depth_max !== null && html`<small> / ${count(lane.depth_max)}</small>`}</dd></div>
    <div><dt>${t("now.running")}</dt><dd>${count(lane.running)}</dd></div>
    <div><dt>${t("now.per_minute")}</dt><dd title=${t("now.per_minute_failed", { n: ended(lane.ended_per_minute, ["failed", "canceled", "expired"]) })}>${count(ended(lane.ended_per_minute, ["succeeded"]))}</dd></div>
    <div><dt>${t("now.oldest")}</dt><dd>${lane.oldest_at_ms ? html`<${Since} at=${lane.oldest_at_ms} />` : "–"}</dd></div>
    <div><dt>${t("now.eta_last")}</dt><dd>${lane.last_in_line?.p50_ms != null ? html`<${Until} at=${lane.last_in_line.at_ms + lane.last_in_line.p50_ms} />` : "–"}</dd></div>
    <div><dt>${t("now.servers_up")}</dt><dd>${count(lane.servers_up)}<small> / ${count(lane.servers.length)}</small></dd></div>
  </dl>
  ${lane.depth > 0 && html`<${Classes} lane=${lane} />`}
  <div class="row end">${lane.last_in_line && html`<span class="small soft">${t("now.last")} <${JobLink} id=${lane.last_in_line.id} /></span>`}<span class="grow"></span>
    ${lane.state === "open" ? can("lanes.pause") && html`<button type="button" class="button quiet small" onClick=${() => pause(lane.name)}>${t("now.pause")}</button>`
      : can("lanes.resume") && html`<button type="button" class="button small" onClick=${() => resume(lane.name)}>${t("now.resume")}</button>`}</div></li>`;

const Until = seen(({ at }) => brief((at - now.value) / 1000));

// How busy a server was in each minute of the last hour.
const Strip = seen(({ name }) => {
  const found = busy.value;
  if (!found) return html`<div class="strip" aria-hidden="true"></div>`;
  const mine = found.series.find((one) => one.series === name);
  const shares = new Map((mine?.points ?? []).map((one) => [one.at_ms, one.share]));
  const minutes = [];
  for (let at = found.from_at_ms; at < found.until_at_ms; at += found.step_ms) minutes.push(at);
  const whole = Math.round((mine?.whole.share ?? 0) * 100);
  return html`<div class="strip-box"><div class="strip" role="img" aria-label=${t("now.busy", { n: whole })}>${minutes.map((at) => html`
    <i key=${at} style=${{ "--share": shares.get(at) ?? 0 }}></i>`)}</div><span class="small soft number">${t("now.busy_short", { n: whole })}</span></div>`;
});

const Slot = ({ one, slot }) => (one ? html`<li class="slot" data-job=${one.job_id}><div class="row small"><${JobLink} id=${one.job_id} />
    <span class="clip grow">${one.workflow ?? one.lane}${one.style && ` · ${one.style}`}</span><${AccountLink} id=${one.account_id} name=${one.account_name} />
    <span class="soft number"><${Since} at=${one.started_at_ms ?? one.claimed_at_ms} /></span></div>
  <div class="bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round((one.progress?.value ?? 0) * 100)}
    aria-label=${t("now.progress")}><i style=${{ transform: `scaleX(${one.progress?.value ?? 0})` }}></i></div>
  <p class="small soft clip">${one.progress?.current_node_class ?? t(`now.stage_${one.left_at_ms ? "collecting" : one.started_at_ms ? "running" : "sending"}`)}</p></li>`
  : html`<li class="slot idle small soft">${t("now.idle", { n: slot + 1 })}</li>`);

const Server = ({ server }) => {
  const beyond = server.running_now.filter((one) => one.slot >= server.slots);
  return html`<li class="sheet server" data-server=${server.name} data-state=${server.state}>
    <div class="row"><h3 class="grow"><${ServerLink} name=${server.name} /></h3><${State} name=${server.state} /></div>
    <p class="small soft">${server.lanes.join(", ")}${server.foreign ? html` · <span class="warm-ink">${t("now.foreign", { n: server.foreign })}</span>` : ""}</p>
    <${Strip} name=${server.name} />
    <ul class="slots">${Array.from({ length: server.slots }, (_, slot) => html`<${Slot} key=${slot} slot=${slot} one=${server.running_now.find((one) => one.slot === slot)} />`)}
      ${beyond.map((one) => html`<${Slot} key=${one.job_id} slot=${one.slot} one=${one} />`)}</ul>
    ${server.warm.length > 0 && html`<p class="small soft clip" title=${server.warm.join(", ")}>${t("now.warm")} ${server.warm.join(", ")}</p>`}
    ${server.last_error && html`<p class="small warm-ink">${server.last_error.split("\n")[0]}</p>`}
    <div class="row end">
      ${server.drained_at_ms === null && can("servers.drain") && html`<button type="button" class="button quiet small" onClick=${() => drain(server.name)}>${t("now.drain")}</button>`}
      ${(server.drained_at_ms !== null || server.state === "quarantined") && can("servers.resume") && html`<button type="button" class="button small" onClick=${() => resumeServer(server.name)}>${t("now.resume")}</button>`}</div></li>`;
};

// What happened, in words; ids and names in it lead on.
function said(one) {
  if (one.kind.startsWith("job.")) {
    return html`<${JobLink} id=${one.job_id} /> <span class="soft">${one.lane}</span> <${State} name=${one.kind.slice(4)} of="status" />
      ${one.place > 0 && one.kind === "job.queued" && html` <span class="soft">${t("now.place", { n: one.place })}</span>`}`;
  }
  if (one.kind === "server") return html`<${ServerLink} name=${one.server} />: ${one.was && html`<${State} name=${one.was} /> → `}<${State} name=${one.state} />`;
  if (one.kind === "operation") return html`<a href="#/audit">${one.operation}</a> <span class="soft"><${Actor} actor=${one.actor} /></span>${one.result !== "ok" && html` <span class="warm-ink">${one.result}</span>`}`;
  return one.kind;
}

const Event = ({ one }) => html`<li class="event small" data-kind=${one.kind}><time class="soft number">${clock(one.at_ms)}</time>
  <span class="grow">${said(one)}</span></li>`;

const Feed = seen(() => html`<${Section} id="feed" title=${t("now.feed")}>
  ${missed.value > 0 && html`<p class="small soft">${t("now.missed", { n: missed.value })}</p>`}
  <ol class="sheet feed" tabindex="0" aria-label=${t("now.feed")}>${events.value.length ? events.value.map((one) => html`<${Event} key=${`${one.id} ${one.at_ms}`} one=${one} />`)
    : html`<li class="event small soft">${t("now.quiet")}</li>`}</ol><//>`);

const Lanes = seen(() => html`<${Section} id="lanes" title=${t("now.lanes")}><ul class="lanes">${[...lanes.value.values()].map((lane) => html`
  <${Lane} key=${lane.name} lane=${lane} />`)}</ul><//>`);

const Servers = seen(() => {
  const tools = can("servers.add") && html`<button type="button" class="button quiet small" onClick=${addServer}><${Icon} name="add" size=${16} />${t("now.add_server")}</button>`;
  return html`<${Section} id="servers" title=${t("now.servers")} tools=${tools}>
    ${servers.value.size ? html`<ul class="servers">${[...servers.value.values()].map((server) => html`<${Server} key=${server.name} server=${server} />`)}</ul>`
      : html`<${Nothing}>${t("now.no_server")}<//>`}<//>`;
});

const Untold = seen(() => untold.value.oldest_at_ms && now.value - untold.value.oldest_at_ms > 5000 && html`<p class="small soft">${t("now.untold", { n: untold.value.rows })} <${Since} at=${untold.value.oldest_at_ms} /></p>`);

export const Now = seen(() => {
  if (!lanes.value) return html`<div class="now" aria-busy="true">${[1, 2, 3].map((n) => html`<div key=${n} class="skeleton lane-waits"></div>`)}</div>`;
  return html`<h1 class="unseen">${t("ops.now")}</h1><${Alerts} />
    ${firstRun.value?.next_step && html`<${FirstRun} />`}
    <div class="now"><div class="now-main"><${Lanes} /><${Servers} /></div><div class="now-side"><${Untold} /><${Feed} /></div></div>`;
});
