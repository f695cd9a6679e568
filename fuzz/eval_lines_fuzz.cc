// Files of questions for `brisk eval` and reports that artefacts carry: whatever the bytes, what is
// read can be asked, graded, shown and written again.
#include <cstdlib>
#include <string_view>

#include "compress/evaluate/choices.h"
#include "compress/evaluate/number_questions.h"
#include "compress/report/quality_json.h"
#include "compress/report/quality_text.h"

namespace {

template <class Result>
bool is_read(const Result& result) {
  if (!result.ok() && result.status().message().empty()) std::abort();
  return result.ok();
}

void read_questions(std::string_view text) {
  const auto choices = brisk::parse_choice_questions(text, 0);
  if (is_read(choices)) {
    for (const brisk::ChoiceQuestion& question : *choices) {
      if (question.choices.size() < 2 || question.gold >= question.choices.size()) std::abort();
    }
  }
  const auto numbers = brisk::parse_number_questions(text, 0);
  if (!is_read(numbers)) return;
  for (const brisk::tasks::Sample& sample : *numbers) {
    if (!brisk::is_right_number(*sample.answer, sample.messages.back().content) &&
        sample.messages.back().content.find("####") == std::string::npos) {
      std::abort();
    }
    if (brisk::last_number(*sample.answer) != sample.answer) std::abort();
  }
}

void read_report(std::string_view text) {
  const auto json = brisk::parse_json(text);
  if (!json.ok()) return;
  const auto report = brisk::quality_of_json(*json);
  if (!is_read(report)) return;
  brisk::quality_facts(*report);
  const auto again = brisk::quality_of_json(brisk::to_json(*report));
  if (!again.ok() || brisk::to_json(*again) != brisk::to_json(*report)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read_questions(text);
  read_report(text);
  return 0;
}
