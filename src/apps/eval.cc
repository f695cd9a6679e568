// brisk eval: how well models predict a text and answer questions, and what they lost against a
// reference.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/command_line.h"
#include "apps/decode_speed.h"
#include "apps/engine_flags.h"
#include "apps/eval_output.h"
#include "apps/eval_suites.h"
#include "apps/gate_flags.h"
#include "apps/progress.h"
#include "base/json.h"
#include "base/status.h"
#include "compress/evaluate/choices.h"
#include "compress/evaluate/documents.h"
#include "compress/evaluate/quality.h"
#include "compress/report/quality_json.h"
#include "model/checkpoint/quality_report.h"

namespace brisk {
namespace {

struct Options {
  std::vector<std::string> models;
  std::string reference;
  std::string tokenizer;
  std::string text;
  std::string choices;
  std::string lora;
  std::string html;
  Activations activations = Activations::kInt8;
  QualityOptions quality;
  SuiteOptions suites;
  Gate gate;
  int show_wrong = 0;
  bool attach = false;
  bool json = false;
};

// What every model is asked.
struct Material {
  std::vector<Document> documents;
  std::vector<ChoiceQuestion> choices;
  std::vector<Suite> suites;
};

// A report of what will be measured, to see whether the gate can be decided.
QualityReport outline(const Options& options) {
  QualityReport report;
  if (!options.text.empty()) {
    report.text.emplace();
    if (!options.reference.empty()) report.text->divergence.emplace();
  }
  outline_suites(options.suites, &report);
  for (const char* name : {"choices", "choices_norm"}) {
    if (!options.choices.empty()) report.accuracies.push_back({.name = name, .score = {}});
  }
  return report;
}

absl::Status check(const Options& options) {
  const bool has_suites = !options.suites.tasks.empty() || !options.suites.questions.empty();
  if (options.text.empty() && options.choices.empty() && !has_suites) {
    return invalid_input(
        "nothing to measure: give a text to predict (--text), tasks to solve (--tasks), or files "
        "of --choices or --questions");
  }
  const bool served = !options.suites.server.empty();
  if (served && !(has_suites && options.text.empty() && options.choices.empty())) {
    return invalid_input(
        "texts and choices are predicted by a model here; --server goes with --tasks and "
        "--questions");
  }
  if (served && !(options.models.empty() && options.reference.empty())) {
    return invalid_input("give either models or --server");
  }
  if (served && (options.attach || options.gate.bytes_max)) {
    return invalid_input("--attach and --max-size are about files; --server has none");
  }
  if (options.attach && !options.lora.empty()) {
    return invalid_input("what is measured with --lora is not the model's own: not with --attach");
  }
  if (!served && options.models.empty()) {
    return invalid_input("name a model: a .gguf, a Hugging Face directory or a llama2.c .bin");
  }
  return misses_of(options.gate, outline(options)).status();
}

absl::StatusOr<Material> read_material(const Options& options) {
  Material material;
  if (!options.text.empty()) {
    BRISK_ASSIGN_OR_RETURN(material.documents, read_documents(options.text));
  }
  if (!options.choices.empty()) {
    BRISK_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(options.choices));
    auto choices = parse_choice_questions(file.text(), options.suites.limit);
    if (!choices.ok()) return annotate(choices.status(), options.choices);
    material.choices = *std::move(choices);
  }
  BRISK_ASSIGN_OR_RETURN(material.suites, load_suites(options.suites));
  return material;
}

void add_accuracy(const std::string& name, std::vector<bool> right, Evaluation& evaluation) {
  evaluation.quality.accuracies.push_back(accuracy_of(name, right));
  evaluation.right[name] = std::move(right);
}

absl::Status answer_all_choices(const Model& model, const Material& material,
                                const QualityOptions& options, Evaluation& evaluation) {
  Progress progress(model.name + ", choices");
  BRISK_ASSIGN_OR_RETURN(const std::vector<ChoiceAnswer> answers,
                         answer_choices(model, material.choices,
                                        {.threads = options.threads,
                                         .context = options.context,
                                         .kv_dtype = options.kv_dtype,
                                         .adapter = options.adapter,
                                         .on_progress = [&](int64_t done) {
                                           progress.show_items(static_cast<uint64_t>(done),
                                                               material.choices.size());
                                         }}));
  std::vector<bool> right, right_norm;
  for (size_t i = 0; i < answers.size(); ++i) {
    right.push_back(answers[i].likeliest == material.choices[i].gold);
    right_norm.push_back(answers[i].likeliest_per_byte == material.choices[i].gold);
    evaluation.queries_cut += answers[i].is_cut ? 1 : 0;
  }
  add_accuracy("choices", std::move(right), evaluation);
  add_accuracy("choices_norm", std::move(right_norm), evaluation);
  return absl::OkStatus();
}

// Everything that has right and wrong answers.
absl::Status answer_all(const std::shared_ptr<const Model>& model, const std::string& lora,
                        const Options& options, const Material& material, Evaluation& evaluation) {
  if (!material.choices.empty()) {
    BRISK_RETURN_IF_ERROR(answer_all_choices(*model, material, options.quality, evaluation));
  }
  for (const Suite& suite : material.suites) {
    BRISK_ASSIGN_OR_RETURN(SuiteResult result, ask_model({.model = model,
                                                          .lora = lora,
                                                          .kv_dtype = options.quality.kv_dtype,
                                                          .threads = options.quality.threads},
                                                         suite, options.suites));
    add_accuracy(suite.name, result.right, evaluation);
    evaluation.suites.push_back(std::move(result));
  }
  return absl::OkStatus();
}

struct Reference {
  std::shared_ptr<const Model> model;  // null: there is none
  Evaluation answers;
};

absl::StatusOr<Reference> load_reference(const Options& options, const Material& material) {
  Reference reference;
  if (options.reference.empty()) return reference;
  BRISK_ASSIGN_OR_RETURN(reference.model,
                         load_model(options.reference, {.tokenizer_path = options.tokenizer,
                                                        .activations = Activations::kF32,
                                                        .threads = options.quality.threads}));
  BRISK_RETURN_IF_ERROR(answer_all(reference.model, "", options, material, reference.answers));
  return reference;
}

void count_flips(const Evaluation& reference, Evaluation& evaluation) {
  for (Accuracy& accuracy : evaluation.quality.accuracies) {
    const std::vector<bool>& mine = evaluation.right.at(accuracy.name);
    const std::vector<bool>& other = reference.right.at(accuracy.name);
    accuracy.flips.emplace();
    for (size_t i = 0; i < mine.size(); ++i) accuracy.flips->add(mine[i] != other[i]);
  }
}

absl::StatusOr<Evaluation> evaluate(const std::string& path, const Options& options,
                                    const Material& material, const Reference& reference) {
  BRISK_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                         load_model(path, {.tokenizer_path = options.tokenizer,
                                           .activations = options.activations,
                                           .threads = options.quality.threads}));
  Options own = options;
  if (!options.lora.empty()) {
    BRISK_ASSIGN_OR_RETURN(own.quality.adapter, load_lora(options.lora, *model));
  }
  Evaluation evaluation;
  evaluation.path = path;
  {
    Progress progress(model->name + ", text");
    own.quality.on_progress = [&](uint64_t done, uint64_t total) { progress.show(done, total); };
    BRISK_ASSIGN_OR_RETURN(evaluation.quality, measure_quality(*model, reference.model.get(),
                                                               material.documents, own.quality));
  }
  BRISK_RETURN_IF_ERROR(answer_all(model, options.lora, own, material, evaluation));
  if (reference.model != nullptr) count_flips(reference.answers, evaluation);
  BRISK_ASSIGN_OR_RETURN(evaluation.quality.decode_tokens_per_s,
                         measure_decode_speed(*model, options.quality.threads));
  return evaluation;
}

