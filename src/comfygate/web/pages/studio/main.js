// The Studio: what can be made, what is being made, what was made, and what it cost.
import { failed, go, route, show } from "../shell/frame.js";
import { html, seen } from "../shell/html.js";
import { begin } from "../shell/session.js";
import { Credits } from "./credits.js";
import { Sessions } from "./sessions.js";

const PLACES = [
  { at: "", title: "nav.make", icon: "make" },
  { at: "credits", title: "nav.credits", icon: "credits" },
];
const BODIES = { credits: Credits, account: Sessions };

const Body = seen(() => {
  const Part = BODIES[route.value[0]] ?? Credits;
  return html`<${Part} />`;
});

try {
  await begin();
  show({ places: PLACES, home: "#/", title: "nav.studio", body: () => html`<${Body} />` });
} catch (error) {
  failed(error);
}
export { go };
