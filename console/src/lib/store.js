// What the browser keeps: settings for good, the key until the tab is closed.

function attempt(action, otherwise) {
  try {
    return action();
  } catch {
    return otherwise; // storage is turned off or full
  }
}

export const readSetting = (name, otherwise) =>
  attempt(() => JSON.parse(localStorage.getItem(`brisk.${name}`)) ?? otherwise, otherwise);
export const writeSetting = (name, value) =>
  attempt(() => localStorage.setItem(`brisk.${name}`, JSON.stringify(value)));

export const readKey = () => attempt(() => sessionStorage.getItem("brisk.key"), null) ?? "";
export const writeKey = (key) =>
  attempt(() =>
    key ? sessionStorage.setItem("brisk.key", key) : sessionStorage.removeItem("brisk.key"),
  );
