#include "base/split_name.h"

#include <fmt/format.h>

#include <charconv>

namespace brisk {
namespace {

constexpr std::string_view kEnd = ".gguf";
constexpr size_t kDigits = 5;

// Five digits at the end of `text`, which are taken off; -1: there are none.
int take_number(std::string_view& text) {
  if (text.size() < kDigits) return -1;
  const std::string_view digits = text.substr(text.size() - kDigits);
  if (digits.find_first_not_of("0123456789") != digits.npos) return -1;
  int number = 0;
  std::from_chars(digits.data(), digits.data() + kDigits, number);
  text.remove_suffix(kDigits);
  return number;
}

bool take_end(std::string_view& text, std::string_view end) {
  if (!text.ends_with(end)) return false;
  text.remove_suffix(end.size());
  return true;
}

}  // namespace

std::string SplitName::of_part(int number) const {
  return fmt::format("{}-{:05}-of-{:05}{}", stem, number, parts, kEnd);
}

std::optional<SplitName> parse_split_name(std::string_view path) {
  SplitName name;
  if (!take_end(path, kEnd)) return std::nullopt;
  name.parts = take_number(path);
  if (name.parts < 1 || name.parts > kSplitPartsMax || !take_end(path, "-of-")) return std::nullopt;
  name.part = take_number(path);
  if (name.part < 1 || name.part > name.parts || !take_end(path, "-")) return std::nullopt;
  name.stem = path;
  return name.stem.empty() || name.stem.ends_with('/') ? std::nullopt : std::optional(name);
}

}  // namespace brisk
