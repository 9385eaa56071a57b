// Signs in with the code behind `#`, when the person says so: a program that only fetches the link uses nothing up.
const chinese = navigator.language.toLowerCase().startsWith("zh");
const texts = {
  link: ["Sign in with your one-time link.", "使用一次性链接登录。"],
  key: ["API key", "API 密钥"],
  enter: ["Sign in", "登录"],
  bot: ["Or write /web to the Telegram bot for a one-time link.", "或者在 Telegram 机器人中发送 /web 获取一次性链接。"],
  away: ["The service did not answer; try again.", "服务没有响应，请重试。"],
};
const say = (name) => texts[name][chinese ? 1 : 0];
document.documentElement.lang = chinese ? "zh" : "en";
for (const place of document.querySelectorAll("[data-text]")) place.textContent = say(place.dataset.text);

const code = location.hash.slice(1);
// Out of the address bar and the history before anything else happens.
history.replaceState(null, "", location.pathname);
const link = document.getElementById("link");
const key = document.getElementById("key");
const said = document.getElementById("said");
(code ? link : key).hidden = false;

async function signIn(event, given) {
  event.preventDefault();
  said.textContent = "";
  try {
    const answer = await fetch("gate/v1/session", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(given),
    });
    if (answer.ok) {
      location.replace("me");
      return;
    }
    said.textContent = (await answer.json()).error.message;
  } catch {
    said.textContent = say("away");
  }
  link.hidden = true;
  key.hidden = false;
}

link.addEventListener("submit", (event) => signIn(event, { code }));
key.addEventListener("submit", (event) => signIn(event, { api_key: document.getElementById("api-key").value.trim() }));
