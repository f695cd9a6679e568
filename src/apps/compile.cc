// brisk compile: a model whose weights are packed already.
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <string>

#include "apps/command.h"
#include "apps/progress.h"
#include "base/status.h"
#include "base/units.h"
#include "model/convert/compile.h"

namespace brisk {
namespace {

struct Options {
  std::string in;
  std::string out;
  CompileOptions compile;
};

// "models/tiny.gguf" to "models/tiny.brisk.gguf".
std::string default_out(const std::string& in) {
  const std::string stem = in.ends_with(".gguf") ? in.substr(0, in.size() - 5) : in;
  return stem + ".brisk.gguf";
}

absl::Status compile(const Options& given) {
  CompileOptions options = given.compile;
  const std::string out = given.out.empty() ? default_out(given.in) : given.out;
  const auto start = std::chrono::steady_clock::now();
  CompileResult result;
  {
    Progress progress(out);
    options.on_progress = [&progress](uint64_t done, uint64_t total) {
      progress.show(done, total);
    };
    BRISK_ASSIGN_OR_RETURN(result, compile_checkpoint(given.in, out, options));
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  fmt::print("{}: {} tensors packed, {} as they were, {}, written in {}\n", out, result.packed,
             result.kept, human_bytes(result.bytes), human_seconds(elapsed.count()));
  if (result.sparse > 0) {
    fmt::print(
        "{} of those have so many zeros that they run sparse: they are packed at every load\n",
        result.sparse);
  }
  return absl::OkStatus();
}

}  // namespace

CommandAction add_compile(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("in", options->in, "A .gguf file")->required();
  app.add_option("out", options->out, "The file to write (default: NAME.brisk.gguf beside it)");
  app.add_option("-t,--threads", options->compile.threads, "0: as many as the process may use");
  return [options] { return compile(*options); };
}

}  // namespace brisk
