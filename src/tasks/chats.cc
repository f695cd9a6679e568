// Conversations: the system's turn says how to answer, earlier turns say what to remember.
#include <algorithm>
#include <string>

#include "tasks/exercise.h"
#include "tasks/grammar.h"
#include "tasks/words.h"

namespace brisk::tasks {
namespace {

using std::string;
using std::string_view;

enum class Rule : uint8_t { kTwice, kCommas, kBegin, kEnd, kCapitals };
constexpr Rule kAllRules[] = {Rule::kTwice, Rule::kCommas, Rule::kBegin, Rule::kEnd,
                              Rule::kCapitals};

string sentence_of(Rule rule, string_view word) {
  switch (rule) {
    case Rule::kTwice:
      return "Say everything twice.";
    case Rule::kCommas:
      return "Put commas between the words.";
    case Rule::kBegin:
      return "Begin with " + string(word) + '.';
    case Rule::kEnd:
      return "End with " + string(word) + '.';
    case Rule::kCapitals:
      return "Answer in capital letters.";
  }
  return {};
}

// `words` said as all `rules` want it: repeated, then with what comes before and after, then with
// commas, and in capitals all of it.
string obey(const std::vector<Rule>& rules, std::vector<string> words, string_view added) {
  const auto has = [&](Rule rule) {
    return std::find(rules.begin(), rules.end(), rule) != rules.end();
  };
  if (has(Rule::kTwice)) {
    const std::vector<string> once = words;
    words.insert(words.end(), once.begin(), once.end());
  }
  if (has(Rule::kBegin)) words.insert(words.begin(), string(added));
  if (has(Rule::kEnd)) words.emplace_back(added);
  string out = join(words, has(Rule::kCommas) ? ", " : " ");
  if (has(Rule::kCapitals)) {
    for (char& c : out) {
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
  }
  return out;
}

struct Topic {
  string_view statement;
  string_view question;
  string_view answer;
};
constexpr Topic kTopics[] = {
    {"My name is {x}.", "What is my name?", "Your name is {x}."},
    {"I live in {x}.", "Where do I live?", "You live in {x}."},
    {"My favourite colour is {x}.", "What is my favourite colour?",
     "Your favourite colour is {x}."},
    {"I am {x} years old.", "How old am I?", "You are {x} years old."},
    {"My favourite animal is the {x}.", "What is my favourite animal?",
     "Your favourite animal is the {x}."},
    {"My best friend is {x}.", "Who is my best friend?", "Your best friend is {x}."},
};

string draw_value(size_t topic, Dice& dice) {
  switch (topic) {
    case 1:
      return string(dice.pick(cities()));
    case 2:
      return string(dice.pick(colours()));
    case 3:
      return std::to_string(dice.between(5, 90));
    case 4:
      return string(dice.pick(animals()));
    default:
      return string(dice.pick(names()));
  }
}

}  // namespace

void draw_system(Level level, Dice& dice, Exercise& exercise) {
  const int count = level == Level::kEasy     ? dice.between(1, 2)
                    : level == Level::kMiddle ? dice.between(3, 4)
                                              : dice.between(4, 6);
  std::vector<Rule> rules =
      dice.pick_some(std::span<const Rule>(kAllRules), level == Level::kHard ? 2 : 1);
  std::sort(rules.begin(), rules.end());
  const bool only_one_word = count == 1 && rules == std::vector<Rule>{Rule::kCommas};
  const Words from = dice.percent(50) ? animals() : objects();
  const auto picked = dice.pick_some(from, static_cast<size_t>(count + (only_one_word ? 1 : 0)));
  const std::vector<string> words(picked.begin(), picked.end());
  const string_view added = dice.pick(colours());
  std::vector<string> sentences;
  for (const Rule rule : rules) sentences.push_back(sentence_of(rule, added));
  exercise.before.push_back({Role::kSystem, join(sentences, " ")});
  exercise.question = expand("[Say|Repeat|Write]: {words}", {{"words", join(words, " ")}}, dice);
  exercise.answer = obey(rules, words, added);
  exercise.key = "system " + join(sentences, " ") + ' ' + join(words, " ");
}

void draw_dialogue(Level level, Dice& dice, Exercise& exercise) {
  static constexpr size_t kOrder[] = {0, 1, 2, 3, 4, 5};
  const size_t count = level == Level::kEasy     ? 1 + dice.below(2)
                       : level == Level::kMiddle ? 3
                                                 : 4 + dice.below(2);
  const auto told = dice.pick_some(std::span<const size_t>(kOrder), count);
  std::vector<string> values;
  exercise.key = "dialogue";
  const auto tell = [&](string_view lead, size_t topic, const string& value) {
    string said = expand(kTopics[topic].statement, {{"x", value}}, dice);
    if (!lead.empty()) {
      if (said.front() == 'M') said.front() = 'm';
      said = string(lead) + said;
    }
    exercise.key += ' ' + said;
    exercise.before.push_back({Role::kUser, std::move(said)});
    exercise.before.push_back({Role::kAssistant, "I will remember that."});
  };
  for (const size_t topic : told) {
    values.push_back(draw_value(topic, dice));
    tell("", topic, values.back());
  }
  if (level == Level::kHard) {  // something has changed
    const size_t changed = dice.below(count);
    const string before = values[changed];
    while (values[changed] == before) values[changed] = draw_value(told[changed], dice);
    tell("No, ", told[changed], values[changed]);
  }
  const size_t asked = dice.below(count);
  exercise.question = kTopics[told[asked]].question;
  exercise.answer = expand(kTopics[told[asked]].answer, {{"x", values[asked]}}, dice);
  exercise.key += ' ' + exercise.question;
}

}  // namespace brisk::tasks
