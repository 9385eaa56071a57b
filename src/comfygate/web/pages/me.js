// What the signed-in account has: credits, jobs with their results, entries. All text is set as text, never as HTML.
const chinese = navigator.language.toLowerCase().startsWith("zh");
const texts = {
  out: ["Sign out", "退出"],
  outAll: ["Sign out everywhere", "在所有设备上退出"],
  jobs: ["Jobs", "任务"],
  entries: ["Credits", "积分记录"],
  more: ["More", "更多"],
  none: ["Nothing yet.", "还没有。"],
  place: ["place", "排队位置"],
  away: ["The service did not answer; reload the page.", "服务没有响应，请刷新页面。"],
  credits: ["credits", "积分"],
  held: ["set aside", "已预留"],
};
const say = (name) => texts[name][chinese ? 1 : 0];
document.documentElement.lang = chinese ? "zh" : "en";
for (const place of document.querySelectorAll("[data-text]")) place.textContent = say(place.dataset.text);

const at = (id) => document.getElementById(id);
const JOBS = 20;
let cursor = null;

function made(tag, text, className) {
  const one = document.createElement(tag);
  if (text !== undefined) one.textContent = text;
  if (className) one.className = className;
  return one;
}

async function get(address) {
  const answer = await fetch(address, { headers: { Accept: "application/json" } });
  if (answer.status === 401) {
    location.replace("sign-in");
    throw new Error("signed out");
  }
  if (!answer.ok) throw new Error((await answer.json()).error.message);
  return answer.json();
}

function result(output) {
  const address = output.url;
  const kind = output.content_type;
  if (kind.startsWith("image")) {
    const link = made("a");
    const picture = made("img");
    link.href = picture.src = address;
    picture.alt = output.name || "";
    picture.loading = "lazy";
    link.append(picture);
    return link;
  }
  if (kind.startsWith("video")) {
    const clip = made("video");
    clip.src = address;
    clip.controls = true;
    clip.preload = "metadata";
    return clip;
  }
  const link = made("a", output.name || address);
  link.href = address;
  return link;
}

// Results are fetched from where this page came from, whatever host the signed address names.
const here = (url) => {
  const found = new URL(url, location.href);
  return new URL(found.pathname + found.search, location.origin).href;
};

function job(one) {
  const line = made("li");
  const state = one.queue_position != null && one.status === "queued"
    ? `${one.status} · ${say("place")} ${one.queue_position}` : one.status;
  line.append(made("time", new Date(one.created_at).toLocaleString()), made("span", state, `state ${one.status}`));
  if (one.error) line.append(made("p", one.error.message));
  const results = made("div", undefined, "results");
  for (const output of one.outputs || []) results.append(result({ ...output, url: here(output.url) }));
  line.append(results);
  return line;
}

async function jobs() {
  const more = cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
  const page = await get(`api/v2/jobs?limit=${JOBS}${more}`);
  for (const one of page.jobs) at("jobs").append(job(one));
  if (!at("jobs").children.length) at("jobs").append(made("li", say("none"), "soft"));
  cursor = page.next_cursor;
  at("more").hidden = !cursor;
}

async function show() {
  const account = await get("gate/v1/account");
  at("name").textContent = account.name;
  document.title = `${account.name} · comfygate`;
  const held = account.held ? ` · ${account.held} ${say("held")}` : "";
  at("credits").textContent = `${account.available} ${say("credits")}${held} · ${account.tier}`;
  await jobs();
  const { entries } = await get("gate/v1/entries?limit=20");
  for (const one of entries) {
    const row = made("tr");
    row.append(made("td", new Date(one.created_at).toLocaleString()), made("td", one.words), made("td", one.amount));
    at("entries").append(row);
  }
}

async function leave(of) {
  await fetch(`gate/v1/session?of=${of}`, { method: "DELETE" });
  location.replace("sign-in");
}

const told = (work) => work().catch((error) => {
  at("said").textContent = error instanceof TypeError ? say("away") : error.message;
});
at("out").addEventListener("click", () => told(() => leave("this")));
at("out-all").addEventListener("click", () => told(() => leave("all")));
at("more").addEventListener("click", () => told(jobs));
told(show);
