#include "tasks/grammar.h"

#include "base/check.h"

namespace brisk::tasks {
namespace {

constexpr int kDepthMax = 8;

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

// The end of the group that begins at `begin` (its '['), and where its alternatives begin.
size_t find_alternatives(std::string_view pattern, size_t begin, std::vector<size_t>* starts) {
  int depth = 0;
  starts->push_back(begin + 1);
  for (size_t i = begin; i < pattern.size(); ++i) {
    if (pattern[i] == '[') ++depth;
    if (pattern[i] == '|' && depth == 1) starts->push_back(i + 1);
    if (pattern[i] == ']' && --depth == 0) {
      starts->push_back(i + 1);
      return i;
    }
  }
  BRISK_CHECK(false);
  return 0;
}

void append_slot(std::string_view name, const Slots& slots, std::string& out) {
  const bool capital = name.front() >= 'A' && name.front() <= 'Z';
  if (!capital) {
    out += slots.get(name);
    return;
  }
  std::string lower(name);
  lower.front() = static_cast<char>(lower.front() - 'A' + 'a');
  out += capitalized(slots.get(lower));
}

void append_expanded(std::string_view pattern, const Slots& slots, Dice& dice, int depth,
                     std::string& out) {
  BRISK_CHECK(depth < kDepthMax);
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '[') {
      std::vector<size_t> starts;
      const size_t end = find_alternatives(pattern, i, &starts);
      const size_t choice = dice.below(starts.size() - 1);
      append_expanded(pattern.substr(starts[choice], starts[choice + 1] - 1 - starts[choice]),
                      slots, dice, depth + 1, out);
      i = end;
    } else if (pattern[i] == '{') {
      const size_t end = pattern.find('}', i);
      BRISK_CHECK(end != std::string_view::npos && end > i + 1);
      append_slot(pattern.substr(i + 1, end - i - 1), slots, out);
      i = end;
    } else {
      out += pattern[i];
    }
  }
}

}  // namespace

void Slots::set(std::string_view name, std::string value) {
  for (auto& [known, old] : slots_) {
    if (known == name) {
      old = std::move(value);
      return;
    }
  }
  slots_.emplace_back(name, std::move(value));
}

std::string_view Slots::get(std::string_view name) const {
  for (const auto& [known, value] : slots_) {
    if (known == name) return value;
  }
  BRISK_CHECK(false);
  return {};
}

std::string expand(std::string_view pattern, const Slots& slots, Dice& dice) {
  std::string out;
  out.reserve(pattern.size());
  append_expanded(pattern, slots, dice, 0, out);
  return out;
}

std::string capitalized(std::string_view text) {
  std::string out(text);
  if (!out.empty()) out.front() = upper(out.front());
  return out;
}

std::string with_article(std::string_view noun) {
  const bool vowel = std::string_view("aeiou").find(noun.front()) != std::string_view::npos;
  return (vowel ? "an " : "a ") + std::string(noun);
}

std::string join_and(const std::vector<std::string>& items) {
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += i + 1 == items.size() ? " and " : ", ";
    out += items[i];
  }
  return out;
}

std::string join(const std::vector<std::string>& items, std::string_view separator) {
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += separator;
    out += items[i];
  }
  return out;
}

}  // namespace brisk::tasks
