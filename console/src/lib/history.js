// What the model is told of `messages`: not the questions that got no answer.
export function historyOf(messages) {
  const lost = (at) => messages[at]?.role === "assistant" && !messages[at].content;
  return messages
    .filter((_, at) => !lost(at) && !lost(at + 1))
    .map(({ role, content }) => ({ role, content }));
}
