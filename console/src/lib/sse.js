// Server-sent events, as text comes: `push` gives the data of every event that is now whole.
export class EventParser {
  #rest = "";

  push(text) {
    const events = (this.#rest + text).replaceAll("\r\n", "\n").split("\n\n");
    this.#rest = events.pop();
    return events.map(dataOf).filter((data) => data !== "");
  }
}

// Comments (keep-alive pings) and other fields say nothing here.
function dataOf(event) {
  return event
    .split("\n")
    .filter((line) => line.startsWith("data:"))
    .map((line) => line.slice("data:".length).replace(/^ /, ""))
    .join("\n");
}
