import { html, seen } from "../shell/html.js";

export const Reviews = seen(() => html`<h1>Reviews</h1>`);
export const Review = seen(() => html`<h1>Review</h1>`);
