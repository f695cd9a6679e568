#include "compress/evaluate/number_questions.h"

#include <algorithm>
#include <utility>

#include "base/json.h"
#include "base/lines.h"
#include "base/status.h"

namespace brisk {
namespace {

constexpr JsonLimits kLineLimits = {.depth_max = 16, .bytes_max = size_t{1} << 20};
constexpr std::string_view kMark = "####";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Without what does not change its value. `text`: digits and commas, perhaps a point and digits.
std::string canonical(std::string_view text, bool negative) {
  std::string whole(text.substr(0, text.find('.')));
  std::erase(whole, ',');
  whole.erase(0, std::min(whole.find_first_not_of('0'), whole.size()));
  if (whole.empty()) whole = "0";
  std::string fraction;
  if (const size_t point = text.find('.'); point != std::string_view::npos) {
    fraction = text.substr(point + 1);
    fraction.erase(fraction.find_last_not_of('0') + 1);
  }
  if (!fraction.empty()) whole += "." + fraction;
  return negative && whole != "0" ? "-" + whole : whole;
}

absl::StatusOr<tasks::Sample> sample_of_line(std::string_view line) {
  BRISK_ASSIGN_OR_RETURN(const Json json, parse_json(line, kLineLimits));
  for (const char* key : {"question", "answer"}) {
    if (!json.is_object() || !json.contains(key) || !json[key].is_string()) {
      return invalid_input("expected an object with the strings \"question\" and \"answer\"");
    }
  }
  const std::string answer = json["answer"].get<std::string>();
  const size_t mark = answer.rfind(kMark);
  tasks::Sample sample;
  sample.task = "questions";
  sample.answer =
      last_number(std::string_view(answer).substr(mark == std::string::npos ? 0 : mark));
  if (!sample.answer.has_value()) return invalid_input("the answer has no number");
  sample.messages = {{tasks::Role::kUser, json["question"].get<std::string>()},
                     {tasks::Role::kAssistant, answer}};
  return sample;
}

}  // namespace

std::optional<std::string> last_number(std::string_view text) {
  size_t end = text.size();
  while (end > 0 && !is_digit(text[end - 1])) --end;
  if (end == 0) return std::nullopt;
  size_t begin = end - 1;
  // Commas and one point belong to it where a digit is before them.
  bool has_point = false, has_comma = false;
  while (begin > 0) {
    const char c = text[begin - 1];
    const bool may_join = c == ',' || (c == '.' && !has_point && !has_comma);
    if (!is_digit(c) && !(may_join && begin > 1 && is_digit(text[begin - 2]))) break;
    has_point |= c == '.';
    has_comma |= c == ',';
    --begin;
  }
  const std::string_view number = text.substr(begin, end - begin);
  if (begin > 0 && text[begin - 1] == '$') --begin;
  // "-5" is negative, "7-5" ends in 5.
  const bool negative =
      begin > 0 && text[begin - 1] == '-' && (begin < 2 || !is_digit(text[begin - 2]));
  return canonical(number, negative);
}

bool is_right_number(std::string_view answer, std::string_view reply) {
  return last_number(reply) == answer;
}

absl::StatusOr<std::vector<tasks::Sample>> parse_number_questions(std::string_view text,
                                                                  size_t limit) {
  std::vector<tasks::Sample> samples;
  BRISK_RETURN_IF_ERROR(for_each_line(text, [&](std::string_view line) -> absl::Status {
    if (limit > 0 && samples.size() == limit) return absl::OkStatus();
    BRISK_ASSIGN_OR_RETURN(samples.emplace_back(), sample_of_line(line));
    return absl::OkStatus();
  }));
  if (samples.empty()) return invalid_input("there is no question");
  return samples;
}

}  // namespace brisk
