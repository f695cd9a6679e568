// What must outlive the process: documents (files, batches) and the results of lines, in one SQLite
// database with a write-ahead log. What a call has returned OK for is there after a kill -9 or a
// power cut; a call that was cut off has happened whole or not at all.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace brisk::batch {

struct Document {
  std::string kind{};   // "file", "batch"
  std::string id{};     // unique
  std::string owner{};  // who may see it
  std::string text{};   // JSON
};

// The outcome of one line of a batch: a line of its output or of its error file.
struct LineResult {
  std::string batch{};
  int64_t line = 0;
  bool success = false;
  std::string text{};
};

struct ListQuery {
  std::string kind{};
  std::string owner{};
  std::string after{};  // an id; empty: from the start
  int limit = 20;
  bool newest_first = true;
};

// Any thread may call anything.
class Journal {
 public:
  // One process has a journal open at a time. Errors: Unavailable, with what SQLite says.
  static absl::StatusOr<std::unique_ptr<Journal>> open(const std::string& path);
  virtual ~Journal() = default;

  virtual absl::Status insert(const Document& document) = 0;
  virtual absl::Status update(const std::string& id, std::string_view text) = 0;
  virtual absl::Status remove(const std::string& id) = 0;
  // Nothing: there is none of that kind and id.
  virtual absl::StatusOr<std::optional<Document>> find(std::string_view kind,
                                                       std::string_view id) = 0;
  // One more than `query.limit`, where there are more.
  virtual absl::StatusOr<std::vector<Document>> list(const ListQuery& query) = 0;
  // Of every owner, oldest first.
  virtual absl::StatusOr<std::vector<Document>> all(std::string_view kind) = 0;

  // All or none. Errors: AlreadyExists when a line has a result already.
  virtual absl::Status add_results(const std::vector<LineResult>& results) = 0;
  // In the order of lines. `visit` must not call the journal.
  virtual absl::Status visit_results(const std::string& batch,
                                     const std::function<void(LineResult)>& visit) = 0;
  // In one transaction: `files` are inserted, the batch's text becomes `text`, and its results go.
  virtual absl::Status finish(const std::string& batch, std::string_view text,
                              const std::vector<Document>& files) = 0;
};

}  // namespace brisk::batch
