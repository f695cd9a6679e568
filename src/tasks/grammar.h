// Sentences with choices in them: "[Copy|Repeat]: {items}".
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tasks/dice.h"

namespace brisk::tasks {

// What the names in braces stand for. Few of them: they are searched in order.
class Slots {
 public:
  Slots() = default;
  Slots(std::initializer_list<std::pair<std::string_view, std::string>> slots) : slots_(slots) {}

  // A later value replaces an earlier one.
  void set(std::string_view name, std::string value);
  std::string_view get(std::string_view name) const;  // REQUIRES: it was set

 private:
  std::vector<std::pair<std::string_view, std::string>> slots_;
};

// `pattern` with one alternative of every [a|b|c] (they may nest) and the value of every {slot};
// {Slot} begins with a capital letter. REQUIRES: brackets are balanced, slots are set.
std::string expand(std::string_view pattern, const Slots& slots, Dice& dice);

std::string capitalized(std::string_view text);

// "a fox", "an owl".
std::string with_article(std::string_view noun);

// "a, b and c"
std::string join_and(const std::vector<std::string>& items);

std::string join(const std::vector<std::string>& items, std::string_view separator);

}  // namespace brisk::tasks
