// The server this page came from, and the key for it.
import { EventParser } from "./sse.js";
import { readKey, writeKey } from "./store.js";

export const access = $state({ key: readKey(), wanted: false, refused: false });

export function useKey(key) {
  access.key = key;
  access.wanted = false;
  access.refused = false;
  writeKey(key);
}

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function errorOf(response) {
  const text = await response.text();
  let message = text || response.statusText;
  try {
    const { error } = JSON.parse(text);
    message = error.message ?? error;
  } catch {
    // not JSON: a proxy speaks
  }
  return new ApiError(response.status, message);
}

// Throws ApiError; a 401 also opens the question for a key.
export async function request(path, { method = "GET", body, signal } = {}) {
  const key = access.key;
  const headers = {};
  if (key) headers.authorization = `Bearer ${key}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const response = await fetch(path, {
    method,
    headers,
    signal,
    cache: "no-store",
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (response.ok) return response;
  if (response.status === 401 && key === access.key) {
    access.wanted = true;
    access.refused = key !== "";
  }
  throw await errorOf(response);
}

export const getJson = async (path) => (await request(path)).json();
export const getText = async (path) => (await request(path)).text();

// The chunks of a streamed answer. Its end is [DONE]; without, it broke off.
export async function* streamAnswer({ path, body }, signal) {
  const response = await request(path, { method: "POST", body, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new ApiError(0, "the answer broke off");
      for (const data of parser.push(value)) {
        if (data === "[DONE]") return;
        const chunk = JSON.parse(data);
        if (chunk.error) throw new ApiError(200, chunk.error.message);
        yield chunk;
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // whoever leaves early makes the server stop
  }
}
