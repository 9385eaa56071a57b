// Who is signed in, in which role, and with how many credits.
import { call, get, leaveFor, remove, signIn } from "./api.js";
import { computed, signal } from "./html.js";
import { t } from "./texts.js";

export const session = signal(null);
export const account = computed(() => session.value?.account ?? null);

const RANKS = { user: 0, operator: 1, admin: 2 };

// Whether the person may see what is for this role.
export const may = (role) => session.value !== null && RANKS[session.value.role] >= RANKS[role];

// Tabs tell each other who is signed in: a page that shows one account must not act as another.
const tabs = globalThis.BroadcastChannel ? new BroadcastChannel(`comfygate.session.${new URL("./", location.href).pathname}`) : null;

export async function begin() {
  try {
    session.value = await call("GET", "gate/v1/session");
  } catch (error) {
    if (error.status === 401) await signIn();
    throw error;
  }
  if (!tabs) return;
  tabs.onmessage = ({ data }) => {
    if (data !== account.value.id) location.reload();
  };
  tabs.postMessage(account.value.id);
}

// The account as a stream or an answer tells it.
export function told(found) {
  if (session.value) session.value = { ...session.value, account: { ...session.value.account, ...found } };
}

export async function refresh() {
  told(await get("gate/v1/account"));
}

export async function leave(everywhere = false) {
  await remove(`gate/v1/session?of=${everywhere ? "all" : "this"}`);
  tabs?.postMessage(null);
  await leaveFor("sign-in");
}

// A tier's name for people; tiers that the operator named show as they are.
const TIERS = { regular: "tier.regular", vip: "tier.vip", black_gold: "tier.black_gold" };
export const tier = (name) => (TIERS[name] ? t(TIERS[name]) : name);
