// Files of tasks: whatever the bytes, what is read can be asked, scored and written again.
#include <cstdlib>
#include <string_view>

#include "tasks/read_samples.h"
#include "tasks/score.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto samples = brisk::tasks::parse_graded_samples(text, 0);
  if (!samples.ok()) {
    if (samples.status().message().empty()) std::abort();
    return 0;
  }
  for (const brisk::tasks::Sample& sample : *samples) {
    if (sample.messages.size() < 2 || !sample.answer.has_value()) std::abort();
    if (!brisk::tasks::is_right(*sample.answer, *sample.answer)) std::abort();
    if (!brisk::tasks::parse_sample(brisk::tasks::to_json_line(sample)).ok()) std::abort();
  }
  return 0;
}
