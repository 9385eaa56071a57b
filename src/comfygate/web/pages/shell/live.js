// The one stream of all that happens to the account. Tabs of one browser share it where they can: the one with the
// lock has the stream and passes it on; a browser allows few connections to one host.
import { get, signIn } from "./api.js";
import { signal } from "./html.js";

const NAMES = ["account", "job", "moved", "progress", "preview", "gone", "all"];
const AGAIN_MS = [500, 1000, 2000, 4000, 8000, 15000];
const CHANNEL = "comfygate.live";

// "on", "off" (broken, being tried again), or "begin".
export const line = signal("begin");
let take = () => {};
let shared = null;
let mine = false;

function deliver(name, data) {
  if (name === "all") line.value = "on";
  take(name, data);
}

function pass(name, data) {
  deliver(name, data);
  shared?.postMessage({ name, data });
}

function listen(tries = 0) {
  const stream = new EventSource("gate/v1/events");
  let heard = false;
  for (const name of NAMES) {
    stream.addEventListener(name, (event) => {
      heard = true;
      pass(name, JSON.parse(event.data));
    });
  }
  stream.onerror = async () => {
    stream.close();
    line.value = "off";
    shared?.postMessage({ name: "off" });
    const wait = AGAIN_MS[Math.min(heard ? 0 : tries, AGAIN_MS.length - 1)];
    setTimeout(async () => {
      try {
        await get("gate/v1/account");
      } catch (error) {
        if (error.status === 401) await signIn();
      }
      listen(heard ? 1 : tries + 1);
    }, wait * (0.75 + Math.random() / 2));
  };
  current = stream;
}
let current = null;

// Hears everything from now on: `take(name, data)`. How all stands comes first, then `all`.
export function follow(taker) {
  take = taker;
  if (!navigator.locks || !globalThis.BroadcastChannel) {
    listen();
    return;
  }
  shared = new BroadcastChannel(CHANNEL);
  shared.onmessage = ({ data }) => {
    if (data.name === "hello") {
      // Somebody came: how all stands is told anew, to everybody.
      if (mine && current) {
        current.close();
        listen();
      }
    } else if (data.name === "off") line.value = "off";
    else deliver(data.name, data.data);
  };
  let waiting = true;
  navigator.locks.request(CHANNEL, () => new Promise(() => {
    waiting = false;
    mine = true;
    listen();
  }));
  setTimeout(() => waiting && shared.postMessage({ name: "hello" }), 50);
}
