// brisk-train importance: what a model would miss, for `brisk prune --importance`.
#include "train/importance.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>

#include "apps/progress.h"
#include "apps/train/model_flags.h"
#include "apps/train/train_command.h"
#include "apps/train/training_flags.h"
#include "base/status.h"
#include "base/units.h"

namespace brisk {
namespace {

struct Options {
  TrainingFlags flags;
  ModelFlags model;
  int64_t sequences = 256;
};

absl::Status importance(Options& options) {
  TrainingFlags& flags = options.flags;
  flags.precision = "f32";  // one short pass: nothing is to be saved
  const auto start = std::chrono::steady_clock::now();
  BRISK_ASSIGN_OR_RETURN(const train::RunTokenizer tokenizer,
                         open_tokenizer_of(flags, options.model.start, ""));
  BRISK_ASSIGN_OR_RETURN(const auto model, make_trained_model(options.model, flags, tokenizer));
  BRISK_ASSIGN_OR_RETURN(TrainingData data, prepare(flags, tokenizer));
  const int64_t sequences = std::min(options.sequences, data.stream->sequences_in_epoch());
  StructureImportance result;
  {
    Progress progress(flags.out + ": sequences");
    BRISK_ASSIGN_OR_RETURN(
        result,
        train::taylor_importance(*model, *data.stream, sequences, [&](int64_t done, int64_t total) {
          progress.show_items(static_cast<uint64_t>(done), static_cast<uint64_t>(total));
        }));
  }
  BRISK_RETURN_IF_ERROR(write_structure_importance(flags.out, result));
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  if (flags.json) {
    fmt::print("{}\n", to_text({{"out", flags.out},
                                {"sequences", sequences},
                                {"tokens", sequences * flags.context},
                                {"layers", result.layers},
                                {"seconds", elapsed.count()}}));
    return absl::OkStatus();
  }
  fmt::print("{}: from {} sequences of {} tokens, in {}\n", flags.out, sequences, flags.context,
             human_seconds(elapsed.count()));
  return absl::OkStatus();
}

}  // namespace

CommandAction add_importance(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("model", options->model.start, "A model's directory")->required();
  add_data_flags(app, options->flags);
  app.add_option("-o,--out", options->flags.out, "A safetensors file")->required();
  app.add_option("--sequences", options->sequences, "How many are looked at, at most")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.footer(
      "Example: which structures the loss would miss most, to the first order, decides which go.\n"
      "  brisk-train importance run/model --data stories.jsonl --out importance.safetensors\n"
      "  brisk prune run/model smaller --neurons 0.25 --importance importance.safetensors \\\n"
      "      --calibration stories.jsonl");
  return [options] { return importance(*options); };
}

}  // namespace brisk
