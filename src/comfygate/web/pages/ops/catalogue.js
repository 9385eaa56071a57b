import { html, seen } from "../shell/html.js";

export const Catalogue = seen(() => html`<h1>Catalogue</h1>`);
