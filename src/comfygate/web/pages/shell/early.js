// Before anything is drawn: the chosen theme and language, so that a page does not flash in another.
(() => {
  const root = document.documentElement;
  let theme = null;
  let language = null;
  try {
    theme = localStorage.getItem("comfygate.theme");
    language = localStorage.getItem("comfygate.language");
  } catch {
    // A browser that keeps nothing: the system's theme and the browser's language.
  }
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const wanted = language || navigator.language;
  root.lang = wanted.toLowerCase().startsWith("zh") ? "zh" : "en";
})();
