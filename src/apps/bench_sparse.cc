// brisk bench sparse: from how many zeros on sparse weights are faster, on this machine.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "apps/command.h"
#include "base/json.h"
#include "base/status.h"
#include "compute/kernels/cpu/dispatch.h"
#include "compute/quant/format.h"
#include "compute/quant/pack_sparse.h"
#include "plan/bench/sparse_bench.h"

namespace brisk {
namespace {

struct Options {
  std::vector<std::string> formats = {"bf16", "q8_0", "q4_0"};
  std::vector<std::string> sparsities = {"2:4", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"};
  SparseBenchOptions bench;
  bool json = false;
};

// What the loader does with such weights.
int zeros_min(const KernelTable& kernels, DType dtype) {
  const Tensor matrix = {.dtype = dtype, .shape = {1, kGroupInputs}, .data = {}};
  return kernels.sparse->formats[static_cast<size_t>(*sparse_format_for(matrix))].zeros_min;
}

Json to_json(const std::vector<SparseBenchResult>& results) {
  Json list = Json::array();
  for (const SparseBenchResult& result : results) {
    list.push_back({{"format", format_of(result.format).name},
                    {"sparsity", result.sparsity.text()},
                    {"rows", result.rows},
                    {"dense_bytes", result.dense_bytes},
                    {"sparse_bytes", result.sparse_bytes},
                    {"dense_seconds", result.dense_seconds},
                    {"sparse_seconds", result.sparse_seconds},
                    {"speedup", result.speedup}});
  }
  return list;
}

void print_tables(const KernelTable& kernels, const SparseBenchOptions& options,
                  const std::vector<SparseBenchResult>& results) {
  size_t at = 0;
  for (const DType format : options.formats) {
    const int from = zeros_min(kernels, format);
    fmt::print("{} with {}, {}: models run sparse {}\n", format_of(format).name, kernels.name,
               fmt::format("{0} x {0}", options.size),
               from > 100 ? "never" : fmt::format("from {} % zeros on", from));
    fmt::print("{:<10} {:>12}", "zeros", "fewer bytes");
    for (const int rows : options.rows) fmt::print(" {:>9}", fmt::format("{} rows", rows));
    fmt::print("\n");
    for (const Sparsity& sparsity : options.sparsities) {
      const SparseBenchResult& first = results[at];
      fmt::print("{:<10} {:>11.2f}x", sparsity.text(),
                 static_cast<double>(first.dense_bytes) / static_cast<double>(first.sparse_bytes));
      for (size_t i = 0; i < options.rows.size(); ++i) {
        fmt::print(" {:>8.2f}x", results[at++].speedup);
      }
      fmt::print("\n");
    }
    fmt::print("\n");
  }
}

absl::Status bench(const Options& given) {
  SparseBenchOptions options = given.bench;
  options.formats.clear();
  for (const std::string& name : given.formats) {
    const auto dtype = dtype_from_name(name);
    if (!dtype.has_value()) return invalid_input("\"{}\" is not a format of weights", name);
    options.formats.push_back(*dtype);
  }
  for (const std::string& text : given.sparsities) {
    BRISK_ASSIGN_OR_RETURN(const Sparsity sparsity, Sparsity::parse(text));
    options.sparsities.push_back(sparsity);
  }
  BRISK_ASSIGN_OR_RETURN(const KernelTable* kernels, kernels_from_environment());
  const bool show_progress = isatty(STDERR_FILENO) != 0;
  BRISK_ASSIGN_OR_RETURN(const std::vector<SparseBenchResult> results,
                         bench_sparse(*kernels, options, [&](const std::string& what) {
                           if (show_progress) fmt::print(stderr, "\r\033[Kmeasuring {}", what);
                         }));
  if (show_progress) fmt::print(stderr, "\r\033[K");
  if (given.json) {
    fmt::print("{}\n", to_text(to_json(results)));
  } else {
    print_tables(*kernels, options, results);
  }
  return absl::OkStatus();
}

}  // namespace

CommandAction add_bench_sparse(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--format", options->formats, "Formats of weights: bf16, f16, f32, q8_0, q4_0")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--sparsity", options->sparsities,
                 "Shares of zeros (0.7), or what is kept of a group (2:4)")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--rows", options->bench.rows, "Rows of the product: tokens of a step")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--size", options->bench.size, "Inputs and outputs of the matrix")
      ->capture_default_str();
  app.add_option("--repetitions", options->bench.repetitions,
                 "Pairs of a dense and a sparse product; the median counts")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--threads", options->bench.threads, "Threads (0: all)")->capture_default_str();
  app.add_flag("--json", options->json, "Print a JSON list");
  app.footer(
      "Examples:\n"
      "  brisk bench sparse                                      the whole table, some minutes\n"
      "  brisk bench sparse --format q8_0 --sparsity 0.7 --rows 1,8\n"
      "  BRISK_ISA=avx2 brisk bench sparse --format bf16         other kernels");
  return [options] { return bench(*options); };
}

}  // namespace brisk
