// The one stream of a page. Tabs of one browser share it where they can: the one with the lock has the stream and
// passes it on; a browser allows few connections to one host.
import { get, signIn } from "./api.js";
import { signal } from "./html.js";
import { account } from "./session.js";

const AGAIN_MS = [500, 1000, 2000, 4000, 8000, 15000];

// "on", "off" (broken, being tried again), or "begin".
export const line = signal("begin");
let stream = null;
let take = () => {};
let shared = null;
let mine = false;
let current = null;

function deliver(name, data) {
  if (name === stream.whole) line.value = "on";
  take(name, data);
}

function pass(name, data) {
  deliver(name, data);
  shared?.postMessage({ name, data });
}

function listen(tries = 0) {
  const source = new EventSource(stream.address);
  let heard = false;
  for (const name of stream.names) {
    source.addEventListener(name, (event) => {
      heard = true;
      pass(name, JSON.parse(event.data));
    });
  }
  source.onerror = () => {
    source.close();
    line.value = "off";
    shared?.postMessage({ name: "off" });
    const wait = AGAIN_MS[Math.min(heard ? 0 : tries, AGAIN_MS.length - 1)];
    setTimeout(async () => {
      try {
        await get(stream.check);
      } catch (error) {
        if (error.status === 401) await signIn();
        stream.refused?.(error);
      }
      listen(heard ? 1 : tries + 1);
    }, wait * (0.75 + Math.random() / 2));
  };
  current = source;
}

// Hears everything from now on: `take(name, data)`. `how`: the stream's `address`, the `names` of its events, the one
// after which all is known (`whole`), what to `check` before it is tried again, and who hears if that is `refused`.
export function follow(how, taker) {
  stream = how;
  take = taker;
  // Of this account at this service: another may be signed in in another tab, and another service below another prefix.
  const channel = `comfygate.${account.value.id}.${new URL(how.address, location.href).pathname}`;
  if (!navigator.locks || !globalThis.BroadcastChannel) {
    listen();
    return;
  }
  shared = new BroadcastChannel(channel);
  shared.onmessage = ({ data }) => {
    if (data.name === "hello") {
      // Somebody came: how all stands is told anew, to everybody.
      if (mine && current && line.value !== "off") {
        current.close();
        listen();
      }
    } else if (data.name === "off") line.value = "off";
    else deliver(data.name, data.data);
  };
  let waiting = true;
  navigator.locks.request(channel, () => new Promise(() => {
    waiting = false;
    mine = true;
    listen();
  }));
  setTimeout(() => waiting && shared.postMessage({ name: "hello" }), 50);
}
