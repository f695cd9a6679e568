// brisk convert: any checkpoint as a GGUF file or a Hugging Face directory.
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include "apps/command.h"
#include "apps/progress.h"
#include "base/status.h"
#include "base/units.h"
#include "compute/quant/scaled_scheme.h"
#include "compute/sys/thread_team.h"
#include "model/checkpoint/format_choice.h"
#include "model/convert/convert.h"

namespace brisk {
namespace {

struct Options {
  std::string in;
  std::string out;
  ConvertOptions convert;
};

absl::Status convert(const Options& given) {
  ConvertOptions options = given.convert;
  if (options.threads <= 0) options.threads = usable_threads();
  const auto start = std::chrono::steady_clock::now();
  ConvertResult result;
  {
    Progress progress(given.out);
    options.on_progress = [&progress](uint64_t done, uint64_t total) {
      progress.show(done, total);
    };
    BRISK_ASSIGN_OR_RETURN(result, convert_checkpoint(given.in, given.out, options));
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  fmt::print("{}: {} tensors, {}, written in {}; tokenizer: {}\n", given.out, result.tensors,
             human_bytes(result.bytes), human_seconds(elapsed.count()), result.tokenizer);
  if (result.unplaced > 0) {
    fmt::print(stderr, "{} tensors of {} have no place in the new file and were left out\n",
               result.unplaced, given.in);
  }
  if (result.report_dropped) {
    fmt::print(stderr,
               "the quality report of {} was left out: the weights are no longer the same\n",
               given.in);
  }
  return absl::OkStatus();
}

}  // namespace

CommandAction add_convert(CLI::App& app) {
  auto options = std::make_shared<Options>();
  options->convert.threads = 0;
  app.add_option("in", options->in,
                 "A .gguf, .safetensors or llama2.c .bin file, or a Hugging Face directory")
      ->required();
  app.add_option("out", options->out, "A name ending in .gguf, or a directory")->required();
  app.add_option("--dtype", options->convert.dtype,
                 "The format of matrices: " + format_choices() +
                     "; or, in a directory, codes as "
                     "compressed-tensors keeps them: " +
                     std::string(scaled_scheme_names()) + " (default: as they are)");
  app.add_option("--tokenizer", options->convert.tokenizer_path,
                 "A tokenizer file for models without one");
  app.add_option("-t,--threads", options->convert.threads, "0: as many as the process may use");
  app.footer(
      "brisk convert ./Qwen3-0.6B qwen.gguf --dtype q4_k_m\n"
      "brisk convert qwen.gguf ./Qwen3-0.6B-int4 --dtype int4-g128    # for vLLM and transformers");
  return [options] { return convert(*options); };
}

}  // namespace brisk
