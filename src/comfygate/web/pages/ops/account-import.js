// A file of accounts: what it would come to is shown before anything is taken in.
import { post } from "../shell/api.js";
import { attempt, note } from "../shell/dialog.js";
import { html, seen, useRef, useSignal } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { tier } from "../shell/session.js";
import { count, t } from "../shell/texts.js";
import { Facts } from "./bits.js";

const NAME_MAX = 200;
// Above what the service takes, so that it is the one to say so; a film is not even read.
const BYTES_MAX = 4e6;
const send = (file, dry) => post("gate/v1/ops/imports", { content: file.content, file_name: file.name.slice(0, NAME_MAX), dry_run: dry });

// What the file says wrong is told line by line.
const Fault = ({ text }) => html`<ul class="cause">${text.split("; ").map((one, nth) => html`<li key=${nth}>${one}</li>`)}</ul>`;

const Trial = ({ file, found, busy, take, leave }) => html`<section class="sheet boxed stack import" aria-labelledby="import">
  <h2 id="import">${t("person.import_would", { file: file.name })}</h2><p class="soft small">${t("person.import_not_yet")}</p>
  <${Facts} rows=${[[t("person.import_new"), count(found.new_accounts)], [t("person.import_known"), count(found.known_accounts)], [t("credits.amount"), count(found.credits)],
    ...Object.entries(found.tiers).map(([name, n]) => [tier(name), count(n)])]} />
  <div class="row end"><button type="button" class="button quiet" onClick=${leave}>${t("person.import_close")}</button>
    <button type="button" class="button" disabled=${busy} onClick=${take}>${t("person.import_take")}</button></div></section>`;

export function useImport() {
  const file = useSignal(null);
  const found = useSignal(null);
  const fault = useSignal("");
  const busy = useSignal(false);
  const leave = () => {
    file.value = found.value = null;
    fault.value = "";
  };
  const choose = async (event) => {
    const [chosen] = event.target.files;
    event.target.value = "";
    if (!chosen) return;
    leave();
    try {
      if (chosen.size > BYTES_MAX) throw new Error(t("person.import_large"));
      const given = { name: chosen.name, content: await chosen.text() };
      found.value = await send(given, true);
      file.value = given;
    } catch (error) {
      fault.value = error.message;
    }
  };
  const take = async () => {
    busy.value = true;
    await attempt(async () => {
      const came = await send(file.value, false);
      note(t("person.import_done", { n: came.new_accounts }));
      leave();
    });
    busy.value = false;
  };
  return { file, found, fault, busy, choose, take, leave };
}

export const ImportButton = ({ choose }) => {
  const box = useRef(null);
  return html`<button type="button" class="button quiet" onClick=${() => box.current.click()}><${Icon} name="upload" size=${16} />${t("person.import")}</button>
    <input ref=${box} type="file" accept=".csv,text/csv" hidden data-chooser="accounts" aria-label=${t("person.import")} onChange=${choose} />`;
};

export const ImportPanel = seen(({ how }) => html`<div role="status">
  ${how.fault.value && html`<div class="banner bad import"><${Icon} name="failed" /><div class="grow"><strong>${t("person.import_refused")}</strong><${Fault} text=${how.fault.value} /></div>
    <button type="button" class="button quiet small" onClick=${how.leave}>${t("person.import_close")}</button></div>`}
  ${how.found.value && html`<${Trial} file=${how.file.value} found=${how.found.value} busy=${how.busy.value} take=${how.take} leave=${how.leave} />`}</div>`);
