// The Studio: what can be made, what is being made, what was made, and what it cost.
import { attempt } from "../shell/dialog.js";
import { failed, route, show } from "../shell/frame.js";
import { html, seen } from "../shell/html.js";
import { begin } from "../shell/session.js";
import { Catalogue } from "./catalogue.js";
import { Credits } from "./credits.js";
import { Gallery } from "./gallery.js";
import { Job } from "./job.js";
import { Order } from "./order.js";
import { Rail } from "./rail.js";
import { Sessions } from "./sessions.js";
import { listen, loadCatalogue } from "./state.js";

const PLACES = [
  { at: "", title: "nav.make", icon: "make" },
  { at: "gallery", title: "nav.gallery", icon: "gallery" },
  { at: "credits", title: "nav.credits", icon: "credits" },
];

const Make = seen(() => {
  const [, name, like] = route.value;
  return html`<div class="make"><div class="make-main">
    ${route.value[0] === "make" ? html`<${Order} name=${name} like=${like} />` : html`<${Catalogue} />`}</div><${Rail} /></div>`;
});

const BODIES = { gallery: Gallery, credits: Credits, account: Sessions };

const Body = seen(() => {
  const [at, id] = route.value;
  if (at === "job") return html`<${Job} key=${id} id=${id} />`;
  const Part = BODIES[at] ?? Make;
  return html`<${Part} />`;
});

try {
  await begin();
  show({ places: PLACES, home: "#/", title: "nav.studio", body: () => html`<${Body} />` });
  listen();
  await attempt(loadCatalogue);
} catch (error) {
  failed(error);
}
