import { html, seen } from "../shell/html.js";

export const Jobs = seen(() => html`<h1>Jobs</h1>`);
