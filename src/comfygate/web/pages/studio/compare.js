// Before and after, one over the other; a slider moves the seam, by mouse, finger or keys.
import { html, useRef } from "../shell/html.js";
import { t } from "../shell/texts.js";

export function Compare({ before, after, alt }) {
  const box = useRef(null);
  const move = (event) => box.current.style.setProperty("--seam", `${event.target.value}%`);
  return html`<div class="compare" ref=${box}>
    <img src=${after} alt=${alt} />
    <img class="compare-before" src=${before} alt=${t("job.before")} />
    <span class="tag on-picture left" aria-hidden="true">${t("job.before")}</span>
    <span class="tag on-picture right" aria-hidden="true">${t("job.after")}</span>
    <span class="compare-seam" aria-hidden="true"></span>
    <input type="range" min="0" max="100" value="50" aria-label=${t("job.compare")} onInput=${move} />
  </div>`;
}
