// What a server streams to the load generator: any bytes, in pieces of any size, give the same
// events, and an event of any text can be looked at.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "plan/load/sse_reader.h"
#include "plan/load/stream_event.h"

namespace {

void must(bool fact) {
  if (!fact) std::abort();
}

std::vector<std::string> events_of(std::string_view bytes, size_t piece) {
  std::vector<std::string> events;
  brisk::SseReader reader;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    const bool going = reader.push(bytes.substr(0, piece), [&](std::string_view data) {
      events.emplace_back(data);
      const brisk::StreamEvent event = brisk::read_stream_event(data);
      must(event.error.size() <= 200);
      if (event.usage) must(event.usage->output_tokens >= 0 && event.usage->prompt_tokens >= 0);
    });
    if (!going) break;
  }
  return events;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const size_t piece = 1 + data[0] % 31;
  must(events_of(bytes, piece) == events_of(bytes, size));
  return 0;
}
