// What this browser remembers of a person's choices. Never data of the account.
export const kept = {
  get(name) {
    try {
      return localStorage.getItem(`comfygate.${name}`);
    } catch {
      return null;
    }
  },
  set(name, value) {
    try {
      if (value === null) localStorage.removeItem(`comfygate.${name}`);
      else localStorage.setItem(`comfygate.${name}`, value);
    } catch {
      // It holds until the page is left.
    }
  },
};
