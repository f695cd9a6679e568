// What follows: rules about kinds, if and then, orders, true and false. Only conclusions that hold.
#include <algorithm>
#include <string>

#include "tasks/exercise.h"
#include "tasks/grammar.h"
#include "tasks/words.h"

namespace brisk::tasks {
namespace {

using std::string;
using std::string_view;

constexpr string_view kPropertyNames[] = {"red", "small", "happy", "quick",
                                          "old", "cold",  "soft",  "loud"};
constexpr Words kProperties = kPropertyNames;

struct Verb {
  string_view third;  // "Tom sings"
  string_view plain;  // "does Tom sing"
};
constexpr Verb kVerbForms[] = {{"sings", "sing"}, {"reads", "read"},   {"dances", "dance"},
                               {"cooks", "cook"}, {"sleeps", "sleep"}, {"plays", "play"}};
constexpr std::span<const Verb> kVerbs = kVerbForms;
constexpr Verb kWeatherForms[] = {{"rains", "rain"}, {"snows", "snow"}};
constexpr std::span<const Verb> kWeather = kWeatherForms;

int links_at(Level level) { return level == Level::kEasy ? 1 : level == Level::kMiddle ? 2 : 3; }

// "Every fox is red. Every red thing is small. Tom is a fox. Is Tom small?"
void draw_kinds(Level level, Dice& dice, Exercise& exercise) {
  const int links = links_at(level);
  const auto kinds = dice.pick_some(animals(), 2);
  const auto properties = dice.pick_some(kProperties, static_cast<size_t>(links) + 1);
  const bool holds = dice.percent(50);
  std::vector<string> rules;
  for (int i = 0; i < links; ++i) {
    const auto at = static_cast<size_t>(i);
    const string subject = i == 0 ? string(kinds[0]) : string(properties[at - 1]) + " thing";
    const bool denies = !holds && i + 1 == links;
    rules.push_back((denies ? "No " : "Every ") + subject + " is " + string(properties[at]) + '.');
  }
  if (dice.percent(50)) {  // a rule about another kind, which says the opposite
    rules.push_back((holds ? "No " : "Every ") + string(kinds[1]) + " is " +
                    string(properties[static_cast<size_t>(links) - 1]) + '.');
  }
  if (level != Level::kMiddle) dice.shuffle(rules);
  const string name(dice.pick(names()));
  exercise.question = join(rules, " ") + ' ' + name + " is " + with_article(kinds[0]) + ". Is " +
                      name + ' ' + string(properties[static_cast<size_t>(links) - 1]) + '?';
  exercise.answer = holds ? "yes" : "no";
}

// "If it rains, Tom sings. If Tom sings, Anna reads. It rains. Does Anna read?"
void draw_conditions(Level level, Dice& dice, Exercise& exercise) {
  const int links = links_at(level);
  const auto people = dice.pick_some(names(), static_cast<size_t>(links));
  const Verb& weather = dice.pick(kWeather);
  std::vector<string> does = {"it " + string(weather.third)};
  std::vector<string> asks = {"it " + string(weather.plain)};
  for (const string_view name : people) {
    const Verb& verb = dice.pick(kVerbs);
    does.push_back(string(name) + ' ' + string(verb.third));
    asks.push_back(string(name) + ' ' + string(verb.plain));
  }
  const auto denied = [&](size_t i) {
    const size_t space = asks[i].rfind(' ');
    return capitalized(asks[i].substr(0, space)) + " does not" + asks[i].substr(space) + '.';
  };
  const bool holds = dice.percent(50);
  const auto last = static_cast<size_t>(links);
  std::vector<string> rules;
  if (!holds && dice.percent(50)) {  // what happens only if, does not happen
    for (size_t i = 0; i < last; ++i) {
      rules.push_back(capitalized(does[i + 1]) + " only if " + does[i] + '.');
    }
    rules.push_back(denied(0));
    exercise.question = join(rules, " ") + " Does " + asks[last] + '?';
  } else {
    for (size_t i = 0; i < last; ++i) {
      rules.push_back("If " + does[i] + ", " + does[i + 1] + '.');
    }
    rules.push_back(holds ? capitalized(does[0]) + '.' : denied(last));
    exercise.question = join(rules, " ") + " Does " + asks[holds ? last : 0] + '?';
  }
  exercise.answer = holds ? "yes" : "no";
}

// "Anna is taller than Tom. Ben is shorter than Tom. Who is the tallest?"
void draw_order(Level level, Dice& dice, Exercise& exercise) {
  struct Scale {
    string_view more, less, most, least;
  };
  static constexpr Scale kScales[] = {{"taller", "shorter", "tallest", "shortest"},
                                      {"older", "younger", "oldest", "youngest"},
                                      {"faster", "slower", "fastest", "slowest"}};
  const Scale& scale = kScales[dice.below(std::size(kScales))];
  const auto people =
      dice.pick_some(names(), static_cast<size_t>(level == Level::kEasy     ? 2
                                                  : level == Level::kMiddle ? dice.between(3, 4)
                                                                            : dice.between(5, 6)));
  std::vector<string> facts;
  for (size_t i = 0; i + 1 < people.size(); ++i) {
    const bool turned = dice.percent(50);
    facts.push_back(string(people[turned ? i + 1 : i]) + " is " +
                    string(turned ? scale.less : scale.more) + " than " +
                    string(people[turned ? i : i + 1]) + '.');
  }
  if (level == Level::kHard) dice.shuffle(facts);
  const bool most = dice.percent(50);
  exercise.question =
      join(facts, " ") + " Who is the " + string(most ? scale.most : scale.least) + '?';
  exercise.answer = most ? people.front() : people.back();
}

// A formula of `operators` operators, in brackets unless it is the outermost.
bool write_formula(int operators, bool outermost, Dice& dice, string& out) {
  if (operators == 0) {
    const bool negated = dice.percent(30);
    const bool value = dice.percent(50);
    out += negated ? "not " : "";
    out += value ? "true" : "false";
    return value != negated;
  }
  if (!outermost) out += '(';
  const int left = dice.between(0, operators - 1);
  const bool a = write_formula(left, false, dice, out);
  const bool conjunction = dice.percent(50);
  out += conjunction ? " and " : " or ";
  const bool b = write_formula(operators - 1 - left, false, dice, out);
  if (!outermost) out += ')';
  return conjunction ? a && b : a || b;
}

void draw_formula(Level level, Dice& dice, Exercise& exercise) {
  const int operators = level == Level::kEasy     ? 1
                        : level == Level::kMiddle ? 2
                                                  : dice.between(3, 5);
  string formula;
  const bool value = write_formula(operators, true, dice, formula);
  exercise.question = "True or false: " + formula;
  exercise.answer = value ? "true" : "false";
  exercise.memorised = level == Level::kEasy;
}

}  // namespace

void draw_logic(Level level, Dice& dice, Exercise& exercise) {
  static constexpr DrawExercise kKinds[] = {draw_kinds, draw_conditions, draw_order, draw_formula};
  kKinds[dice.below(std::size(kKinds))](level, dice, exercise);
  exercise.key = "logic " + exercise.question;
}

}  // namespace brisk::tasks
