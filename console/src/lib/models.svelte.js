// The models the server offers. A server of many says of each what state it is in.
import { getJson, request } from "./api.svelte.js";
import { parameters } from "./parameters.svelte.js";

export const models = $state({ list: [], error: "" });

export async function refreshModels() {
  try {
    models.list = (await getJson("/v1/models")).data;
    models.error = "";
    if (!models.list.some(({ id }) => id === parameters.model)) parameters.model = "";
  } catch (error) {
    models.error =
      error.status === 401
        ? "The server wants a key."
        : `The models are not known: ${error.message}`;
  }
}

const encoded = (id) => id.split("/").map(encodeURIComponent).join("/");

export async function changeModel(id, action) {
  await request(`/v2/repository/models/${encoded(id)}/${action}`, { method: "POST", body: {} });
  await refreshModels();
}

// "load", "unload", or nothing to do now.
export function actionFor({ state }) {
  if (state === undefined || state === null) return null;
  const name = (typeof state === "object" ? (state.name ?? "") : String(state)).toLowerCase();
  if (["loading", "unloading", "draining"].includes(name)) return null;
  return ["loaded", "ready"].includes(name) ? "unload" : "load";
}
