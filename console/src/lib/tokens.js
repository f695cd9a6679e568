// The tokens of a streamed answer as pieces of its text.
//
// A piece is {text, tokens}: nearly always one token, several where a character is made of them.
// A token is {text, logprob, top: [{text, logprob}]}.

const bytesOf = (entry) => entry.bytes ?? [...new TextEncoder().encode(entry.token)];

function decoded(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(new Uint8Array(bytes));
  } catch {
    return null; // not whole characters yet
  }
}

// A token that is no text by itself is shown by its bytes.
function readable(entry) {
  const bytes = bytesOf(entry);
  return (
    decoded(bytes) ??
    bytes.map((byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`).join("")
  );
}

function tokenOf(entry) {
  return {
    text: readable(entry),
    logprob: entry.logprob,
    top: (entry.top_logprobs ?? []).map((each) => ({
      text: readable(each),
      logprob: each.logprob,
    })),
  };
}

// What a chunk's choice adds, as {content, entries}: of a chat, or of a plain completion.
export function additionOf({ delta, text, logprobs }) {
  if (delta) return { content: delta.content ?? "", entries: logprobs?.content ?? [] };
  const entries = (logprobs?.tokens ?? []).map((token, i) => ({
    token,
    logprob: logprobs.token_logprobs[i],
    top_logprobs: Object.entries(logprobs.top_logprobs?.[i] ?? {}).map(([each, logprob]) => ({
      token: each,
      logprob,
    })),
  }));
  return { content: text ?? "", entries };
}

// `content` is what a chunk adds to the text, `entries` its logprobs.content (or nothing).
export function piecesOf(content, entries) {
  if (!entries?.length) return content ? [{ text: content, tokens: [] }] : [];
  const pieces = [];
  let group = [];
  for (const entry of entries) {
    group.push(entry);
    const text = decoded(group.flatMap(bytesOf));
    if (text === null) continue;
    pieces.push({ text, tokens: group.map(tokenOf) });
    group = [];
  }
  const joined = pieces.map((piece) => piece.text).join("");
  if (group.length === 0 && joined === content) return pieces.filter((piece) => piece.text);
  // The first token's space is not part of the text; neither is what ends the turn.
  if (group.length === 0 && content && joined.trimStart() === content) {
    pieces[0].text = pieces[0].text.trimStart();
    return pieces.filter((piece) => piece.text);
  }
  return content ? [{ text: content, tokens: entries.map(tokenOf) }] : [];
}

export const probability = (token) => Math.exp(token.logprob);

// 0 (near certain) to 4 (unlikely), of the least likely token of a piece; for its colour.
export function doubt(piece) {
  if (piece.tokens.length === 0) return 0;
  const least = Math.min(...piece.tokens.map(probability));
  return [0.9, 0.6, 0.3, 0.1].filter((bound) => least < bound).length;
}
