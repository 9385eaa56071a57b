// What a list is asked for, kept in the address: `#/audit/operation=lanes./actor=cli`; and what operators did lately.
import { go, route } from "../shell/frame.js";
import { useSignal } from "../shell/html.js";
import { useEvents } from "./hear.js";

// {operation: "lanes."} of what follows the page's name.
export function asked() {
  const pairs = route.value.slice(1).map((piece) => [piece.split("=", 1)[0], piece.slice(piece.indexOf("=") + 1)]);
  return Object.fromEntries(pairs.filter(([, value]) => value));
}

const pieces = (query) => Object.entries(query).filter(([, value]) => value).map(([name, value]) => `${name}=${value}`);
export const askFor = (page, query) => go(page, ...pieces(query));
export const askedAt = (page, query) => `#/${[page, ...pieces(query)].map(encodeURIComponent).join("/")}`;

// Calls `hear` once somebody did something of one of these nouns (`codes.`), or (none) anything.
export const useDeeds = (nouns, hear) => useEvents((one) => one.kind === "operation" && (!nouns.length || nouns.some((noun) => one.operation.startsWith(noun))), hear);

// The same for a list: a number that counts up.
export function useSerial(...nouns) {
  const serial = useSignal(0);
  useDeeds(nouns, () => {
    serial.value += 1;
  });
  return serial.value;
}
