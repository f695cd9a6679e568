#include "apps/eval_tasks.h"

#include <fmt/format.h>

#include <array>
#include <memory>
#include <optional>

#include "apps/progress.h"
#include "apps/table.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/status.h"
#include "compress/evaluate/answer_tasks.h"
#include "compute/sys/mapped_file.h"
#include "plan/load/chat_client.h"
#include "plan/load/server_probe.h"
#include "tasks/read_samples.h"
#include "tasks/score.h"

namespace brisk {
namespace {

using tasks::kLevels;
using TaskSample = tasks::Sample;
using tasks::Score;
using tasks::ScoreBoard;
using tasks::TaskScore;

constexpr size_t kTemplateBytesMax = 1 << 20;

struct Report {
  std::string who;
  TaskAnswers answers;
  ScoreBoard board;
};

bool is_file(const std::vector<std::string>& names) {
  return names.size() == 1 && tasks::find_task(names[0]) == nullptr && names[0] != "all";
}

absl::StatusOr<std::vector<TaskSample>> load_samples(const EvalTasksOptions& options) {
  if (is_file(options.tasks)) {
    const std::string& path = options.tasks[0];
    BRISK_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
    auto samples = tasks::parse_graded_samples(file.text(), options.limit);
    if (!samples.ok()) return annotate(samples.status(), path);
    return samples;
  }
  BRISK_ASSIGN_OR_RETURN(const tasks::Mix mix, make_mix(options.tasks, options.flags));
  std::vector<TaskSample> samples = tasks::generate_graded(mix, options.count);
  if (options.limit > 0 && samples.size() > options.limit) samples.resize(options.limit);
  if (samples.empty()) return invalid_input("none of these tasks has one right answer");
  return samples;
}

absl::StatusOr<TaskAnswers> ask_server(const EvalTasksOptions& options,
                                       const std::vector<TaskSample>& samples, std::string* who,
                                       Progress& progress) {
  ChatClientOptions client = {.target = {},
                              .model = options.server_model,
                              .max_tokens = options.max_tokens,
                              .concurrency = options.concurrency};
  BRISK_ASSIGN_OR_RETURN(client.target, parse_target(options.server, options.api_key));
  if (client.model.empty()) {
    BRISK_ASSIGN_OR_RETURN(client.model, first_model(client.target));
  }
  *who = client.model + " at " + to_url(client.target);
  std::vector<Json> conversations;
  for (const TaskSample& sample : samples) {
    Json messages = Json::array();
    for (size_t i = 0; i + 1 < sample.messages.size(); ++i) {
      messages.push_back({{"role", tasks::name_of(sample.messages[i].role)},
                          {"content", sample.messages[i].content}});
    }
    conversations.push_back(std::move(messages));
  }
  const SteadyClock clock;
  const Instant start = clock.now();
  BRISK_ASSIGN_OR_RETURN(std::vector<ChatReply> replies,
                         ask_chats(client, conversations, [&](int64_t done) {
                           progress.show_items(static_cast<uint64_t>(done), samples.size());
                         }));
  TaskAnswers answers;
  answers.seconds = seconds_between(start, clock.now());
  for (ChatReply& reply : replies) {
    answers.replies.push_back(std::move(reply.text));
    answers.prompt_tokens += reply.prompt_tokens;
    answers.completion_tokens += reply.completion_tokens;
  }
  return answers;
}

absl::StatusOr<TaskAnswers> ask_model(const EvalTasksOptions& options,
                                      const std::vector<TaskSample>& samples, std::string* who,
                                      Progress& progress) {
  BRISK_ASSIGN_OR_RETURN(std::shared_ptr<const Model> model,
                         load_model(options.model, options.load));
  *who = model->name;
  AnswerOptions answering = {
      .engine = {}, .lora = options.lora, .chat_template = {}, .max_tokens = options.max_tokens};
  if (!options.chat_template.empty()) {
    BRISK_ASSIGN_OR_RETURN(answering.chat_template,
                           read_file(options.chat_template, kTemplateBytesMax));
  }
  answering.engine.threads = options.load.threads;
  answering.engine.kv_dtype = options.kv_dtype;
  return answer_tasks(std::move(model), samples, answering, [&](int64_t done) {
    progress.show_items(static_cast<uint64_t>(done), samples.size());
  });
}

double tokens_per_second(const TaskAnswers& answers) {
  return answers.seconds > 0 ? static_cast<double>(answers.completion_tokens) / answers.seconds : 0;
}

std::string cell(const Score& score) {
  if (score.total == 0) return "-";
  const tasks::Interval interval = score.interval();
  return fmt::format("{:.1f} ({:.1f}-{:.1f})", 100 * score.rate(), 100 * interval.low,
                     100 * interval.high);
}

std::vector<std::string> row(const std::string& name, const TaskScore& score) {
  std::vector<std::string> cells = {name};
  for (const Score& level : score.levels) cells.push_back(cell(level));
  cells.push_back(cell(score.all));
  cells.push_back(fmt::format("{}", score.all.total));
  return cells;
}

// Text that may hold anything, on one line.
std::string quoted(const std::string& text) { return to_text(Json(text)); }

void print_wrong(const std::vector<TaskSample>& samples, const Report& report, int show) {
  for (size_t i = 0; i < samples.size() && show > 0; ++i) {
    const TaskSample& sample = samples[i];
    if (tasks::is_right(*sample.answer, report.answers.replies[i])) continue;
    --show;
    fmt::print("\nwrong: {}, {}\n  asked    {}\n  expected {}\n  answered {}\n", sample.task,
               tasks::name_of(sample.level),
               quoted(sample.messages[sample.messages.size() - 2].content), quoted(*sample.answer),
               quoted(report.answers.replies[i]));
  }
}

void print_report(const Report& report) {
  const TaskAnswers& answers = report.answers;
  fmt::print("{}: {} tasks in {:.1f} s, {:.0f} tokens/s\n", report.who, answers.replies.size(),
             answers.seconds, tokens_per_second(answers));
  if (answers.prompts_too_long > 0) {
    fmt::print("{} prompts fill the context and count as wrong\n", answers.prompts_too_long);
  }
  fmt::print("right answers in percent, with 95 % confidence intervals\n\n");
  std::vector<std::vector<std::string>> rows = {{"task", "easy", "middle", "hard", "all", "of"}};
  for (const auto& [name, score] : report.board.tasks) rows.push_back(row(name, score));
  rows.push_back(row("all", report.board.all));
  fmt::print("{}", table(rows, {Align::kLeft, Align::kRight, Align::kRight, Align::kRight,
                                Align::kRight, Align::kRight}));
}

Json to_json(const Score& score) {
  const tasks::Interval interval = score.interval();
  return {{"right", score.right},
          {"total", score.total},
          {"rate", score.rate()},
          {"low", interval.low},
          {"high", interval.high}};
}

Json to_json(const TaskScore& score) {
  Json json = {{"all", to_json(score.all)}};
  for (size_t i = 0; i < kLevels; ++i) {
    if (score.levels[i].total == 0) continue;
    json[std::string(tasks::name_of(static_cast<tasks::Level>(i)))] = to_json(score.levels[i]);
  }
  return json;
}

Json to_json(const std::vector<TaskSample>& samples, const Report& report, int show_wrong) {
  Json scores = Json::object();
  for (const auto& [name, score] : report.board.tasks) scores[name] = to_json(score);
  Json wrong = Json::array();
  for (size_t i = 0; i < samples.size() && static_cast<int>(wrong.size()) < show_wrong; ++i) {
    if (tasks::is_right(*samples[i].answer, report.answers.replies[i])) continue;
    wrong.push_back({{"task", samples[i].task},
                     {"level", tasks::name_of(samples[i].level)},
                     {"question", samples[i].messages[samples[i].messages.size() - 2].content},
                     {"answer", *samples[i].answer},
                     {"reply", report.answers.replies[i]}});
  }
  return {{"model", report.who},
          {"samples", samples.size()},
          {"seconds", report.answers.seconds},
          {"prompt_tokens", report.answers.prompt_tokens},
          {"completion_tokens", report.answers.completion_tokens},
          {"completion_tokens_per_s", tokens_per_second(report.answers)},
          {"prompts_too_long", report.answers.prompts_too_long},
          {"overall", to_json(report.board.all)},
          {"tasks", std::move(scores)},
          {"wrong", std::move(wrong)}};
}

}  // namespace

void add_eval_tasks_options(CLI::App& app, EvalTasksOptions* options) {
  app.add_option("--tasks", options->tasks,
                 "Tasks to solve: a .jsonl of `brisk tasks generate`, or names (or all), which are "
                 "generated here")
      ->delimiter(',');
  options->flags.split = "test";
  add_task_options(app, &options->flags);
  app.add_option("--count", options->count, "How many of each task and level are generated")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--limit", options->limit, "Only the first so many tasks (0: all)")
      ->capture_default_str();
  app.add_option("--max-tokens", options->max_tokens, "Tokens of an answer")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--show-wrong", options->show_wrong, "Show so many wrong answers")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  app.add_option("--chat-template", options->chat_template,
                 "File with a Jinja template, for models without their own");
  app.add_option("--server", options->server,
                 "Ask a server of OpenAI's API instead of a model here: http://127.0.0.1:8000");
  app.add_option("--model", options->server_model, "The server's model; else the first it has");
  app.add_option("--api-key", options->api_key, "Key for the server")->envname("BRISK_API_KEY");
  app.add_option("--concurrency", options->concurrency, "Questions to the server at once")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
}

absl::Status eval_tasks(const EvalTasksOptions& options) {
  BRISK_ASSIGN_OR_RETURN(const std::vector<TaskSample> samples, load_samples(options));
  Report report;
  {
    Progress progress("tasks");
    BRISK_ASSIGN_OR_RETURN(report.answers,
                           options.server.empty()
                               ? ask_model(options, samples, &report.who, progress)
                               : ask_server(options, samples, &report.who, progress));
  }
  for (size_t i = 0; i < samples.size(); ++i) {
    report.board.add(samples[i], tasks::is_right(*samples[i].answer, report.answers.replies[i]));
  }
  if (options.json) {
    fmt::print("{}\n", to_text(to_json(samples, report, options.show_wrong)));
    return absl::OkStatus();
  }
  print_report(report);
  print_wrong(samples, report, options.show_wrong);
  return absl::OkStatus();
}

}  // namespace brisk
