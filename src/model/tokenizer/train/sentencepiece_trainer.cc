#include "model/tokenizer/train/sentencepiece_trainer.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/status.h"
#include "compute/sys/mapped_file.h"
#include "model/tokenizer/train/train_tokenizer.h"

namespace brisk {
namespace {

// Runs a program from PATH until it ends; its standard output goes to standard error.
absl::Status run_program(std::vector<std::string> words) {
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
  pid_t child = 0;
  const int error =
      ::posix_spawnp(&child, arguments[0], &files, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&files);
  if (error == ENOENT) {
    return not_found(
        "{} is not installed: install the sentencepiece package (Debian: apt install "
        "sentencepiece), or train with --type bpe, which needs nothing",
        words[0]);
  }
  if (error != 0) return system_error("{}: cannot be started: {}", words[0], std::strerror(error));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return invalid_input("{} failed; what it printed says why", words[0]);
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ",") + word;
  return out;
}

}  // namespace

absl::Status run_sentencepiece_trainer(const SentencePieceTraining& training) {
  BRISK_ASSIGN_OR_RETURN(const std::string lines, corpus_lines(training.corpora));
  const std::string input = training.directory + "/corpus.txt";
  const std::string prefix = training.directory + "/tokenizer";
  BRISK_RETURN_IF_ERROR(write_file_atomically(input, lines));
  const absl::Status status =
      run_program({"spm_train", "--input=" + input, "--model_prefix=" + prefix,
                   "--vocab_size=" + std::to_string(training.vocab_size), "--model_type=bpe",
                   "--byte_fallback=true", "--split_digits=true", "--character_coverage=1.0",
                   "--normalization_rule_name=identity", "--remove_extra_whitespaces=false",
                   "--control_symbols=" + joined(training.special)});
  std::remove(input.c_str());
  std::remove((prefix + ".vocab").c_str());
  return status;
}

}  // namespace brisk
