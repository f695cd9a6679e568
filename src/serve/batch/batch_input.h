// A batch's input: JSON Lines in OpenAI's format, a request a line:
//   {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {...}}
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "compute/sys/mapped_file.h"

namespace brisk::batch {

struct InputLimits {
  int64_t lines_max = 50'000;
  size_t line_bytes_max = 4 << 20;
};

struct InputLine {
  std::string custom_id{};
  std::string url{};
  std::string body{};  // a JSON object
};

// One line. Errors: InvalidArgument, with the field at fault (errors.h).
absl::StatusOr<InputLine> parse_input_line(std::string_view text, const InputLimits& limits);

// What is wrong with a line, as a batch object tells it.
struct InputFault {
  int64_t line = 0;  // from 1; 0: the file as a whole
  std::string message{};
  std::string param{};
};

// Immutable after opening; any thread.
class BatchInput {
 public:
  // Finds and checks every line; lines of white space are passed over. Of faults the first few are
  // kept. `endpoint`: the only url that lines may have; empty: any of `endpoints`.
  // Errors: NotFound, Unavailable (the file).
  static absl::StatusOr<BatchInput> open(const std::string& path, std::string_view endpoint,
                                         const std::vector<std::string>& endpoints,
                                         const InputLimits& limits);

  int64_t size() const { return std::ssize(lines_); }
  // Of lines that were found right. `index` counts requests from 0.
  absl::StatusOr<InputLine> line(int64_t index) const;
  const std::vector<InputFault>& faults() const { return faults_; }

 private:
  BatchInput(MappedFile file, const InputLimits& limits)
      : file_(std::move(file)), limits_(limits) {}

  MappedFile file_;
  InputLimits limits_;
  std::vector<std::string_view> lines_;
  std::vector<InputFault> faults_;
};

}  // namespace brisk::batch
