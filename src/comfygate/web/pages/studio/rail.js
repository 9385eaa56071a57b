// Beside the form: what is in the works, and what just came of it.
import { html, seen } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { line } from "../shell/live.js";
import { t } from "../shell/texts.js";
import { Made, Working } from "./card.js";
import { latest, open } from "./state.js";

const LATEST_MAX = 6;

export const Rail = seen(() => html`<aside class="rail" aria-label=${t("rail.title")}>
  <div class="row"><h2 class="grow">${t("rail.title")}</h2>${open.value.length > 0 && html`<span class="tag accent number">${open.value.length}</span>`}</div>
  ${line.value === "off" && html`<p class="banner warm" role="status"><${Icon} name="failed" />${t("rail.off")}</p>`}
  ${open.value.map((job) => html`<${Working} key=${job.id} job=${job} />`)}
  ${latest.value.slice(0, LATEST_MAX).map((job) => html`<${Made} key=${job.id} job=${job} />`)}
  ${!open.value.length && !latest.value.length && html`<div class="sheet empty small"><${Icon} name="waiting" /><p>${t("rail.none")}</p></div>`}
</aside>`);
