#include "tasks/score.h"

#include <algorithm>
#include <cmath>

namespace brisk::tasks {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

}  // namespace

bool is_right(std::string_view answer, std::string_view reply) {
  reply = trimmed(reply);
  return trimmed(reply.substr(reply.rfind('\n') + 1)) == trimmed(answer);
}

Interval wilson_interval(int64_t right, int64_t total) {
  if (total == 0) return {};
  constexpr double kZ = 1.959963984540054;  // 97.5 % of a normal distribution lie below
  const auto n = static_cast<double>(total);
  const double share = static_cast<double>(right) / n;
  const double scale = 1 + kZ * kZ / n;
  const double middle = (share + kZ * kZ / (2 * n)) / scale;
  const double half = kZ * std::sqrt(share * (1 - share) / n + kZ * kZ / (4 * n * n)) / scale;
  return {std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

void Score::add(bool is_right) {
  right += is_right ? 1 : 0;
  ++total;
}

double Score::rate() const {
  return total == 0 ? 0 : static_cast<double>(right) / static_cast<double>(total);
}

void ScoreBoard::add(const Sample& sample, bool right) {
  for (TaskScore* score : {&tasks[sample.task], &all}) {
    score->levels[static_cast<size_t>(sample.level)].add(right);
    score->all.add(right);
  }
}

}  // namespace brisk::tasks
