// A subcommand of `brisk`: one file, one function here, one row in main.cc.
#pragma once

#include <absl/status/status.h>

#include <CLI/CLI.hpp>
#include <functional>

namespace brisk {

// What a subcommand does once its options are parsed. Exit codes: 0 done; 1 bad input or a fault of
// the system (the status's message on stderr); 2 a gate was missed (FailedPrecondition).
using CommandAction = std::function<absl::Status()>;

// Declares the options of a subcommand on `app` and returns its action. The options live in memory
// that the action owns.
using AddCommand = CommandAction (*)(CLI::App& app);

struct Command {
  const char* name;
  const char* summary;
  AddCommand add;
};

CommandAction add_tokenize(CLI::App& app);
CommandAction add_tokenizer(CLI::App& app);
CommandAction add_tasks(CLI::App& app);
CommandAction add_inspect(CLI::App& app);
CommandAction add_convert(CLI::App& app);
CommandAction add_compile(CLI::App& app);
CommandAction add_quantize(CLI::App& app);
CommandAction add_prune(CLI::App& app);
CommandAction add_factorize(CLI::App& app);
CommandAction add_trim_vocab(CLI::App& app);
CommandAction add_compress(CLI::App& app);
CommandAction add_synth(CLI::App& app);
CommandAction add_run(CLI::App& app);
CommandAction add_serve(CLI::App& app);
CommandAction add_pull(CLI::App& app);
CommandAction add_key(CLI::App& app);
CommandAction add_batch(CLI::App& app);
CommandAction add_bench(CLI::App& app);
CommandAction add_eval(CLI::App& app);
CommandAction add_profile(CLI::App& app);
CommandAction add_load(CLI::App& app);
CommandAction add_completion(CLI::App& app);
CommandAction add_man(CLI::App& app);

CommandAction add_bench_serve(CLI::App& app);   // below `brisk bench`
CommandAction add_bench_sparse(CLI::App& app);  // likewise

}  // namespace brisk
