#include "tests/tasks/solver.h"

#include <algorithm>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "tests/tasks/logic_solver.h"

namespace brisk::tasks {
namespace {

using std::string;
using Strings = std::vector<string>;

// What the first question is about, which later ones of the same conversation refer to.
string given_in(const Sample& sample) {
  for (const Message& message : sample.messages) {
    if (message.role == Role::kUser) return message.content;
  }
  return "";
}

string question_of(const Sample& sample) {
  return sample.messages[sample.messages.size() - 2].content;
}

Strings split(const string& text) {
  std::istringstream stream(text);
  Strings words;
  for (string word; stream >> word;) words.push_back(word);
  return words;
}

string joined(const Strings& words, const string& separator = " ") {
  string out;
  for (const string& word : words) out += (out.empty() ? "" : separator) + word;
  return out;
}

Strings list_of(const string& question) { return split(question.substr(question.find(": ") + 2)); }

std::vector<long> numbers_in(const string& text) {
  static const std::regex kNumber("[0-9]+");
  std::vector<long> numbers;
  for (std::sregex_iterator it(text.begin(), text.end(), kNumber), end; it != end; ++it) {
    numbers.push_back(std::stol(it->str()));
  }
  return numbers;
}

bool has(const string& text, const string& part) { return text.find(part) != string::npos; }

string solve_sort(const string& question) {
  Strings items = list_of(question);
  std::sort(items.begin(), items.end(), [](const string& a, const string& b) {
    const bool digits = std::isdigit(static_cast<unsigned char>(a[0])) != 0;
    return digits ? std::stol(a) < std::stol(b) : a < b;
  });
  return joined(items);
}

// `given`: the turn that shows the list; `asked`: the last question about it.
string solve_count(const string& given, const string& asked) {
  string letter;
  for (string word : split(asked.substr(0, asked.find(": ")))) {
    if (word.back() == '?') word.pop_back();
    if (word.size() == 1) letter = word;
  }
  const Strings items = list_of(given);
  return std::to_string(std::count(items.begin(), items.end(), letter));
}

string solve_arithmetic(const string& task, const string& question) {
  const std::vector<long> numbers = numbers_in(question);
  if (numbers.size() != 2) return "";
  if (task == "add") return std::to_string(numbers[0] + numbers[1]);
  if (task == "multiply") return std::to_string(numbers[0] * numbers[1]);
  const bool turned = question.starts_with("Take ");
  return std::to_string(turned ? numbers[1] - numbers[0] : numbers[0] - numbers[1]);
}

string solve_compare(const string& question) {
  const std::vector<long> numbers = numbers_in(question);
  const bool largest = has(question, "larg");
  return std::to_string(largest ? *std::max_element(numbers.begin(), numbers.end())
                                : *std::min_element(numbers.begin(), numbers.end()));
}

string solve_lookup(const string& given, const string& question) {
  std::istringstream lines(given);
  std::map<string, string> values;
  std::map<string, string> keys;
  string line;
  while (std::getline(lines, line) && has(line, ": ")) {
    const size_t colon = line.find(": ");
    values[line.substr(0, colon)] = line.substr(colon + 2);
    keys[line.substr(colon + 2)] = line.substr(0, colon);
  }
  string asked = split(question).back();
  asked.pop_back();
  if (values.contains(asked)) return asked + ": " + values[asked];
  return "Key of " + asked + ": " + keys[asked];
}

string solve_who(const string& given, const string& question) {
  std::map<string, string> owner;
  std::map<string, string> place;
  std::istringstream sentences(given);
  string sentence;
  while (std::getline(sentences >> std::ws, sentence, '.') && !has(sentence, "?")) {
    const Strings w = split(sentence);
    if (w[1] == "has") owner[w[3]] = w[0];
    if (w[1] == "gives") owner[w[3]] = w[5];
    if (w[1] == "takes") owner[w[3]] = w[0];
    if (w[1] == "is") place[w[0]] = w[4];
    if (w[1] == "goes" || w[1] == "walks" || w[1] == "runs") place[w[0]] = w[4];
  }
  const size_t last = question.rfind(". ");
  Strings asked = split(last == string::npos ? question : question.substr(last + 2));
  asked.back().pop_back();
  if (asked[0] == "Who") return "The " + asked[3] + " is with " + owner[asked[3]] + '.';
  if (asked[0] == "Where") {
    return asked[2] == "the" ? "The " + asked[3] + " is in the " + place[owner[asked[3]]] + '.'
                             : asked[2] + " is in the " + place[asked[2]] + '.';
  }
  for (const auto& [object, name] : owner) {
    if (name == asked[2]) return name + " has the " + object + '.';
  }
  return "";
}

string object_of(const string& sentence) {
  const auto find = [&](const char* pattern) {
    std::smatch match;
    return std::regex_search(sentence, match, std::regex(pattern)) ? match[1].str() : "";
  };
  string json = "{\"name\": \"" + split(sentence)[0] + '"';
  if (const string age = find("is ([0-9]+) years old"); !age.empty()) json += ", \"age\": " + age;
  if (const string city = find("lives in (\\w+)"); !city.empty()) {
    json += ", \"city\": \"" + city + '"';
  }
  if (const string pet = find("has an? (\\w+)"); !pet.empty()) json += ", \"pet\": \"" + pet + '"';
  if (const string colour = find("likes (\\w+)"); !colour.empty()) {
    json += ", \"colour\": \"" + colour + '"';
  }
  return json + '}';
}

string solve_json(const string& question) {
  std::istringstream sentences(question.substr(question.find(": ") + 2));
  Strings objects;
  for (string sentence; std::getline(sentences >> std::ws, sentence, '.');) {
    objects.push_back(object_of(sentence));
  }
  return objects.size() == 1 ? objects[0] : '[' + joined(objects, ", ") + ']';
}

// How people ask for a tool, under which names it goes, and which group is which argument.
struct Request {
  const char* pattern;
  std::set<string> names;
  std::vector<size_t> groups;
};

string solve_tool(const Sample& sample) {
  static const std::vector<Request> kRequests = {
      {"weather in (\\w+)", {"get_weather", "show_weather", "weather"}, {1}},
      {"(?:time in|is it in) (\\w+)", {"get_time", "show_time", "clock"}, {1}},
      {"timer (?:for|of) ([0-9]+) minutes", {"set_timer", "start_timer", "timer"}, {1}},
      {"^(?:Call|Phone) (\\w+)", {"call", "call_person", "phone"}, {1}},
      {"my (\\w+)", {"find", "find_object", "search"}, {1}},
      {"(?:door of|Unlock) the (\\w+)", {"open_door", "open", "unlock"}, {1}},
      {"^(?:Paint|Make) the (\\w+) (\\w+)", {"paint", "paint_object", "set_colour"}, {1, 2}},
      {"([0-9]+) of the (\\w+)s\\.", {"buy", "order", "get_fruit"}, {2, 1}},
      {"^Remind (\\w+) on (\\w+)", {"remind", "set_reminder", "reminder"}, {1, 2}},
      {"^On (\\w+), remind (\\w+)", {"remind", "set_reminder", "reminder"}, {2, 1}},
      {"^(?:Bring|Carry) the (\\w+) to the (\\w+)", {"bring", "carry", "move_object"}, {1, 2}},
      {"^Give the (\\w+) to (\\w+)", {"give", "send", "send_object"}, {1, 2}},
      {"^Send (\\w+) the (\\w+)", {"give", "send", "send_object"}, {2, 1}},
  };
  const string question = question_of(sample);
  for (const Request& request : kRequests) {
    std::smatch match;
    if (!std::regex_search(question, match, std::regex(request.pattern))) continue;
    std::istringstream tools(sample.messages[0].content);
    for (string line; std::getline(tools, line);) {
      const string name = line.substr(0, line.find('('));
      if (!request.names.contains(name)) continue;
      string inside = line.substr(name.size() + 1, line.size() - name.size() - 2);
      std::replace(inside.begin(), inside.end(), ',', ' ');
      const Strings arguments = split(inside);
      Strings members;
      for (size_t i = 0; i < arguments.size(); ++i) {
        const string value = match[static_cast<int>(request.groups[i])].str();
        const bool number = std::isdigit(static_cast<unsigned char>(value[0])) != 0;
        members.push_back('"' + arguments[i] + "\": " + (number ? value : '"' + value + '"'));
      }
      return "<tool_call>{\"name\": \"" + name + "\", \"arguments\": {" + joined(members, ", ") +
             "}}</tool_call>";
    }
  }
  return "";
}

string solve_system(const Sample& sample) {
  const string& rules = sample.messages[0].content;
  Strings words = list_of(question_of(sample));
  std::smatch match;
  if (has(rules, "twice")) {
    const Strings once = words;
    words.insert(words.end(), once.begin(), once.end());
  }
  if (std::regex_search(rules, match, std::regex("Begin with (\\w+)"))) {
    words.insert(words.begin(), match[1].str());
  }
  if (std::regex_search(rules, match, std::regex("End with (\\w+)"))) words.push_back(match[1]);
  string out = joined(words, has(rules, "commas") ? ", " : " ");
  if (has(rules, "capital")) {
    std::transform(out.begin(), out.end(), out.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  }
  return out;
}

string solve_dialogue(const Sample& sample) {
  struct Topic {
    const char* told;
    const char* asked;
    const char* before;
    const char* after;
  };
  static constexpr Topic kTopics[] = {
      {"[Mm]y name is (\\w+)", "my name", "Your name is ", "."},
      {"I live in (\\w+)", "Where do I live", "You live in ", "."},
      {"[Mm]y favourite colour is (\\w+)", "colour", "Your favourite colour is ", "."},
      {"I am ([0-9]+) years", "How old", "You are ", " years old."},
      {"[Mm]y favourite animal is the (\\w+)", "animal", "Your favourite animal is the ", "."},
      {"[Mm]y best friend is (\\w+)", "friend", "Your best friend is ", "."},
  };
  for (const Topic& topic : kTopics) {
    if (!has(question_of(sample), topic.asked)) continue;
    string value;
    for (size_t i = 0; i + 2 < sample.messages.size(); ++i) {
      std::smatch match;
      const string& said = sample.messages[i].content;
      if (std::regex_search(said, match, std::regex(topic.told))) value = match[1];
    }
    return topic.before + value + topic.after;
  }
  return "";
}

}  // namespace

string solve(const Sample& sample) {
  const string question = question_of(sample);
  const string& task = sample.task;
  if (task == "copy") return joined(list_of(question));
  if (task == "reverse") {
    Strings items = list_of(question);
    std::reverse(items.begin(), items.end());
    return joined(items);
  }
  if (task == "sort") return solve_sort(question);
  if (task == "count") return solve_count(given_in(sample), question);
  if (task == "add" || task == "subtract" || task == "multiply") {
    return solve_arithmetic(task, question);
  }
  if (task == "compare") return solve_compare(question);
  if (task == "lookup") return solve_lookup(given_in(sample), question);
  if (task == "who") return solve_who(given_in(sample), question);
  if (task == "logic") return solve_logic(question);
  if (task == "json") return solve_json(question);
  if (task == "tool") return solve_tool(sample);
  if (task == "system") return solve_system(sample);
  if (task == "dialogue") return solve_dialogue(sample);
  return "";
}

bool work_holds(const Sample& sample) {
  std::istringstream lines(sample.messages.back().content);
  for (string line; std::getline(lines, line);) {
    const size_t equals = line.find('=');
    if (equals == string::npos) return lines.eof();
    const std::vector<long> n = numbers_in(line.substr(0, equals));
    const char first = line[line.find_first_of("+-x")];
    const long rest = n.size() > 2 ? n[2] : 0;
    const long value = first == 'x'   ? n[0] * n[1] + rest
                       : first == '+' ? n[0] + n[1] + rest
                                      : n[0] - n[1] - rest;
    if (std::to_string(value) != line.substr(equals + 1)) return false;
  }
  return false;
}

}  // namespace brisk::tasks
