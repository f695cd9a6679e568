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

// "load", "unload", or nothing to do now. Names and adapters of another model have no say.
export function actionFor({ id, root, parent, status }) {
  if (!status || parent || (root && root !== id)) return null;
  return { loaded: "unload", unloaded: "load", failed: "load" }[status.value] ?? null;
}