absl::StatusOr<Evaluation> evaluate_server(const Options& options, const Material& material) {
  Evaluation evaluation;
  for (const Suite& suite : material.suites) {
    BRISK_ASSIGN_OR_RETURN(SuiteResult result,
                           ask_server(suite, options.suites, &evaluation.quality.model));
    add_accuracy(suite.name, result.right, evaluation);
    evaluation.suites.push_back(std::move(result));
  }
  return evaluation;
}

absl::StatusOr<std::vector<Evaluation>> evaluate_all(const Options& options,
                                                     const Material& material) {
  std::vector<Evaluation> evaluations;
  if (!options.suites.server.empty()) {
    BRISK_ASSIGN_OR_RETURN(evaluations.emplace_back(), evaluate_server(options, material));
    return evaluations;
  }
  BRISK_ASSIGN_OR_RETURN(const Reference reference, load_reference(options, material));
  for (const std::string& path : options.models) {
    BRISK_ASSIGN_OR_RETURN(evaluations.emplace_back(),
                           evaluate(path, options, material, reference));
  }
  return evaluations;
}

// The misses of all artefacts, each with its name. Those that hold get their report, if asked for.
absl::StatusOr<std::vector<std::string>> judge(const Options& options,
                                               const std::vector<Evaluation>& evaluations) {
  std::vector<std::string> misses;
  for (const Evaluation& evaluation : evaluations) {
    BRISK_ASSIGN_OR_RETURN(const std::vector<std::string> own,
                           misses_of(options.gate, evaluation.quality));
    for (const std::string& miss : own) misses.push_back(evaluation.quality.model + ": " + miss);
    if (!options.attach || !own.empty()) continue;
    BRISK_RETURN_IF_ERROR(
        attach_quality_report(evaluation.path, to_text(to_json(evaluation.quality))));
  }
  return misses;
}

