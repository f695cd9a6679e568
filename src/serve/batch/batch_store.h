// Files and batches as OpenAI's API shows them, kept in a directory: a journal and one file for
// each upload or result, under names that are made here. No name of a client is ever a path.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "serve/batch/journal.h"

namespace brisk::batch {

struct StoreLimits {
  uint64_t file_bytes_max = 100 << 20;
  uint64_t bytes_max = uint64_t{10} << 30;  // all files
};

struct NewFile {
  std::string owner{};
  std::string name{};     // what the client calls it; only shown
  std::string purpose{};  // "batch", "batch_output"
};

// Any thread may call anything.
class BatchStore {
 public:
  // Makes the directory where it is missing, and removes what an interrupted upload left there.
  // Errors: Unavailable, with the path and why.
  static absl::StatusOr<std::unique_ptr<BatchStore>> open(const std::string& directory,
                                                          const StoreLimits& limits);

  // The file is on the disk when this returns. Errors: InvalidArgument (too large),
  // ResourceExhausted (the directory is full).
  absl::StatusOr<Json> add_file(const NewFile& file, std::string_view content);
  // Files and batches of `owner`. Errors: NotFound.
  absl::StatusOr<Json> find(std::string_view kind, std::string_view owner, std::string_view id);
  // {"object": "list", "data", "first_id", "last_id", "has_more"}
  absl::StatusOr<Json> list(const ListQuery& query);
  absl::Status remove_file(std::string_view owner, std::string_view id);
  // REQUIRES: `id` is that of a file.
  std::string path_of(std::string_view id) const;

  absl::Status add_batch(std::string_view owner, const Json& batch);
  absl::Status update_batch(const Json& batch);
  // Every one that has not come to its end, with its owner.
  absl::StatusOr<std::vector<Document>> open_batches();
  // Writes what the results of a batch come to into files; then, at once, those are there, `batch`
  // names them and its results are forgotten. `rest` are results of lines that have none.
  absl::Status finish_batch(std::string_view owner, Json batch,
                            const std::vector<LineResult>& rest);

  Journal& journal() { return *journal_; }

 private:
  BatchStore(std::string directory, const StoreLimits& limits)
      : directory_(std::move(directory)), limits_(limits) {}
  absl::Status remove_strays();
  absl::StatusOr<uint64_t> bytes_stored();

  const std::string directory_;
  const StoreLimits limits_;
  std::unique_ptr<Journal> journal_;
};

// Whether a status ("in_progress", ...) is one that a batch stays in.
bool is_final(std::string_view status);

// Writes the results of `batch` and `rest` in the order of lines: successes to one file, the others
// to another. Where there are none of a kind, no file. Both are on the disk when this returns.
struct ResultFiles {
  std::string output{};  // paths
  std::string errors{};
};
struct ResultCounts {
  int64_t succeeded = 0;
  int64_t failed = 0;
  int64_t output_bytes = 0;
  int64_t error_bytes = 0;
};
absl::StatusOr<ResultCounts> write_results(Journal& journal, const std::string& batch,
                                           const std::vector<LineResult>& rest,
                                           const ResultFiles& files);

}  // namespace brisk::batch
