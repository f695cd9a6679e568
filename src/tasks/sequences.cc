// Lists of letters, words and digits: copy, reverse, sort, count.
#include <algorithm>
#include <string>

#include "tasks/exercise.h"
#include "tasks/grammar.h"
#include "tasks/words.h"

namespace brisk::tasks {
namespace {

using Items = std::vector<std::string>;

struct Sizes {
  int low;
  int high;
};

int draw_size(Level level, Dice& dice, Sizes easy, Sizes middle, Sizes hard) {
  const Sizes sizes = level == Level::kEasy ? easy : level == Level::kMiddle ? middle : hard;
  return dice.between(sizes.low, sizes.high);
}

Items draw_items(Words from, int count, Dice& dice) {
  Items items;
  for (int i = 0; i < count; ++i) items.emplace_back(dice.pick(from));
  return items;
}

Items draw_digits(int count, Dice& dice) {
  Items items;
  for (int i = 0; i < count; ++i) items.push_back(std::to_string(dice.between(0, 9)));
  return items;
}

Items draw_list(int count, Dice& dice) {
  const int kind = dice.between(0, 9);
  if (kind < 6) return draw_items(letters(), count, dice);
  if (kind < 8) return draw_digits(count, dice);
  return draw_items(kind == 8 ? animals() : objects(), count, dice);
}

void ask(std::string_view pattern, std::string_view key, const Items& items, Dice& dice,
         Exercise& exercise) {
  const std::string list = join(items, " ");
  exercise.question = expand(pattern, {{"list", list}}, dice);
  exercise.key = std::string(key) + ' ' + list;
}

}  // namespace

void draw_copy(Level level, Dice& dice, Exercise& exercise) {
  const Items items = draw_list(draw_size(level, dice, {3, 5}, {6, 8}, {10, 14}), dice);
  ask("[Copy|Repeat|Write again|Say]: {list}", "copy", items, dice, exercise);
  exercise.answer = join(items, " ");
}

void draw_reverse(Level level, Dice& dice, Exercise& exercise) {
  Items items = draw_list(draw_size(level, dice, {3, 5}, {6, 8}, {9, 12}), dice);
  ask("[Reverse|Write backwards|From last to first]: {list}", "reverse", items, dice, exercise);
  std::reverse(items.begin(), items.end());
  exercise.answer = join(items, " ");
}

void draw_sort(Level level, Dice& dice, Exercise& exercise) {
  Items items;
  if (dice.percent(50)) {
    const int count = draw_size(level, dice, {3, 5}, {6, 8}, {9, 12});
    for (const std::string_view letter : dice.pick_some(letters(), static_cast<size_t>(count))) {
      items.emplace_back(letter);
    }
  } else {
    // Numbers of one width, so that their order is that of their digits.
    const int count = draw_size(level, dice, {3, 5}, {4, 5}, {6, 8});
    const int low = level == Level::kEasy ? 0 : 10;
    const int high = level == Level::kEasy ? 9 : 99;
    while (static_cast<int>(items.size()) < count) {
      std::string number = std::to_string(dice.between(low, high));
      if (std::find(items.begin(), items.end(), number) == items.end()) items.push_back(number);
    }
  }
  ask("[Sort|Put in order|Arrange]: {list}", "sort", items, dice, exercise);
  std::sort(items.begin(), items.end());
  exercise.answer = join(items, " ");
}

void draw_count(Level level, Dice& dice, Exercise& exercise) {
  const int count = draw_size(level, dice, {3, 6}, {7, 10}, {12, 16});
  const auto alphabet = dice.pick_some(letters(), 3);
  const Items items = draw_items(alphabet, count, dice);
  const std::string list = join(items, " ");
  const int questions = dice.between(1, static_cast<int>(alphabet.size()));
  for (int i = 0; i < questions; ++i) {
    if (i > 0) exercise.ask_more();
    const std::string letter(alphabet[static_cast<size_t>(i)]);
    const Slots slots = {{"letter", letter}, {"list", list}};
    exercise.question = i > 0 ? expand("And how many {letter}?", slots, dice)
                              : expand(
                                    "[How many {letter} are in|Count the letter {letter} in|How "
                                    "often does {letter} occur in]: {list}",
                                    slots, dice);
    int seen = 0;
    for (const std::string& item : items) {
      if (item == letter) ++seen;
      if (!exercise.work.empty()) exercise.work += ' ';
      exercise.work += item + std::to_string(seen);
    }
    exercise.work += '\n';
    exercise.answer = std::to_string(seen);
  }
  exercise.key = "count " + list;
}

}  // namespace brisk::tasks
