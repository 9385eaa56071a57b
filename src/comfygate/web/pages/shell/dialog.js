// Asks before something is done that cannot be undone, and says briefly what was done.
import { html, seen, signal, useEffect, useRef, useState } from "./html.js";
import { t } from "./texts.js";

const asked = signal(null);
const notes = signal([]);
const NOTE_MS = 6000;
let serial = 0;

// True once the person agreed. `more`: a component drawn below the text (fields to fill in, say). `work`, if given, is
// done before the question closes; where it is refused the question stays, and says why (`refused` hears it too).
export function ask({ title, text, confirm, otherwise = t("button.keep"), danger = false, more = null, work = null, refused = null }) {
  if (asked.value?.working) return Promise.resolve(false);
  asked.value?.answer(false);
  return new Promise((resolve) => {
    const question = {
      title, text, confirm, otherwise, danger, more, work, refused, working: false,
      answer(yes) {
        if (asked.value === question) asked.value = null;
        resolve(yes);
      },
    };
    asked.value = question;
  });
}

// Whoever goes elsewhere has thought better of it.
addEventListener("hashchange", () => asked.value?.working || asked.value?.answer(false));

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
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState("");
  useEffect(() => {
    const dialog = box.current;
    const before = document.activeElement;
    dialog.showModal();
    return () => {
      dialog.close();
      if (before?.isConnected) before.focus();
    };
  }, [question]);
  const work = (now) => {
    question.working = now;
    setBusy(now);
  };
  // While it is being done there is no way back: what it gives would be lost.
  const closed = () => {
    // Told late, it may be open again.
    if (asked.value !== question || box.current.open) return;
    if (question.working) box.current.showModal();
    else question.answer(false);
  };
  const agree = async (event) => {
    event.preventDefault();
    if (question.working) return;
    work(true);
    try {
      await question.work?.();
      question.answer(true);
    } catch (error) {
      work(false);
      setFault(question.refused?.(error) ?? error.message);
    }
  };
  return html`<dialog ref=${box} class="dialog" aria-labelledby="question-title"
      onCancel=${(event) => question.working && event.preventDefault()} onClose=${closed}>
    <form class="dialog-form" novalidate onSubmit=${agree}>
      <h2 id="question-title">${question.title}</h2>
      ${question.text && html`<p>${question.text}</p>`}
      ${question.more}
      <p class="fault" role="alert" hidden=${!fault}>${fault}</p>
      <div class="row end">
        <button type="button" class="button quiet" autofocus=${!question.more} disabled=${busy} onClick=${() => question.answer(false)}>${question.otherwise}</button>
        <button type="submit" class=${question.danger ? "button danger" : "button"} disabled=${busy}>${question.confirm}</button>
      </div>
    </form>
  </dialog>`;
};

export const Asides = seen(() => html`
  ${asked.value && html`<${Question} key=${asked.value.title} question=${asked.value} />`}
  <div class="notes" role="status" aria-live="polite">
    ${notes.value.map((one) => html`<p key=${one.id} class=${`note ${one.kind}`}>${one.text}</p>`)}
  </div>`);
