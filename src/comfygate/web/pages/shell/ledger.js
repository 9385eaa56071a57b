// How movements of credits are told.
import { has, t } from "./texts.js";

const ENTERS = new Set(["grant", "release", "merge_in"]);

// A capture moves what was set aside before: nothing more leaves the account.
export const sign = (kind) => (ENTERS.has(kind) ? "+" : kind === "capture" ? "" : "−");
// A kind that the texts do not know shows as the service says it.
export const entry = (kind, words = kind) => (has(`entry.${kind}`) ? t(`entry.${kind}`) : words);

const HOLDS = { placed: "job.deducted", captured: "job.spent", released: "job.refunded" };
// What became of a job's credits; null where nothing was set aside.
export const became = (hold, n) => (HOLDS[hold] ? t(HOLDS[hold], { n }) : null);
