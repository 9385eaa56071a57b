import { html, seen } from "../shell/html.js";

export const Account = seen(() => html`<h1>Account</h1>`);
