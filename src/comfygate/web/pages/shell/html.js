// What pages are drawn with: htm and Preact, and signals that redraw what read them.
import { html, render, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../vendor/htm-preact.module.js";
import { batch, computed, effect, signal, untracked } from "../vendor/signals-core.module.js";

export { batch, computed, effect, html, render, signal, untracked };
export { useEffect, useLayoutEffect, useMemo, useRef, useState };

// A component that is drawn anew whenever a signal changes that it read while it was drawn.
export function seen(draw) {
  return function Seen(props) {
    const [, again] = useState(0);
    const stop = useRef(null);
    useEffect(() => () => stop.current?.(), []);
    stop.current?.();
    let drawn = null;
    let first = true;
    stop.current = effect(() => {
      if (first) {
        first = false;
        drawn = draw(props);
      } else {
        again((times) => times + 1);
      }
    });
    return drawn;
  };
}

// One signal of a component's own, for as long as it is shown.
export const useSignal = (value) => useMemo(() => signal(value), []);

// Class names of those that are true.
export const classes = (...names) => names.filter(Boolean).join(" ");
