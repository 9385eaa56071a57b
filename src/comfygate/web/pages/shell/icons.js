// Drawings, in the colour of the text around them. They say nothing to a screen reader: the words beside them do.
import { html } from "./html.js";

const PATHS = {
  logo: ["M4 20V9a8 8 0 0 1 16 0v11", "M9 20v-9a3 3 0 0 1 6 0v9", "M2 20h20"],
  make: ["M12 3l1.9 5.1L19 10l-5.1 1.9L12 17l-1.9-5.1L5 10l5.1-1.9z", "M19 16v4", "M17 18h4"],
  gallery: ["M4 5h16v14H4z", "M4 16l4.5-4.5 3.5 3.5 3-3 5 5", "M15.5 9.5h.01"],
  credits: ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z", "M14.8 9.2A3.6 3.6 0 1 0 14.8 14.8"],
  account: ["M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8z", "M4 21a8 8 0 0 1 16 0"],
  operations: ["M4 6h16", "M4 12h16", "M4 18h16", "M8 4v4", "M15 10v4", "M10 16v4"],
  sun: ["M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z", "M12 2v2", "M12 20v2", "M2 12h2", "M20 12h2", "M5 5l1.4 1.4", "M17.6 17.6 19 19", "M5 19l1.4-1.4", "M17.6 6.4 19 5"],
  moon: ["M20 14.5A8.5 8.5 0 1 1 9.5 4a7 7 0 0 0 10.5 10.5z"],
  globe: ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z", "M3 12h18", "M12 3c3 3 3 15 0 18", "M12 3c-3 3-3 15 0 18"],
  out: ["M14 4h5v16h-5", "M10 8l-4 4 4 4", "M6 12h9"],
  upload: ["M12 16V5", "M7 10l5-5 5 5", "M4 19h16"],
  download: ["M12 4v11", "M7 11l5 5 5-5", "M4 20h16"],
  remove: ["M4 7h16", "M9 7V4h6v3", "M6 7l1 13h10l1-13", "M10 11v5", "M14 11v5"],
  again: ["M20 11a8 8 0 1 0-2.3 6.3", "M20 4v7h-7"],
  settings: ["M4 7h10", "M18 7h2", "M4 17h2", "M10 17h10", "M16 5v4", "M8 15v4"],
  close: ["M6 6l12 12", "M18 6 6 18"],
  back: ["M15 5l-7 7 7 7"],
  dice: ["M5 4h14v16H5z", "M9 8h.01", "M15 8h.01", "M12 12h.01", "M9 16h.01", "M15 16h.01"],
  done: ["M5 12.5l4.5 4.5L19 7.5"],
  failed: ["M12 8v5", "M12 16.5h.01", "M12 3 2.5 20h19z"],
  waiting: ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z", "M12 7v5l3 2"],
  expand: ["M4 9V4h5", "M20 9V4h-5", "M4 15v5h5", "M20 15v5h-5"],
  key: ["M15 4a5 5 0 1 0-4.6 7L4 17.5V20h3v-2h2v-2h2l2.5-2.6A5 5 0 0 0 15 4z"],
  picture: ["M4 5h16v14H4z", "M4 16l4.5-4.5 3.5 3.5 3-3 5 5"],
  video: ["M3 6h12v12H3z", "M15 10l6-3v10l-6-3"],
  audio: ["M9 18V6l10-2v12", "M9 18a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0z", "M19 16a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0z"],
  copy: ["M9 9h11v11H9z", "M5 15H4V4h11v1"],
  add: ["M12 5v14", "M5 12h14"],
  plot: ["M4 4v16h16", "M8 15l4-5 3 3 5-7"],
  eye: ["M2 12s4-6.5 10-6.5S22 12 22 12s-4 6.5-10 6.5S2 12 2 12z", "M12 14.8a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6z"],
  server: ["M4 5h16v6H4z", "M4 13h16v6H4z", "M8 8h.01", "M8 16h.01"],
  text: ["M5 6h14", "M5 11h14", "M5 16h9"],
};

export const Icon = ({ name, size = 20 }) => html`<svg class="icon" width=${size} height=${size} viewBox="0 0 24 24"
  fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round"
  aria-hidden="true" focusable="false">${PATHS[name].map((path) => html`<path d=${path} />`)}</svg>`;
