// Answers in a form that programs read: JSON objects and calls of tools.
#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "tasks/exercise.h"
#include "tasks/grammar.h"
#include "tasks/words.h"

namespace brisk::tasks {
namespace {

using std::string;
using std::string_view;

struct Person {
  string sentence;  // "Tom is 7 years old and lives in Rome."
  string json;
};

// What is said of somebody in `clauses` clauses, in any order; the object's keys have theirs.
Person draw_person(string_view name, size_t clauses, Dice& dice) {
  struct Fact {
    string clause;
    string member;
  };
  const int age = dice.between(3, 90);
  const string_view city = dice.pick(cities());
  const string_view pet = dice.pick(animals());
  const string_view colour = dice.pick(colours());
  const Fact facts[] = {
      {fmt::format("is {} years old", age), fmt::format(R"("age": {})", age)},
      {fmt::format("lives in {}", city), fmt::format(R"("city": "{}")", city)},
      {fmt::format("has {}", with_article(pet)), fmt::format(R"("pet": "{}")", pet)},
      {fmt::format("likes {}", colour), fmt::format(R"("colour": "{}")", colour)},
  };
  static constexpr size_t kOrder[] = {0, 1, 2, 3};
  const auto said = dice.pick_some(std::span<const size_t>(kOrder), clauses);
  std::vector<string> parts;
  for (const size_t i : said) parts.push_back(facts[i].clause);
  Person person = {.sentence = string(name) + ' ' + join_and(parts) + '.',
                   .json = fmt::format(R"({{"name": "{}")", name)};
  for (const size_t i : kOrder) {
    if (std::find(said.begin(), said.end(), i) != said.end()) {
      person.json += ", " + facts[i].member;
    }
  }
  person.json += '}';
  return person;
}

enum class Argument : uint8_t { kCity, kName, kObject, kColour, kPlace, kDay, kFruit, kNumber };

struct ArgumentSlot {
  Argument kind;
  string_view slot;      // in the request
  string_view names[3];  // the first one at the easy level, else any
};

struct Tool {
  string_view names[3];
  std::vector<ArgumentSlot> arguments;
  string_view request;
};

const std::vector<Tool>& tools() {
  using enum Argument;
  static const std::vector<Tool> kTools = {
      {{"get_weather", "show_weather", "weather"},
       {{kCity, "city", {"city", "place", "town"}}},
       "[What is the weather in {city}?|How is the weather in {city}?]"},
      {{"get_time", "show_time", "clock"},
       {{kCity, "city", {"city", "place", "town"}}},
       "[What time is it in {city}?|Tell me the time in {city}.]"},
      {{"set_timer", "start_timer", "timer"},
       {{kNumber, "n", {"minutes", "time", "length"}}},
       "[Set a timer for {n} minutes.|Start a timer of {n} minutes.]"},
      {{"call", "call_person", "phone"},
       {{kName, "name", {"name", "person", "who"}}},
       "[Call {name}.|Phone {name}, please.]"},
      {{"find", "find_object", "search"},
       {{kObject, "object", {"object", "thing", "item"}}},
       "[Find my {object}.|Where is my {object}?]"},
      {{"open_door", "open", "unlock"},
       {{kPlace, "place", {"place", "room", "door"}}},
       "[Open the door of the {place}.|Unlock the {place}.]"},
      {{"paint", "paint_object", "set_colour"},
       {{kObject, "object", {"object", "thing", "item"}},
        {kColour, "colour", {"colour", "paint", "tone"}}},
       "[Paint the {object} {colour}.|Make the {object} {colour}.]"},
      {{"buy", "order", "get_fruit"},
       {{kFruit, "fruit", {"item", "fruit", "what"}},
        {kNumber, "n", {"count", "number", "amount"}}},
       "[Buy {n} of the {fruit}s.|Order {n} of the {fruit}s.]"},
      {{"remind", "set_reminder", "reminder"},
       {{kName, "name", {"name", "person", "who"}}, {kDay, "day", {"day", "date", "when"}}},
       "[Remind {name} on {day}.|On {day}, remind {name}.]"},
      {{"bring", "carry", "move_object"},
       {{kObject, "object", {"object", "thing", "item"}},
        {kPlace, "place", {"place", "room", "to"}}},
       "[Bring the {object} to the {place}.|Carry the {object} to the {place}.]"},
      {{"give", "send", "send_object"},
       {{kObject, "object", {"object", "thing", "item"}},
        {kName, "name", {"name", "person", "to"}}},
       "[Give the {object} to {name}.|Send {name} the {object}.]"},
  };
  return kTools;
}

string draw_value(Argument kind, Level level, Dice& dice) {
  static constexpr string_view kFruits[] = {"apple", "pear", "plum", "lemon", "orange", "melon"};
  switch (kind) {
    case Argument::kCity:
      return string(dice.pick(cities()));
    case Argument::kName:
      return string(dice.pick(names()));
    case Argument::kObject:
      return string(dice.pick(objects()));
    case Argument::kColour:
      return string(dice.pick(colours()));
    case Argument::kPlace:
      return string(dice.pick(places()));
    case Argument::kDay:
      return string(dice.pick(days()));
    case Argument::kFruit:
      return string(dice.pick(Words(kFruits)));
    case Argument::kNumber:
      return std::to_string(dice.between(2, level == Level::kHard ? 999 : 60));
  }
  return {};
}

// A tool under the names that it has in one conversation.
struct NamedTool {
  string name;
  std::vector<string> arguments;

