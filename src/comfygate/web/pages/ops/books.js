import { html, seen } from "../shell/html.js";

export const Books = seen(() => html`<h1>Books</h1>`);
