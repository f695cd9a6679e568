#include "tests/tasks/logic_solver.h"

#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <vector>

namespace brisk::tasks {
namespace {

using std::string;

// "(true and not false) or true"
class Formula {
 public:
  explicit Formula(const string& text) {
    static const std::regex kWord("[()]|[a-z]+");
    for (std::sregex_iterator it(text.begin(), text.end(), kWord), end; it != end; ++it) {
      words_.push_back(it->str());
    }
  }
  bool value() {
    bool left = operand();
    while (at_ < words_.size() && words_[at_] != ")") {
      const bool conjunction = words_[at_++] == "and";
      const bool right = operand();
      left = conjunction ? left && right : left || right;
    }
    return left;
  }

 private:
  bool operand() {
    const string word = words_[at_++];
    if (word == "not") return !operand();
    if (word != "(") return word == "true";
    const bool inner = value();
    ++at_;
    return inner;
  }
  std::vector<string> words_;
  size_t at_ = 0;
};

// What is known to hold (true) or not (false), and what follows from what.
class Knowledge {
 public:
  void imply(const string& from, bool to_value, const string& to) {
    rules_.push_back({from, to, to_value});
  }
  void state(const string& fact, bool value) { known_[fact] = value; }

  string ask(const string& question) {
    for (size_t round = 0; round <= rules_.size(); ++round) {
      for (const Rule& rule : rules_) {
        const auto from = known_.find(rule.from);
        if (from != known_.end() && from->second) known_[rule.to] = rule.to_value;
        const auto to = known_.find(rule.to);
        if (to != known_.end() && to->second != rule.to_value) known_[rule.from] = false;
      }
    }
    const auto it = known_.find(question);
    return it == known_.end() ? "" : it->second ? "yes" : "no";
  }

 private:
  struct Rule {
    string from, to;
    bool to_value;
  };
  std::vector<Rule> rules_;
  std::map<string, bool> known_;
};

// "Tom sings" and "Tom sing" are the same.
string stem(string clause) {
  if (clause.starts_with("It ")) clause[0] = 'i';
  if (clause.ends_with('s')) clause.pop_back();
  return clause;
}

string solve_order(const string& question) {
  static const std::set<string> kMore = {"taller", "older", "faster"};
  static const std::set<string> kMost = {"tallest", "oldest", "fastest"};
  static const std::regex kFact("(\\w+) is (\\w+) than (\\w+)\\.");
  std::set<string> people, beaten, winners;
  for (std::sregex_iterator it(question.begin(), question.end(), kFact), end; it != end; ++it) {
    const bool more = kMore.contains((*it)[2]);
    const string above = (*it)[more ? 1 : 3];
    const string below = (*it)[more ? 3 : 1];
    people.insert({above, below});
    beaten.insert(below);
    winners.insert(above);
  }
  std::smatch asked;
  std::regex_search(question, asked, std::regex("the (\\w+)\\?"));
  const std::set<string>& excluded = kMost.contains(asked[1]) ? beaten : winners;
  string answer;
  for (const string& name : people) {
    if (!excluded.contains(name)) answer += name;  // two names are no answer
  }
  return answer;
}

}  // namespace

string solve_logic(const string& question) {
  if (question.starts_with("True or false: ")) {
    return Formula(question.substr(15)).value() ? "true" : "false";
  }
  if (question.find(" than ") != string::npos) return solve_order(question);
  Knowledge knowledge;
  std::istringstream sentences(question);
  string sentence;
  while (std::getline(sentences >> std::ws, sentence, '.') && !sentence.ends_with('?')) {
    std::smatch m;
    if (std::regex_match(sentence, m, std::regex("(Every|No) (\\w+)( thing)? is (\\w+)"))) {
      knowledge.imply(m[2], m[1] == "Every", m[4]);
    } else if (std::regex_match(sentence, m, std::regex("\\w+ is an? (\\w+)"))) {
      knowledge.state(m[1], true);
    } else if (std::regex_match(sentence, m, std::regex("If (\\w+ \\w+), (\\w+ \\w+)"))) {
      knowledge.imply(stem(m[1]), true, stem(m[2]));
    } else if (std::regex_match(sentence, m, std::regex("(\\w+ \\w+) only if (\\w+ \\w+)"))) {
      knowledge.imply(stem(m[1]), true, stem(m[2]));
    } else if (std::regex_match(sentence, m, std::regex("(\\w+) does not (\\w+)"))) {
      knowledge.state(stem(m[1].str() + ' ' + m[2].str()), false);
    } else {
      knowledge.state(stem(sentence), true);
    }
  }
  std::smatch m;
  if (std::regex_match(sentence, m, std::regex("Is \\w+ (\\w+)\\?"))) return knowledge.ask(m[1]);
  if (std::regex_match(sentence, m, std::regex("Does (\\w+ \\w+)\\?"))) {
    return knowledge.ask(stem(m[1]));
  }
  return "";
}

}  // namespace brisk::tasks
