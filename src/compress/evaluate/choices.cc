#include "compress/evaluate/choices.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/json.h"
#include "base/lines.h"
#include "base/status.h"
#include "compress/evaluate/token_scores.h"
#include "compress/evaluate/window_runner.h"
#include "compress/evaluate/windows.h"

namespace brisk {
namespace {

constexpr JsonLimits kLineLimits = {.depth_max = 16, .bytes_max = size_t{1} << 20};
constexpr size_t kChoicesMax = 256;
constexpr std::string_view kBlanks = " \t\r\n";

absl::StatusOr<ChoiceQuestion> question_of_line(std::string_view line) {
  BRISK_ASSIGN_OR_RETURN(const Json json, parse_json(line, kLineLimits));
  ChoiceQuestion question;
  if (!json.is_object() || !json.contains("query") || !json["query"].is_string()) {
    return invalid_input("expected an object with the string \"query\"");
  }
  question.query = json["query"].get<std::string>();
  if (!json.contains("choices") || !json["choices"].is_array()) {
    return invalid_input("expected \"choices\", a list of strings");
  }
  for (const Json& choice : json["choices"]) {
    if (!choice.is_string()) return invalid_input("a choice is not a string");
    question.choices.push_back(choice.get<std::string>());
    if (question.choices.back().find_first_not_of(kBlanks) == std::string::npos) {
      return invalid_input("a choice is empty");
    }
  }
  if (question.choices.size() < 2 || question.choices.size() > kChoicesMax) {
    return invalid_input("there are {} choices; expected 2 to {}", question.choices.size(),
                         kChoicesMax);
  }
  if (!json.contains("gold") || !json["gold"].is_number_unsigned() ||
      json["gold"].get<uint64_t>() >= question.choices.size()) {
    return invalid_input("expected \"gold\", the number of the right choice, from 0 on");
  }
  question.gold = json["gold"].get<size_t>();
  return question;
}

// Query and choice in one context, and where the choice begins.
struct Pair {
  Window window;
  bool is_cut = false;
};

Pair encode_pair(const Tokenizer& tokenizer, const ChoiceQuestion& question,
                 const std::string& choice, int64_t context) {
  const EncodeOptions plain = {.add_special = false};
  const size_t end = question.query.find_last_not_of(kBlanks) + 1;  // 0 when all are blank
  const std::string query = question.query.substr(0, end);
  std::string between = question.query.substr(end);
  if (between.empty() && kBlanks.find(choice.front()) == std::string_view::npos) between = " ";
  const std::vector<int32_t> whole = tokenizer.encode(query + between + choice, plain);
  const size_t given = std::min(tokenizer.encode(query, plain).size(), whole.size() - 1);
  const bool has_bos = tokenizer.rules().bos >= 0;
  const auto room = static_cast<size_t>(context) - (has_bos ? 1 : 0);
  const size_t cut = whole.size() - std::min(whole.size(), room);
  Pair pair = {.window = {}, .is_cut = cut > 0};
  if (has_bos) pair.window.tokens.push_back(tokenizer.rules().bos);
  pair.window.tokens.insert(pair.window.tokens.end(), whole.begin() + static_cast<ptrdiff_t>(cut),
                            whole.end());
  pair.window.first = static_cast<int64_t>(given) - static_cast<int64_t>(cut) + (has_bos ? 1 : 0);
  return pair;
}

double nats_of(WindowRunner& runner, const Window& window) {
  runner.begin(window.tokens, window.first);
  double nats = 0;
  for (WindowStep step; runner.next(&step);) {
    for (int64_t r = 0; r < step.logits.rows; ++r) {
      const auto target = static_cast<size_t>(step.first_target + r);
      nats += score_token({step.logits.row(r), static_cast<size_t>(step.logits.cols)},
                          window.tokens[target])
                  .nats;
    }
  }
  return nats;
}

absl::StatusOr<ChoiceAnswer> answer(const Model& model, WindowRunner& runner,
                                    const ChoiceQuestion& question, int64_t context) {
  ChoiceAnswer result;
  std::vector<double> per_byte;
  for (const std::string& choice : question.choices) {
    const Pair pair = encode_pair(*model.tokenizer, question, choice, context);
    BRISK_RETURN_IF_ERROR(check_tokens(pair.window.tokens, model));
    if (pair.window.first < 1 && pair.is_cut) {
      return invalid_input("a choice fills the context of {} tokens; see --context", context);
    }
    if (pair.window.first < 1) {
      return invalid_input("the query is empty, and the model has no token that begins a text");
    }
    result.is_cut |= pair.is_cut;
    result.nats.push_back(nats_of(runner, pair.window));
    per_byte.push_back(result.nats.back() / static_cast<double>(choice.size()));
    if (!std::isfinite(result.nats.back())) {
      return absl::InternalError(fmt::format("{}: the logits are not finite", model.name));
    }
  }
  const auto least = [](const std::vector<double>& values) {
    return static_cast<size_t>(std::ranges::min_element(values) - values.begin());
  };
  result.likeliest = least(result.nats);
  result.likeliest_per_byte = least(per_byte);
  return result;
}

}  // namespace

absl::StatusOr<std::vector<ChoiceQuestion>> parse_choice_questions(std::string_view text,
                                                                   size_t limit) {
  std::vector<ChoiceQuestion> questions;
  BRISK_RETURN_IF_ERROR(for_each_line(text, [&](std::string_view line) -> absl::Status {
    if (limit > 0 && questions.size() == limit) return absl::OkStatus();
    BRISK_ASSIGN_OR_RETURN(questions.emplace_back(), question_of_line(line));
    return absl::OkStatus();
  }));
  if (questions.empty()) return invalid_input("there is no question");
  return questions;
}

absl::StatusOr<std::vector<ChoiceAnswer>> answer_choices(
    const Model& model, const std::vector<ChoiceQuestion>& questions,
    const ChoiceOptions& options) {
  if (model.tokenizer == nullptr) {
    return invalid_input("{}: the model has no tokenizer; give one with --tokenizer", model.name);
  }
  const int64_t context =
      std::min<int64_t>(options.context > 0 ? options.context : 2048, model.spec.context_length);
  ThreadTeam team(options.threads > 0 ? options.threads : usable_threads());
  BRISK_ASSIGN_OR_RETURN(
      const std::unique_ptr<WindowRunner> runner,
      WindowRunner::create(
          model, team,
          {.context = context, .kv_dtype = options.kv_dtype, .adapter = options.adapter.get()}));
  std::vector<ChoiceAnswer> answers;
  for (const ChoiceQuestion& question : questions) {
    auto answered = answer(model, *runner, question, context);
    if (!answered.ok()) {
      return annotate(answered.status(), fmt::format("question {}", answers.size() + 1));
    }
    answers.push_back(*std::move(answered));
    if (options.on_progress) options.on_progress(static_cast<int64_t>(answers.size()));
  }
  return answers;
}

}  // namespace brisk
