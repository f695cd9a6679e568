#include "apps/eval_output.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

#include "apps/table.h"
#include "compress/report/comparison_html.h"
#include "compress/report/quality_json.h"
#include "compress/report/quality_text.h"
#include "compute/sys/mapped_file.h"

namespace brisk {
namespace {

double tokens_per_second(const TaskAnswers& answers) {
  return answers.seconds > 0 ? static_cast<double>(answers.completion_tokens) / answers.seconds : 0;
}

std::vector<std::string> row(const std::string& name, const tasks::TaskScore& score) {
  std::vector<std::string> cells = {name};
  for (const tasks::Score& level : score.levels) cells.push_back(percent_text(level));
  cells.push_back(percent_text(score.all));
  cells.push_back(fmt::format("{}", score.all.total));
  return cells;
}

// The wrong replies, at most `limit`.
std::vector<Json> wrong_replies(const SuiteResult& result, int limit) {
  std::vector<Json> wrong;
  for (size_t i = 0; i < result.right.size() && static_cast<int>(wrong.size()) < limit; ++i) {
    if (result.right[i]) continue;
    const tasks::Sample& sample = result.suite->samples[i];
    wrong.push_back({{"task", sample.task},
                     {"level", tasks::name_of(sample.level)},
                     {"question", sample.messages[sample.messages.size() - 2].content},
                     {"answer", *sample.answer},
                     {"reply", result.answers.replies[i]}});
  }
  return wrong;
}

void print_suite(const SuiteResult& result, int show_wrong) {
  const TaskAnswers& answers = result.answers;
  fmt::print("\n{}: {} answered in {:.1f} s, {:.0f} tokens/s\n", result.suite->name,
             answers.replies.size(), answers.seconds, tokens_per_second(answers));
  if (answers.prompts_too_long > 0) {
    fmt::print("{} prompts fill the context and count as wrong\n", answers.prompts_too_long);
  }
  if (result.suite->name == "tasks") {
    fmt::print("right answers in percent, with 95 % confidence intervals\n\n");
    std::vector<std::vector<std::string>> rows = {{"task", "easy", "middle", "hard", "all", "of"}};
    for (const auto& [name, score] : result.board.tasks) rows.push_back(row(name, score));
    rows.push_back(row("all", result.board.all));
    using enum Align;
    fmt::print("{}", table(rows, {kLeft, kRight, kRight, kRight, kRight, kRight}));
  }
  for (const Json& wrong : wrong_replies(result, show_wrong)) {
    fmt::print("\nwrong: {}, {}\n  asked    {}\n  expected {}\n  answered {}\n",
               wrong["task"].get<std::string>(), wrong["level"].get<std::string>(),
               to_text(wrong["question"]), to_text(wrong["answer"]), to_text(wrong["reply"]));
  }
}

void print_one(const Evaluation& evaluation, int show_wrong) {
  for (const auto& [name, value] : quality_facts(evaluation.quality)) {
    fmt::print("{:<16} {}\n", name, value);
  }
  if (evaluation.queries_cut > 0) {
    fmt::print("{} queries were longer than the context and lost their beginning; see --context\n",
               evaluation.queries_cut);
  }
  for (const SuiteResult& suite : evaluation.suites) print_suite(suite, show_wrong);
}

std::vector<QualityReport> qualities(const std::vector<Evaluation>& evaluations) {
  std::vector<QualityReport> reports;
  for (const Evaluation& evaluation : evaluations) reports.push_back(evaluation.quality);
  return reports;
}

Json to_json(const tasks::TaskScore& score) {
  Json json = {{"all", brisk::to_json(score.all)}};
  for (size_t i = 0; i < tasks::kLevels; ++i) {
    if (score.levels[i].total == 0) continue;
    json[std::string(tasks::name_of(static_cast<tasks::Level>(i)))] =
        brisk::to_json(score.levels[i]);
  }
  return json;
}

Json to_json(const SuiteResult& result, int show_wrong) {
  Json by_task = Json::object();
  for (const auto& [name, score] : result.board.tasks) by_task[name] = to_json(score);
  return {{"samples", result.right.size()},
          {"overall", to_json(result.board.all)},
          {"by_task", std::move(by_task)},
          {"seconds", result.answers.seconds},
          {"prompt_tokens", result.answers.prompt_tokens},
          {"completion_tokens", result.answers.completion_tokens},
          {"completion_tokens_per_s", tokens_per_second(result.answers)},
          {"prompts_too_long", result.answers.prompts_too_long},
          {"wrong", wrong_replies(result, show_wrong)}};
}

}  // namespace

void print_text(const std::vector<Evaluation>& evaluations, int show_wrong) {
  if (evaluations.size() == 1) return print_one(evaluations.front(), show_wrong);
  const auto rows = comparison_rows(qualities(evaluations));
  std::vector<Align> align(rows.front().size(), Align::kRight);
  align.front() = Align::kLeft;
  fmt::print("{}", table(rows, align));
}

Json to_json(const std::vector<Evaluation>& evaluations, const std::vector<std::string>& misses,
             int show_wrong) {
  Json models = Json::array();
  for (const Evaluation& evaluation : evaluations) {
    Json json = to_json(evaluation.quality);
    if (!evaluation.path.empty()) json["path"] = evaluation.path;
    for (const SuiteResult& suite : evaluation.suites) {
      json[suite.suite->name] = to_json(suite, show_wrong);
    }
    if (evaluation.right.contains("choices")) json["queries_cut"] = evaluation.queries_cut;
    models.push_back(std::move(json));
  }
  return {{"models", std::move(models)}, {"gate", {{"held", misses.empty()}, {"misses", misses}}}};
}

absl::Status write_html(const std::string& path, const std::string& command,
                        const std::vector<Evaluation>& evaluations,
                        const std::vector<std::string>& misses) {
  std::vector<std::string> names;
  for (const Evaluation& evaluation : evaluations) names.push_back(evaluation.quality.model);
  return write_file_atomically(path, to_html({.title = fmt::format("{}", fmt::join(names, ", ")),
                                              .command = command,
                                              .reports = qualities(evaluations),
                                              .misses = misses}));
}

}  // namespace brisk