  NamedTool(const Tool& tool, Level level, Dice& dice) {
    const auto choose = [&](const string_view(&from)[3]) {
      return string(from[level == Level::kEasy ? 0 : dice.below(3)]);
    };
    name = choose(tool.names);
    for (const ArgumentSlot& argument : tool.arguments) arguments.push_back(choose(argument.names));
  }

  string signature() const { return name + '(' + join(arguments, ", ") + ')'; }
};

}  // namespace

void draw_json(Level level, Dice& dice, Exercise& exercise) {
  const auto people = dice.pick_some(names(), 2);
  const bool two = level == Level::kHard && dice.percent(50);
  const size_t clauses = level == Level::kEasy     ? 1
                         : level == Level::kMiddle ? 2 + dice.below(2)
                         : two                     ? 2
                                                   : 4;
  Person person = draw_person(people[0], clauses, dice);
  if (two) {
    const Person other = draw_person(people[1], clauses, dice);
    person.sentence += ' ' + other.sentence;
    person.json = '[' + person.json + ", " + other.json + ']';
  }
  exercise.question = expand("[Write as JSON|Turn into JSON|As JSON]: {sentence}",
                             {{"sentence", person.sentence}}, dice);
  exercise.answer = person.json;
  exercise.key = "json " + person.sentence;
}

void draw_tool(Level level, Dice& dice, Exercise& exercise) {
  const size_t count = level == Level::kEasy     ? 1 + dice.below(2)
                       : level == Level::kMiddle ? 2 + dice.below(2)
                                                 : 4 + dice.below(2);
  std::vector<Tool> offered = dice.pick_some(std::span<const Tool>(tools()), count);
  const auto has_one_argument = [](const Tool& tool) { return tool.arguments.size() == 1; };
  if (level == Level::kEasy) {
    while (!has_one_argument(offered[0])) offered[0] = dice.pick(tools());
    if (count == 2 && offered[1].names[0] == offered[0].names[0]) offered.pop_back();
  }
  const NamedTool called(offered[0], level, dice);
  std::vector<string> signatures = {called.signature()};
  for (size_t i = 1; i < offered.size(); ++i) {
    signatures.push_back(NamedTool(offered[i], level, dice).signature());
  }
  dice.shuffle(signatures);
  Slots slots;
  exercise.answer = fmt::format(R"(<tool_call>{{"name": "{}", "arguments": {{)", called.name);
  for (size_t i = 0; i < called.arguments.size(); ++i) {
    const ArgumentSlot& argument = offered[0].arguments[i];
    const string value = draw_value(argument.kind, level, dice);
    slots.set(argument.slot, value);
    const char* quote = argument.kind == Argument::kNumber ? "" : "\"";
    exercise.answer += fmt::format(R"({}"{}": {}{}{})", i == 0 ? "" : ", ", called.arguments[i],
                                   quote, value, quote);
  }
  exercise.answer += "}}</tool_call>";
  exercise.before.push_back({Role::kSystem, "Tools:\n" + join(signatures, "\n")});
  exercise.question = expand(offered[0].request, slots, dice);
  exercise.key = "tool " + exercise.answer + ' ' + join(signatures, " ");
}

}  // namespace brisk::tasks
