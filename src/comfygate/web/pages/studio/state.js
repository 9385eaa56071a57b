// What the Studio knows: the catalogue, and every job it has seen. Kept true by the stream, never by asking again.
import { content, get } from "../shell/api.js";
import { batch, computed, signal } from "../shell/html.js";
import { follow } from "../shell/live.js";
import { told } from "../shell/session.js";

export const workflows = signal(null);
export const named = (name) => workflows.value?.find((one) => one.name === name) ?? null;

export const jobs = signal(new Map());
export const previews = signal(new Map());
export const ENDED = new Set(["succeeded", "failed", "canceled", "expired"]);
export const ended = (job) => ENDED.has(job.status);
// In the works, the newest first; and what ended while this page was open.
export const open = computed(() => newest([...jobs.value.values()].filter((job) => !ended(job))));
const lately = signal(new Set());
export const latest = computed(() => newest([...lately.value].map((id) => jobs.value.get(id)).filter((job) => job && ended(job))));

const newest = (list) => list.sort((one, other) => (one.created_at < other.created_at ? 1 : -1));

function change(id, how) {
  const before = jobs.value.get(id);
  const after = how(before);
  const all = new Map(jobs.value);
  if (after) all.set(id, after);
  else all.delete(id);
  jobs.value = all;
}

// A job as the service tells it. `heard_at` counts the estimate down.
export function know(job) {
  batch(() => {
    change(job.id, (before) => ({ ...before, ...job, heard_at: Date.now() }));
    if (!ended(job)) lately.value = new Set(lately.value).add(job.id);
    else forgetPreview(job.id);
  });
}

// How often the stream told of a job. An answer that was asked for before it last did is older than what it told.
const heard = new Map();
let times = 0;
export const askedNow = () => times;
export function answered(job, asked) {
  if ((heard.get(job.id) ?? 0) <= asked) know(job);
  else if (jobs.value.has(job.id)) know({ ...job, ...jobs.value.get(job.id) });
}
function hear(id) {
  times += 1;
  heard.set(id, times);
}

export function hide(id) {
  batch(() => {
    change(id, () => null);
    forgetPreview(id);
    lately.value = new Set([...lately.value].filter((one) => one !== id));
  });
}

function forgetPreview(id) {
  const had = previews.value.get(id);
  if (!had) return;
  URL.revokeObjectURL(had);
  const all = new Map(previews.value);
  all.delete(id);
  previews.value = all;
}

function preview({ id, content_type, data_base64 }) {
  if (!content_type.startsWith("image/")) return;
  const bytes = Uint8Array.from(atob(data_base64), (letter) => letter.charCodeAt(0));
  const all = new Map(previews.value);
  const old = all.get(id);
  all.set(id, URL.createObjectURL(new Blob([bytes], { type: content_type })));
  previews.value = all;
  if (old) URL.revokeObjectURL(old);
}

const TAKE = {
  account: told,
  job: (job) => {
    hear(job.id);
    know(job);
  },
  gone: ({ id }) => {
    hear(id);
    hide(id);
  },
  moved: ({ id, queue_position, eta }) => change(id, (job) => job && {
    ...job, queue_position, ...(eta ? { eta, heard_at: Date.now() } : {}),
  }),
  progress: ({ id, ...progress }) => change(id, (job) => job && { ...job, progress }),
  preview,
  all: ({ ids }) => {
    // What this page thinks is open and is not ended while nobody listened.
    const here = new Set(ids);
    for (const job of open.value) if (!here.has(job.id)) look(job.id).catch(() => {});
  },
};

export function listen() {
  const how = { address: "gate/v1/events", names: Object.keys(TAKE), whole: "all", check: "gate/v1/account" };
  follow(how, (name, data) => TAKE[name](data));
}

export async function loadCatalogue() {
  workflows.value = (await get("gate/v1/workflows")).workflows;
}

// One job with the values it was ordered with; null if it is gone.
export async function look(id) {
  const asked = askedNow();
  try {
    const job = await get(`gate/v1/jobs/${encodeURIComponent(id)}`);
    answered(job, asked);
    return job;
  } catch (error) {
    if (error.status === 404) hide(id);
    else if (error.status) throw error;
    return null;
  }
}

export const kindOf = (output) => output.content_type.split("/")[0];
export const addressOf = (output) => content(output.id);

// The picture that a picture was made of, for looking at both.
export function before(job) {
  const made = job.outputs.filter((one) => kindOf(one) === "image");
  const sent = job.inputs.filter((one) => one.content_type.startsWith("image/"));
  return made.length === 1 && sent.length ? content(sent[0].asset_id) : null;
}
