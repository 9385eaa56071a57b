// A file of an order: dropped, pasted or chosen, shown at once, uploaded while the form is filled in.
import { content, upload } from "../shell/api.js";
import { classes, html, seen, signal, useEffect, useRef } from "../shell/html.js";
import { Icon } from "../shell/icons.js";
import { said, size, t } from "../shell/texts.js";

const ACCEPTS = { image: "image/png,image/jpeg,image/webp,image/gif,image/*", video: "video/*", audio: "audio/*" };

// What one input has: nothing, a file on its way, or an asset of the account.
export function fileOf() {
  return { state: signal("none"), part: signal(0), asset: signal(null), shown: signal(null), name: signal(""), fault: signal(null), stop: null, going: null };
}

export function clear(file) {
  file.stop?.abort();
  if (file.shown.value?.startsWith("blob:")) URL.revokeObjectURL(file.shown.value);
  file.state.value = "none";
  file.asset.value = file.shown.value = file.fault.value = null;
  file.name.value = "";
}

// Takes an asset that the account has already, of an earlier order say.
export function reuse(file, sent) {
  clear(file);
  file.asset.value = sent.asset_id;
  file.name.value = sent.name || "";
  file.shown.value = content(sent.asset_id);
  file.state.value = "there";
}

// Begins to upload; `file.going` is done when it is there, or not to be had.
export function take(file, input, chosen) {
  file.going = bring(file, input, chosen);
  return file.going;
}

async function bring(file, input, chosen) {
  clear(file);
  file.name.value = chosen.name || t("file.pasted");
  if (!chosen.type.startsWith(`${input.kind}/`)) {
    file.fault.value = t(`file.not_${input.kind}`);
    return;
  }
  if (input.bytes_max && chosen.size > input.bytes_max) {
    file.fault.value = t("file.too_large", { size: size(chosen.size), most: size(input.bytes_max) });
    return;
  }
  const shown = URL.createObjectURL(chosen);
  if (input.kind === "image") {
    const found = await pixels(shown);
    if (!found || (input.pixels_max && found > input.pixels_max)) {
      URL.revokeObjectURL(shown);
      file.fault.value = found ? t("file.too_many_pixels", { n: Math.round(found / 1e5) / 10, most: Math.round(input.pixels_max / 1e5) / 10 }) : t("file.unreadable");
      return;
    }
    file.shown.value = shown;
  }
  file.state.value = "going";
  file.part.value = 0;
  const stop = new AbortController();
  file.stop = stop;
  try {
    const asset = await upload(chosen, { stop: stop.signal, progress: (part) => { file.part.value = part; } });
    file.asset.value = asset.id;
    file.state.value = "there";
  } catch (error) {
    if (error.name === "AbortError") return;
    clear(file);
    file.fault.value = error.message;
  }
}

function pixels(address) {
  return new Promise((resolve) => {
    const picture = new Image();
    picture.onload = () => resolve(picture.naturalWidth * picture.naturalHeight);
    picture.onerror = () => resolve(null);
    picture.src = address;
  });
}

// By a finger nothing is dropped.
const touched = () => matchMedia("(pointer: coarse)").matches;

const first = (list, kind) => [...(list || [])].find((one) => one.type.startsWith(`${kind}/`)) ?? [...(list || [])][0];

// `pastes`: whether what is pasted anywhere on the page goes here.
export const FileField = seen(({ input, file, pastes }) => {
  const chooser = useRef(null);
  const over = useRef(signal(false)).current;
  useEffect(() => {
    if (!pastes) return undefined;
    const paste = (event) => {
      const found = first(event.clipboardData?.files, input.kind);
      if (!found) return;
      event.preventDefault();
      take(file, input, found);
    };
    addEventListener("paste", paste);
    return () => removeEventListener("paste", paste);
  }, [input, file, pastes]);
  const drop = (event) => {
    event.preventDefault();
    over.value = false;
    const found = first(event.dataTransfer?.files, input.kind);
    if (found) take(file, input, found);
  };
  const id = `file-${input.name}`;
  const there = file.state.value !== "none";
  return html`<div class="field" data-field=${input.name}>
    <span class="label" id=${`${id}-label`}>${said(input.title)}${!input.required && html` <span class="soft">${t("file.may_be_left_out")}</span>`}</span>
    <div class=${classes("drop", over.value && "over", there && "there", file.fault.value && "wrong")}
      onDragOver=${(event) => { event.preventDefault(); over.value = true; }} onDragLeave=${() => { over.value = false; }} onDrop=${drop}>
      ${there && html`
        ${input.kind === "image" && file.shown.value ? html`<img src=${file.shown.value} alt=${file.name.value} />` : html`<${Icon} name=${input.kind} size=${40} />`}
        <div class="drop-foot"><span class="grow clip">${file.name.value}</span>
          ${file.state.value === "going" && html`<span class="number small" role="status">${file.part.value < 1 ? t("file.going", { percent: Math.round(file.part.value * 100) }) : t("file.checking")}</span>`}
          <button type="button" class="button quiet small" onClick=${() => chooser.current.click()}>${t("file.other")}</button>
          <button type="button" class="button quiet small square" aria-label=${t("file.remove")} onClick=${() => clear(file)}><${Icon} name="close" size=${16} /></button></div>`}
      ${!there && html`<button type="button" class="drop-button" aria-labelledby=${`${id}-label ${id}-how`} onClick=${() => chooser.current.click()}>
        <${Icon} name="upload" size=${28} /><strong id=${`${id}-how`}>${t(`file.${touched() ? "choose" : "drop"}_${input.kind}`)}</strong>
        <span class="soft small">${touched() ? "" : pastes ? t("file.or_paste") : t("file.or_choose")}${input.bytes_max && `${touched() ? "" : " · "}${t("file.most", { most: size(input.bytes_max) })}`}</span></button>`}
      <input ref=${chooser} type="file" class="unseen" tabindex="-1" aria-hidden="true" accept=${ACCEPTS[input.kind]} data-chooser=${input.name}
        onChange=${(event) => { const [found] = event.target.files; if (found) take(file, input, found); event.target.value = ""; }} />
    </div>
    ${file.fault.value && html`<span class="fault" role="alert">${file.fault.value}</span>`}
  </div>`;
});
