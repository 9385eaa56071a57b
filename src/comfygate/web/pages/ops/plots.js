import { html, seen } from "../shell/html.js";

export const Plots = seen(() => html`<h1>Plots</h1>`);
