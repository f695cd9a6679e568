// Sums, differences and products as one does them on paper, from the last digit to the first: a
// line for each digit, then the result.
#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "tasks/exercise.h"
#include "tasks/grammar.h"

namespace brisk::tasks {
namespace {

int power_of_ten(int exponent) {
  int power = 1;
  for (int i = 0; i < exponent; ++i) power *= 10;
  return power;
}

// A number of `digits` digits that does not begin with 0.
int draw_number(int digits, Dice& dice) {
  return dice.between(digits == 1 ? 1 : power_of_ten(digits - 1), power_of_ten(digits) - 1);
}

void ask(std::string_view pattern, int a, int b, Dice& dice, Exercise& exercise) {
  exercise.question = expand(pattern, {{"a", std::to_string(a)}, {"b", std::to_string(b)}}, dice);
}

}  // namespace

void draw_add(Level level, Dice& dice, Exercise& exercise) {
  const bool easy = level == Level::kEasy;
  const int digits = easy ? dice.between(1, 2) : level == Level::kMiddle ? 3 : dice.between(4, 5);
  int a = draw_number(easy ? dice.between(1, 2) : digits, dice);
  int b = draw_number(level == Level::kMiddle ? dice.between(2, 3) : digits, dice);
  if (dice.percent(50)) std::swap(a, b);
  ask("[What is {a} + {b}?|{a} + {b} = ?|Add {a} and {b}.|Calculate {a} + {b}.]", a, b, dice,
      exercise);
  exercise.key = fmt::format("add {} {}", std::min(a, b), std::max(a, b));
  exercise.answer = std::to_string(a + b);
  int carry = 0;
  for (int x = a, y = b; x > 0 || y > 0; x /= 10, y /= 10) {
    const int sum = x % 10 + y % 10 + carry;
    exercise.work += fmt::format("{}+{}{}={}\n", x % 10, y % 10, carry > 0 ? "+1" : "", sum);
    carry = sum / 10;
  }
}

void draw_subtract(Level level, Dice& dice, Exercise& exercise) {
  const bool easy = level == Level::kEasy;
  const int digits = easy ? 2 : level == Level::kMiddle ? 3 : dice.between(4, 5);
  int a = draw_number(digits, dice);
  int b = draw_number(level == Level::kHard ? digits : dice.between(digits - 1, digits), dice);
  if (a < b) std::swap(a, b);
  ask("[What is {a} - {b}?|{a} - {b} = ?|Take {b} from {a}.|Calculate {a} - {b}.]", a, b, dice,
      exercise);
  exercise.key = fmt::format("subtract {} {}", a, b);
  exercise.answer = std::to_string(a - b);
  int borrow = 0;
  for (int x = a, y = b; x > 0; x /= 10, y /= 10) {
    const bool borrows = x % 10 < y % 10 + borrow;
    const int from = x % 10 + (borrows ? 10 : 0);
    exercise.work +=
        fmt::format("{}-{}{}={}\n", from, y % 10, borrow > 0 ? "-1" : "", from - y % 10 - borrow);
    borrow = borrows ? 1 : 0;
  }
}

void draw_multiply(Level level, Dice& dice, Exercise& exercise) {
  const int digits = level == Level::kEasy ? 1 : level == Level::kMiddle ? 2 : dice.between(3, 4);
  const int a = draw_number(digits, dice);
  const int b = dice.between(level == Level::kEasy ? 1 : 2, 9);
  const bool turned = dice.percent(50);
  ask("[What is {a} x {b}?|{a} x {b} = ?|Multiply {a} by {b}.|Calculate {a} x {b}.]",
      turned ? b : a, turned ? a : b, dice, exercise);
  exercise.key = fmt::format("multiply {} {}", std::min(a, b), std::max(a, b));
  exercise.memorised = digits == 1;
  exercise.answer = std::to_string(a * b);
  int carry = 0;
  for (int x = a; x > 0; x /= 10) {
    const int product = x % 10 * b + carry;
    exercise.work +=
        fmt::format("{}x{}{}={}\n", x % 10, b, carry > 0 ? fmt::format("+{}", carry) : "", product);
    carry = product / 10;
  }
}

void draw_compare(Level level, Dice& dice, Exercise& exercise) {
  const int count = level == Level::kEasy     ? 2
                    : level == Level::kMiddle ? dice.between(3, 4)
                                              : dice.between(5, 7);
  const int digits = level == Level::kEasy ? 2 : level == Level::kMiddle ? 3 : 4;
  std::vector<int> numbers;
  while (static_cast<int>(numbers.size()) < count) {
    // Often one that differs late, so that the first digit alone does not decide.
    int number = draw_number(dice.percent(85) ? digits : digits - 1, dice);
    if (!numbers.empty() && dice.percent(30)) {
      number = numbers.front() - numbers.front() % 10 + dice.between(0, 9);
    }
    if (number > 0 && std::find(numbers.begin(), numbers.end(), number) == numbers.end()) {
      numbers.push_back(number);
    }
  }
  std::vector<std::string> items;
  for (const int number : numbers) items.push_back(std::to_string(number));
  const bool largest = dice.percent(50);
  exercise.question =
      expand(largest ? "[Which is the largest|Which number is larger than the others|Find the "
                       "largest number]: {list}"
                     : "[Which is the smallest|Which number is smaller than the others|Find the "
                       "smallest number]: {list}",
             {{"list", join(items, ", ")}}, dice);
  std::sort(numbers.begin(), numbers.end());
  exercise.key = "compare";
  for (const int number : numbers) exercise.key += fmt::format(" {}", number);
  exercise.answer = std::to_string(largest ? numbers.back() : numbers.front());
}

}  // namespace brisk::tasks
