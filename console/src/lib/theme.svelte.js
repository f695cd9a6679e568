// Light or dark: as the system is set, unless told otherwise.
import { readSetting, writeSetting } from "./store.js";

const system = matchMedia("(prefers-color-scheme: dark)");

class Theme {
  choice = $state(readSetting("theme", null)); // "light", "dark", or null: the system's
  #systemDark = $state(system.matches);

  constructor() {
    system.addEventListener("change", () => {
      this.#systemDark = system.matches;
      this.apply();
    });
    this.apply();
  }

  get dark() {
    return this.choice ? this.choice === "dark" : this.#systemDark;
  }

  toggle() {
    const wanted = this.dark ? "light" : "dark";
    this.choice = wanted === (this.#systemDark ? "dark" : "light") ? null : wanted;
    writeSetting("theme", this.choice);
    this.apply();
  }

  apply() {
    document.documentElement.dataset.theme = this.dark ? "dark" : "light";
  }
}

export const theme = new Theme();
