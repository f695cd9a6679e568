#include "apps/train/model_flags.h"

#include <absl/container/flat_hash_map.h>

#include <filesystem>
#include <utility>

#include "apps/progress.h"
#include "base/log.h"
#include "base/status.h"
#include "model/checkpoint/checkpoint.h"

namespace brisk {
namespace {

// The ids in `theirs` of the tokenizer's tokens; empty when the vocabularies are the same.
// Errors: InvalidArgument naming the first token that `theirs` does not have.
absl::StatusOr<std::vector<int64_t>> find_tokens(const std::string& path,
                                                 const TokenizerData& theirs,
                                                 const train::RunTokenizer& tokenizer) {
  const std::vector<std::string>& wanted = tokenizer.data.tokens;
  if (theirs.tokens == wanted) return std::vector<int64_t>();
  absl::flat_hash_map<std::string_view, int64_t> ids;
  for (const std::string& token : theirs.tokens) {
    ids.emplace(token, static_cast<int64_t>(ids.size()));
  }
  std::vector<int64_t> found;
  for (const std::string& token : wanted) {
    const auto it = ids.find(token);
    if (it == ids.end()) {
      return invalid_input(
          "{} has another vocabulary than {}: it does not know token {}, {}. A model can learn "
          "from "
          "one that knows all of its tokens",
          path, tokenizer.path, found.size(),
          Json(token).dump(-1, ' ', false, Json::error_handler_t::replace));
    }
    found.push_back(it->second);
  }
  return found;
}

absl::StatusOr<std::unique_ptr<train::LlamaModel>> load_llama(
    const std::string& path, const TrainingFlags& training, const train::RunTokenizer& tokenizer) {
  BRISK_ASSIGN_OR_RETURN(const auto checkpoint, open_checkpoint(path));
  BRISK_ASSIGN_OR_RETURN(const train::ComputeType type, parse_precision(training.precision));
  std::vector<int64_t> kept;
  if (checkpoint->tokenizer.kind != TokenizerKind::kNone) {
    BRISK_ASSIGN_OR_RETURN(kept, find_tokens(path, checkpoint->tokenizer, tokenizer));
  }
  auto model = train::LlamaModel::load(*checkpoint, type, kept);
  if (!model.ok()) return annotate(model.status(), path);
  const train::DecoderShape& shape = (*model)->shape();
  if (!kept.empty()) {
    spdlog::info("{}: of its {} tokens the {} of {} are kept", path,
                 checkpoint->tokenizer.tokens.size(), kept.size(), tokenizer.path);
  }
  if (shape.vocab != tokenizer.tokenizer->vocab_size()) {
    return invalid_input("{} knows {} tokens, {} has {}: models and their tokenizer must agree",
                         path, shape.vocab, tokenizer.path, tokenizer.tokenizer->vocab_size());
  }
  if (shape.context < training.context) {
    return invalid_input("{} reads at most {} tokens; give --context {}", path, shape.context,
                         shape.context);
  }
  return model;
}

bool has_tokenizer(const std::string& directory) {
  std::error_code error;
  return !directory.empty() && (std::filesystem::exists(directory + "/tokenizer.json", error) ||
                                std::filesystem::exists(directory + "/tokenizer.model", error));
}

}  // namespace

void add_shape_flags(CLI::App& app, ModelFlags& flags) {
  train::DecoderShape& shape = flags.shape;
  app.add_option("--dim", shape.dim, "Width of the hidden states")->capture_default_str();
  app.add_option("--layers", shape.layers)->capture_default_str();
  app.add_option("--heads", shape.heads, "Of queries")->capture_default_str();
  app.add_option("--kv-heads", shape.kv_heads, "Of keys and values")->capture_default_str();
  app.add_option("--head-dim", shape.head_dim, "0: dim / heads")->capture_default_str();
  app.add_option("--ffn", shape.ffn, "Width of the feed-forward network")->capture_default_str();
  app.add_option("--rope-theta", shape.rope_theta)->capture_default_str();
  app.add_flag("--tied,!--untied", shape.tied, "Whether the head is the embedding (default: tied)");
  app.add_option("--init-std", flags.init_deviation, "Deviation of initial weights")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
}

void add_start_flags(CLI::App& app, ModelFlags& flags) {
  app.add_option("--start", flags.start, "A model's directory to begin from");
  app.add_flag("--mask-zeros", flags.mask_zeros,
               "Weights of layers that are zero at the start stay zero");
}

void add_teacher_flags(CLI::App& app, TeacherFlags& flags) {
  app.add_option(
      "--teacher", flags.teacher,
      "The directory of a model with the same tokenizer, or one that has all its tokens");
  app.add_option("--alpha", flags.settings.alpha,
                 "Share of the teacher: (1 - alpha) cross-entropy + alpha T^2 KL")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--temperature", flags.settings.temperature, "T, which softens both")
      ->check(CLI::Range(0.05, 100.0))
      ->capture_default_str();
  app.add_option("--hidden", flags.settings.hidden_weight,
                 "Weight of the distance between the last hidden states, through a learned "
                 "projection")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option(
         "--attention", flags.settings.attention_weight,
         "Weight of the divergence between what the last layers look at, averaged over heads")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--teacher-cache", flags.cache,
                 "A file with the teacher's best tokens: made by a first pass over the data where "
                 "it is not there, and then learned from instead of the teacher");
  app.add_option("--top-k", flags.top_k, "Tokens at every place of the cache")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
}

