import { html, seen } from "../shell/html.js";

export const Server = seen(() => html`<h1>Server</h1>`);
