// What is done to a job.
import { go } from "../shell/frame.js";
import { credits, t } from "../shell/texts.js";
import { act, doPost, path } from "./acts.js";
import { can } from "./state.js";

const OPEN = ["queued", "running"];
const UNMADE = ["failed", "canceled", "expired"];

export const mayCancel = (job) => can("jobs.cancel") && OPEN.includes(job.status);
export const mayRetry = (job, copies) => can("jobs.retry") && UNMADE.includes(job.status) && !copies.length;

export const cancelJob = (id) => act({
  title: t("story.cancel_title"), text: t("story.cancel_text"), confirm: t("story.cancel"), otherwise: t("button.keep"), danger: true,
  done: t("story.cancel_done"), work: doPost(path("jobs", id, "cancel")),
});

export async function retryJob(job, account) {
  const text = job.price ? t("story.retry_text", { name: account.name, price: credits(job.price) }) : t("story.retry_text_free");
  const again = await act({
    title: t("story.retry_title"), text, confirm: t("button.once_more"), done: t("story.retry_done"), work: doPost(path("jobs", job.id, "retry")),
  });
  if (again) go("job", again.id);
  return again;
}
