// brisk synth: random weights in the shape of a real model.
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include "apps/command.h"
#include "apps/progress.h"
#include "base/status.h"
#include "base/units.h"
#include "compute/sys/thread_team.h"
#include "model/synth/synth.h"

namespace brisk {
namespace {

struct Options {
  std::string shape;
  std::string out;
  std::string sparsity;
  SynthOptions synth;
};

// "llama-3.2-1b-bf16.gguf", "llama-3.2-1b-bf16-sparse2of4.gguf".
std::string default_out(const Options& given) {
  std::string sparse = given.sparsity.empty() ? "" : "-sparse" + given.sparsity;
  if (given.synth.sparse_head) sparse += "-head";
  if (const size_t colon = sparse.find(':'); colon != std::string::npos) {
    sparse.replace(colon, 1, "of");
  }
  return fmt::format("{}-{}{}.gguf", given.shape, given.synth.format, sparse);
}

absl::Status synth(const Options& given) {
  BRISK_ASSIGN_OR_RETURN(const Shape shape, find_shape(given.shape));
  SynthOptions options = given.synth;
  if (options.sparse_head && given.sparsity.empty()) {
    return invalid_input("--sparse-head: say with --sparsity how many zeros");
  }
  if (!given.sparsity.empty()) {
    BRISK_ASSIGN_OR_RETURN(options.sparsity, Sparsity::parse(given.sparsity));
  }
  const std::string path = given.out.empty() ? default_out(given) : given.out;
  if (options.threads <= 0) options.threads = usable_threads();
  const auto start = std::chrono::steady_clock::now();
  SynthResult result;
  {
    Progress progress(path);
    options.on_progress = [&progress](uint64_t done, uint64_t total) {
      progress.show(done, total);
    };
    BRISK_ASSIGN_OR_RETURN(result, write_synthetic(shape, options, path));
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  fmt::print("{}: {} parameters, {}, written in {}\n", path,
             human_count(static_cast<double>(result.parameters)), human_bytes(result.bytes),
             human_seconds(elapsed.count()));
  return absl::OkStatus();
}

std::string shape_names() {
  std::string names;
  for (const Shape& shape : shapes()) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", shape.name);
  }
  return names;
}

}  // namespace

CommandAction add_synth(CLI::App& app) {
  auto options = std::make_shared<Options>();
  options->synth.threads = 0;
  app.add_option("--shape", options->shape, shape_names())->required();
  app.add_option("--format", options->synth.format,
                 "f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q6_k or q4_k_m")
      ->capture_default_str();
  app.add_option("-o,--out", options->out,
                 "The GGUF file (default: SHAPE-FORMAT.gguf in the working directory)");
  app.add_option(
      "--sparsity", options->sparsity,
      "Zeros in the matrices of the layers: a share of each row (0.7), or what is kept of "
      "a group (2:4)");
  app.add_flag("--sparse-head", options->synth.sparse_head,
               "The same zeros in the embedding and the head");
  app.add_option("--seed", options->synth.seed, "Equal seeds give equal files")
      ->capture_default_str();
  app.add_option("-t,--threads", options->synth.threads, "0: as many as the process may use");
  app.footer(
      "Examples:\n"
      "  brisk synth --shape llama-3.2-1b --format q8_0 -o bench.gguf\n"
      "  brisk synth --shape llama-3.2-1b --format bf16 --sparsity 2:4\n"
      "  brisk synth --shape llama-3.2-1b --format q8_0 --sparsity 0.7");
  return [options] { return synth(*options); };
}

}  // namespace brisk
