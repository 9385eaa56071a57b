// What pages hear of the stream, so that what they show is read again when it changed.
import { effect, untracked, useEffect, useRef } from "../shell/html.js";
import { line } from "../shell/live.js";
import { events, missed, servers } from "./state.js";

const SOON_MS = 200;
const REST_MS = 3000;

// Calls `hear` once something happened that is `mine`, or may have been missed: soon, and while much happens every few
// seconds.
export function useEvents(mine, hear) {
  const latest = useRef(null);
  latest.current = { mine, hear };
  useEffect(() => {
    let newest = events.value[0];
    let lost = missed.value;
    let was = line.value;
    let timer = null;
    let free = 0;
    const ring = () => {
      timer ??= setTimeout(() => {
        timer = null;
        free = Date.now() + REST_MS;
        latest.current.hear();
      }, Math.max(SOON_MS, free - Date.now()));
    };
    const stop = effect(() => {
      const all = events.value;
      const known = all.indexOf(newest);
      const fresh = known < 0 ? all : all.slice(0, known);
      const gap = missed.value !== lost || (was === "off" && line.value === "on");
      [newest, lost, was] = [all[0], missed.value, line.value];
      if (gap || fresh.some(latest.current.mine)) ring();
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, []);
}

// Calls `hear` when what `mark` says of the servers is another than before.
export function useMark(mark, hear) {
  const latest = useRef(null);
  latest.current = hear;
  useEffect(() => {
    let was = null;
    return effect(() => {
      if (!servers.value) return;
      const now = mark();
      const changed = was !== null && now !== was;
      was = now;
      if (changed) untracked(latest.current);
    });
  }, []);
}

// A job where it runs, if it does.
export function runs(id) {
  for (const server of servers.value?.values() ?? []) {
    const one = server.running_now.find((other) => other.job_id === id);
    if (one) return one;
  }
  return null;
}

export const phase = (one) => (one ? `${one.job_id} ${one.attempt} ${one.started_at_ms} ${one.left_at_ms}` : "");
