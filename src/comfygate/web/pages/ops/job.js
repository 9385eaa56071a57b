import { html, seen } from "../shell/html.js";

export const Job = seen(() => html`<h1>Job</h1>`);
