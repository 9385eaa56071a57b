// The operator's pages: how everything stands, what to do about it, and what was done.
import { leaveFor } from "../shell/api.js";
import { failed, route, show } from "../shell/frame.js";
import { html, seen } from "../shell/html.js";
import { line } from "../shell/live.js";
import { begin as beginSession, may } from "../shell/session.js";
import { learn, t } from "../shell/texts.js";
import { Account } from "./account.js";
import { Accounts } from "./accounts.js";
import { Audit } from "./audit.js";
import { Books } from "./books.js";
import { Catalogue } from "./catalogue.js";
import { Job } from "./job.js";
import { Jobs } from "./jobs.js";
import { Now } from "./now.js";
import { Plots } from "./plots.js";
import { Review, Reviews } from "./reviews.js";
import { Server } from "./server.js";
import { begin, listen } from "./state.js";

const PLACES = [
  { at: "", title: "ops.now", icon: "operations", covers: ["", "server"] },
  { at: "jobs", title: "ops.jobs", icon: "waiting", covers: ["jobs", "job"] },
  { at: "accounts", title: "ops.accounts", icon: "account", covers: ["accounts", "account"] },
  { at: "plots", title: "ops.plots", icon: "plot" },
  { at: "reviews", title: "ops.reviews", icon: "eye", covers: ["reviews", "review"] },
  { at: "books", title: "ops.books", icon: "credits" },
  { at: "catalogue", title: "ops.catalogue", icon: "make" },
  { at: "audit", title: "ops.audit", icon: "text" },
];

const BODIES = { jobs: Jobs, accounts: Accounts, plots: Plots, reviews: Reviews, books: Books, catalogue: Catalogue, audit: Audit };
// One thing each, by its id or name.
const STORIES = { job: Job, account: Account, server: Server, review: Review };

const Body = seen(() => {
  const [at, id] = route.value;
  if (STORIES[at] && id) {
    const Story = STORIES[at];
    return html`<${Story} key=${`${at} ${id}`} id=${id} />`;
  }
  const Part = BODIES[at] ?? Now;
  return html`<${Part} key=${at} />`;
});

const Line = seen(() => html`<span class=${`tag ${line.value === "on" ? "good" : "warm"}`} role="status" data-line=${line.value}>${
  t(`ops.line_${line.value}`)}</span>`);

try {
  await beginSession();
  if (!may("operator")) await leaveFor("studio");
  await learn("ops");
  await begin();
  show({ places: PLACES, home: "#/", title: "nav.ops", body: () => html`<${Body} />`, aside: () => html`<${Line} />` });
  listen();
} catch (error) {
  failed(error);
}
