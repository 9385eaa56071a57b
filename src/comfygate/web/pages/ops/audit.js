import { html, seen } from "../shell/html.js";

export const Audit = seen(() => html`<h1>Audit</h1>`);
