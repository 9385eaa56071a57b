// What is done to servers, wherever it is asked for.
import { post } from "../shell/api.js";
import { t } from "../shell/texts.js";
import { act, doPost, doRemove, path } from "./acts.js";
import { lanes, lookAround } from "./state.js";

export const drain = (name) => act({
  title: t("fleet.drain_title", { name }), text: t("fleet.drain_text"), confirm: t("now.drain"), danger: true,
  done: t("fleet.drained", { name }), work: doPost(path("servers", name, "drain")),
});

export const resumeServer = (name) => act({
  title: t("fleet.resume_title", { name }), text: t("fleet.resume_text"), confirm: t("now.resume"),
  done: t("fleet.resumed", { name }), work: doPost(path("servers", name, "resume")),
});

export const removeServer = (name) => act({
  title: t("fleet.remove_title", { name }), text: t("fleet.remove_text"), confirm: t("fleet.remove"), danger: true,
  done: t("fleet.removed", { name }), work: doRemove(path("servers", name)),
});

// An address as people write it: without a scheme it is http.
const SCHEME = /^[a-z][a-z0-9+.-]*:\/\//i;
export const addressOf = (text) => (SCHEME.test(text.trim()) ? text.trim() : ["http:", "", text.trim()].join("/"));
const sentAs = (given) => ({ ...given, url: addressOf(given.url), ahead: Number(given.ahead) });

// The fields of a server; `now` is one that is there and is changed.
export function serverFields(now = null) {
  const ahead = [["0", t("fleet.ahead_0")], ["1", t("fleet.ahead_1")]];
  return [
    ...(now ? [] : [{ name: "name", label: t("fleet.name"), hint: t("fleet.name_hint"), required: true, most: 63, example: "gpu-1" }]),
    { name: "url", label: t("fleet.url"), required: true, most: 2000, value: now?.url ?? "", example: "10.0.0.5:8188" },
    { name: "lanes", label: t("now.lanes"), kind: "many", required: true, value: now?.lanes ?? [], options: [...new Set([...lanes.value.keys(), ...(now?.lanes ?? [])])].map((name) => [name, name]) },
    { name: "slots", label: t("fleet.slots"), hint: t("fleet.slots_hint"), kind: "number", required: true, least: 1, most: 64, value: now?.slots ?? 1 },
    { name: "ahead", label: t("fleet.ahead"), hint: t("fleet.ahead_hint"), kind: "select", options: ahead, value: String(now?.ahead ?? 0) },
  ];
}

export async function addServer() {
  const sent = (given) => post("gate/v1/ops/servers", sentAs(given));
  const made = await act({ title: t("now.add_server"), text: t("fleet.add_text"), confirm: t("fleet.add"), done: t("fleet.added"), fields: serverFields(), work: sent });
  if (made) await lookAround();
}

export const changeServer = (server) => act({
  title: t("fleet.change_title", { name: server.name }), text: null, confirm: t("fleet.change"), done: t("fleet.changed"),
  fields: serverFields(server), work: (given) => post("gate/v1/ops/servers", { ...sentAs(given), name: server.name }),
});