absl::StatusOr<train::RunTokenizer> open_tokenizer_of(const TrainingFlags& flags,
                                                      const std::string& start,
                                                      const std::string& teacher) {
  for (const std::string& path : {flags.tokenizer, start, teacher}) {
    if (path.empty() || (path != flags.tokenizer && !has_tokenizer(path))) continue;
    return train::open_tokenizer(path, flags.chat_template);
  }
  return invalid_input("give --tokenizer: a file, or the directory of a model that has one");
}

absl::StatusOr<std::unique_ptr<train::LlamaModel>> make_trained_model(
    const ModelFlags& flags, const TrainingFlags& training, const train::RunTokenizer& tokenizer) {
  if (!flags.start.empty()) {
    BRISK_ASSIGN_OR_RETURN(auto model, load_llama(flags.start, training, tokenizer));
    if (flags.mask_zeros) model->keep_zeros();
    return model;
  }
  train::DecoderShape shape = flags.shape;
  shape.vocab = tokenizer.tokenizer->vocab_size();
  shape.context = training.context;
  BRISK_RETURN_IF_ERROR(complete(shape));
  BRISK_ASSIGN_OR_RETURN(const train::ComputeType type, parse_precision(training.precision));
  return train::LlamaModel::create(shape, type, training.seed, flags.init_deviation);
}

absl::StatusOr<TeachingParts> make_objective(const TeacherFlags& flags,
                                             const TrainingFlags& training,
                                             const train::LlamaModel& student,
                                             const train::RunTokenizer& tokenizer,
                                             const TrainingData& data) {
  TeachingParts parts;
  const bool cached = !flags.cache.empty();
  const bool cache_is_there = cached && std::filesystem::exists(flags.cache);
  if (flags.teacher.empty() && !cache_is_there) {
    if (cached) return not_found("{}: there is no cache yet; give --teacher", flags.cache);
    parts.objective = std::make_unique<train::NextToken>();
    return parts;
  }
  if (cached && (flags.settings.hidden_weight > 0 || flags.settings.attention_weight > 0)) {
    return invalid_input("--hidden and --attention need the teacher itself, not --teacher-cache");
  }
  if (!cache_is_there) {
    BRISK_ASSIGN_OR_RETURN(parts.teacher, load_llama(flags.teacher, training, tokenizer));
    parts.teacher->train_weights(false);
  }
  if (cached && !cache_is_there) {
    Progress progress("the teacher reads: sequence");
    BRISK_RETURN_IF_ERROR(train::TeacherCache::write(
        flags.cache, *data.corpus, *parts.teacher, training.context, flags.top_k,
        [&](uint64_t done, uint64_t total) { progress.show_items(done, total); }));
    parts.teacher.reset();
  }
  if (cached) {
    BRISK_ASSIGN_OR_RETURN(
        train::TeacherCache cache,
        train::TeacherCache::open(flags.cache, *data.corpus, student.shape().vocab));
    parts.cache = std::make_unique<train::TeacherCache>(std::move(cache));
  }
  parts.objective = std::make_unique<train::Distillation>(
      student,
      train::Distillation::Teacher{.model = parts.teacher.get(), .cache = parts.cache.get()},
      flags.settings, training.seed);
  return parts;
}

Json settings_of(const ModelFlags& flags) {
  if (flags.start.empty()) return {{"init-std", flags.init_deviation}};
  return {{"start", flags.start}, {"mask-zeros", flags.mask_zeros}};
}

Json settings_of(const TeacherFlags& flags) {
  if (flags.teacher.empty() && flags.cache.empty()) return Json::object();
  return {{"teacher", flags.teacher},
          {"alpha", flags.settings.alpha},
          {"temperature", flags.settings.temperature},
          {"hidden", flags.settings.hidden_weight},
          {"attention", flags.settings.attention_weight},
          {"teacher-cache", flags.cache}};
}

}  // namespace brisk