absl::Status eval(const Options& options, const std::string& command) {
  BRISK_RETURN_IF_ERROR(check(options));
  BRISK_ASSIGN_OR_RETURN(const Material material, read_material(options));
  BRISK_ASSIGN_OR_RETURN(const std::vector<Evaluation> evaluations,
                         evaluate_all(options, material));
  BRISK_ASSIGN_OR_RETURN(const std::vector<std::string> misses, judge(options, evaluations));
  if (!options.html.empty()) {
    BRISK_RETURN_IF_ERROR(write_html(options.html, command, evaluations, misses));
  }
  if (options.json) {
    fmt::print("{}\n", to_text(to_json(evaluations, misses, options.show_wrong)));
  } else {
    print_text(evaluations, options.show_wrong);
  }
  if (misses.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("the gate is missed: {}", fmt::join(misses, "; ")));
}

}  // namespace

CommandAction add_eval(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.footer(
      "brisk eval model.gguf --text book.txt\n"
      "brisk eval small.gguf --reference model.gguf --text book.txt --max-kl 0.05\n"
      "brisk eval a.gguf b.gguf c.gguf --reference a.gguf --text book.txt --html report.html\n"
      "brisk eval model.gguf --tasks all --count 100\n"
      "brisk eval --tasks test.jsonl --server http://127.0.0.1:8000");
  app.add_option("model", options->models,
                 "Models to measure: each a .gguf, a Hugging Face directory or a llama2.c .bin");
  app.add_option("--reference", options->reference,
                 "What they are compared with, token by token: a model of the same vocabulary, "
                 "computed in f32");
  app.add_option(
      "--text", options->text,
      "Text to predict: a .jsonl of documents (\"text\") or conversations (\"messages\"), or "
      "any file as one document");
  app.add_option("--choices", options->choices,
                 "Multiple choice by likelihood: a .jsonl of \"query\", \"choices\" and \"gold\"")
      ->type_name("FILE");
  add_suite_options(app, &options->suites);
  add_server_options(app, &options->suites);
  app.add_option("--show-wrong", options->show_wrong, "Show so many wrong answers")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  app.add_option("--tokenizer", options->tokenizer, "Tokenizer file, for models without one");
  app.add_option("--lora", options->lora, "A LoRA adapter: a directory that PEFT wrote, or a .gguf")
      ->type_name("PATH");
  app.add_option("--context", options->quality.context,
                 "Tokens of a window (0: the model's context, at most 2,048)")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app.add_option("--stride", options->quality.stride,
                 "Tokens that a window begins after the one before it: what both hold is only "
                 "given, not predicted again (0: windows do not overlap)")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app.add_option("--threads", options->quality.threads, "Threads (0: all)")->capture_default_str();
  add_kv_dtype_option(app, &options->quality.kv_dtype);
  add_activations_option(app, &options->activations);
  add_gate_options(app, &options->gate);
  app.add_option("--html", options->html, "Write a page with a table and plots to this file");
  app.add_flag("--attach", options->attach,
               "Write each report into its artefact (GGUF, safetensors), where `brisk inspect` "
               "shows it, unless it misses the gate");
  app.add_flag("--json", options->json, "Print a JSON object");
  return [options, &app] { return eval(*options, command_line(app)); };
}

}  // namespace brisk
