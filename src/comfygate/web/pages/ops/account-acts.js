// What is done to an account and its keys.
import { oneTimeKey } from "../shell/api.js";
import { tier } from "../shell/session.js";
import { exact, t } from "../shell/texts.js";
import { act, doPost, doRemove, path, reveal } from "./acts.js";
import { firstRun } from "./state.js";
import { role } from "./telling.js";

const REASON_MAX = 500;
const ROLES = ["user", "operator", "admin"];
const of = (account, ...rest) => path("accounts", account.id, ...rest);

export function grant(account) {
  // Sent again after an answer that was lost, the same amount counts once.
  const key = oneTimeKey();
  return act({
    title: t("person.grant_title", { name: account.name }), text: t("person.grant_text"), confirm: t("person.grant"), done: t("person.granted"),
    fields: [
      { name: "amount", label: t("credits.amount"), kind: "number", required: true, least: 1 },
      { name: "reason", label: t("story.reason"), hint: t("person.reason_hint"), required: true, most: REASON_MAX },
    ],
    work: (sent) => doPost(of(account, "credits"))({ ...sent, reference: `page ${key} ${sent.amount}` }),
  });
}

export const changeTier = (account) => act({
  title: t("person.tier_title", { name: account.name }), text: t("person.tier_text"), confirm: t("fleet.change"), done: t("fleet.changed"),
  fields: [{ name: "tier", label: t("first.account_tier"), kind: "select", value: account.tier, options: firstRun.value.tiers.map((name) => [name, tier(name)]) }],
  work: doPost(of(account, "tier")),
});

export const changeRole = (account) => act({
  title: t("person.role_title", { name: account.name }), text: t("person.role_text"), confirm: t("fleet.change"), danger: true, done: t("fleet.changed"),
  fields: [{ name: "role", label: t("person.role"), kind: "select", value: account.role, options: ROLES.map((name) => [name, role(name)]) }],
  work: doPost(of(account, "role")),
});

export const suspend = (account) => act({
  title: t("person.suspend_title", { name: account.name }), text: t("person.suspend_text"), confirm: t("person.suspend"), danger: true,
  done: t("person.suspended", { name: account.name }), work: doPost(of(account, "suspend")),
});

export const restore = (account) => act({
  title: t("person.restore_title", { name: account.name }), text: t("person.restore_text"), confirm: t("person.restore"),
  done: t("person.restored", { name: account.name }), work: doPost(of(account, "restore")),
});

export const signOut = (account) => act({
  title: t("person.out_title", { name: account.name }), text: t("person.out_text"), confirm: t("button.out"), danger: true,
  done: t("person.out_done"), work: doPost(of(account, "sign-out")),
});

export const forgive = (account) => act({
  title: t("person.forgive_title", { name: account.name }), text: t("person.forgive_text"), confirm: t("person.forgive"),
  done: t("person.forgiven"), work: doPost(of(account, "forgive")),
});

export async function signInCode(account) {
  const made = await act({
    title: t("person.code_title", { name: account.name }), text: t("person.code_text"), confirm: t("person.code_make"), danger: true, done: null,
    work: doPost(of(account, "sign-in-codes")),
  });
  if (!made) return null;
  const link = new URL(`sign-in#${made.code}`, location.href).href;
  await reveal({ title: t("person.code_shown", { name: made.name }), text: t("person.code_until", { when: exact(made.expires_at_ms) }), secret: link });
  return made;
}

export async function addKey(account) {
  const made = await act({
    title: t("person.key_title", { name: account.name }), text: t("person.key_text"), confirm: t("person.key_add"), done: null, work: doPost(of(account, "keys")),
  });
  if (!made) return null;
  await reveal({ title: t("first.key_title", { name: made.name }), text: t("first.key_text"), secret: made.api_key });
  return made;
}

export const revokeKey = (account, mark) => act({
  title: t("person.revoke_title", { key: mark }), text: t("person.revoke_text"), confirm: t("person.revoke"), danger: true,
  done: t("person.revoked"), work: doRemove(of(account, "keys", mark)),
});
