import { html, seen } from "../shell/html.js";

export const Accounts = seen(() => html`<h1>Accounts</h1>`);
