// Asks before something is done that cannot be undone, and says briefly what was done.
import { html, seen, signal, useEffect, useRef } from "./html.js";
import { t } from "./texts.js";

const asked = signal(null);
const notes = signal([]);
const NOTE_MS = 6000;
let serial = 0;

// True once the person agreed. `more`: a component drawn below the text (a field to fill in, say).
export function ask({ title, text, confirm, danger = false, more = null }) {
  asked.value?.answer(false);
  return new Promise((resolve) => {
    asked.value = {
      title, text, confirm, danger, more,
      answer(yes) {
        asked.value = null;
        resolve(yes);
      },
    };
  });
}

// Says something at the foot of the page for some seconds. `kind`: "good", "bad".
export function note(text, kind = "good") {
  const one = { id: ++serial, text, kind };
  notes.value = [...notes.value.slice(-2), one];
  setTimeout(() => {
    notes.value = notes.value.filter((other) => other.id !== one.id);
  }, NOTE_MS);
}

// Does something and says what went wrong, if it did. True if it was done.
export async function attempt(work) {
  try {
    await work();
    return true;
  } catch (error) {
    if (error.name !== "AbortError") note(error.message, "bad");
    return false;
  }
}

const Question = ({ question }) => {
  const box = useRef(null);
  useEffect(() => {
    box.current.showModal();
  }, [question]);
  return html`<dialog ref=${box} class="dialog" aria-labelledby="question-title"
      onClose=${() => asked.value === question && question.answer(false)}>
    <h2 id="question-title">${question.title}</h2>
    ${question.text && html`<p>${question.text}</p>`}
    ${question.more}
    <div class="row end">
      <button type="button" class="button quiet" autofocus onClick=${() => question.answer(false)}>${t("button.keep")}</button>
      <button type="button" class=${question.danger ? "button danger" : "button"}
        onClick=${() => question.answer(true)}>${question.confirm}</button>
    </div>
  </dialog>`;
};

export const Asides = seen(() => html`
  ${asked.value && html`<${Question} key=${asked.value.title} question=${asked.value} />`}
  <div class="notes" role="status" aria-live="polite">
    ${notes.value.map((one) => html`<p key=${one.id} class=${`note ${one.kind}`}>${one.text}</p>`)}
  </div>`);
