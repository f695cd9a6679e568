#include "serve/batch/batch_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <set>
#include <utility>

#include "base/status.h"
#include "serve/api/openai_response.h"
#include "serve/http/wire.h"

namespace brisk::batch {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 4> kFinal = {"completed", "failed", "expired", "cancelled"};

// A file that is on the disk, under its name, once `commit` has returned OK; else it never was.
class DurableFile {
 public:
  explicit DurableFile(std::string path) : path_(std::move(path)), part_(path_ + ".part") {
    file_ = std::fopen(part_.c_str(), "we");
  }
  ~DurableFile() {
    if (file_ == nullptr) return;
    std::fclose(file_);
    ::unlink(part_.c_str());
  }
  DurableFile(const DurableFile&) = delete;
  DurableFile& operator=(const DurableFile&) = delete;

  void write(std::string_view text) {
    if (file_ != nullptr) std::fwrite(text.data(), 1, text.size(), file_);
  }

  absl::Status commit() {
    const bool written = file_ != nullptr && std::ferror(file_) == 0 && std::fflush(file_) == 0 &&
                         ::fsync(::fileno(file_)) == 0 &&
                         ::rename(part_.c_str(), path_.c_str()) == 0 && sync_directory();
    if (!written) return system_error("cannot write {}: {}", path_, std::strerror(errno));
    std::fclose(file_);
    file_ = nullptr;
    return absl::OkStatus();
  }

 private:
  bool sync_directory() const {
    const fs::path parent = fs::path(path_).parent_path();
    const int fd =
        ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return false;
    const bool synced = ::fsync(fd) == 0;
    ::close(fd);
    return synced;
  }

  const std::string path_;
  const std::string part_;
  std::FILE* file_;
};

Json file_object(const std::string& id, const NewFile& file, int64_t bytes) {
  return {{"id", id},
          {"object", "file"},
          {"bytes", bytes},
          {"created_at", api::unix_seconds()},
          {"filename", file.name},
          {"purpose", file.purpose},
          {"status", "processed"},
          {"expires_at", nullptr},
          {"status_details", nullptr}};
}

std::string new_file_id() { return "file-" + http::random_hex(24); }

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

}  // namespace

bool is_final(std::string_view status) { return std::ranges::find(kFinal, status) != kFinal.end(); }

absl::StatusOr<ResultCounts> write_results(Journal& journal, const std::string& batch,
                                           const std::vector<LineResult>& rest,
                                           const ResultFiles& files) {
  ResultCounts counts;
  DurableFile output(files.output);
  DurableFile errors(files.errors);
  const auto write = [&](const LineResult& result) {
    DurableFile& file = result.success ? output : errors;
    file.write(result.text);
    file.write("\n");
    (result.success ? counts.succeeded : counts.failed) += 1;
    (result.success ? counts.output_bytes : counts.error_bytes) += std::ssize(result.text) + 1;
  };
  auto next = rest.begin();
  BRISK_RETURN_IF_ERROR(journal.visit_results(batch, [&](const LineResult& result) {
    for (; next != rest.end() && next->line < result.line; ++next) write(*next);
    write(result);
  }));
  for (; next != rest.end(); ++next) write(*next);
  if (counts.succeeded > 0) BRISK_RETURN_IF_ERROR(output.commit());
  if (counts.failed > 0) BRISK_RETURN_IF_ERROR(errors.commit());
  return counts;
}

absl::StatusOr<std::unique_ptr<BatchStore>> BatchStore::open(const std::string& directory,
                                                             const StoreLimits& limits) {
  std::error_code error;
  fs::create_directories(fs::path(directory) / "files", error);
  if (error) return system_error("{}: {}", directory, error.message());
  fs::permissions(directory, fs::perms::owner_all, error);  // prompts are nobody else's business
  if (error) return system_error("{}: {}", directory, error.message());
  std::unique_ptr<BatchStore> store(new BatchStore(directory, limits));
  BRISK_ASSIGN_OR_RETURN(store->journal_, Journal::open(directory + "/journal.sqlite"));
  BRISK_RETURN_IF_ERROR(store->remove_strays());
  return store;
}

absl::Status BatchStore::remove_strays() {
  BRISK_ASSIGN_OR_RETURN(const std::vector<Document> files, journal_->all("file"));
  std::set<std::string> known;
  for (const Document& file : files) known.insert(file.id);
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory_ + "/files", error)) {
    if (!known.contains(entry.path().filename().string())) fs::remove(entry.path(), error);
  }
  return absl::OkStatus();
}

std::string BatchStore::path_of(std::string_view id) const {
  return fmt::format("{}/files/{}", directory_, id);
}

absl::StatusOr<uint64_t> BatchStore::bytes_stored() {
  BRISK_ASSIGN_OR_RETURN(const std::vector<Document> files, journal_->all("file"));
  uint64_t bytes = 0;
  for (const Document& file : files) bytes += Json::parse(file.text).value("bytes", uint64_t{0});
  return bytes;
}

absl::StatusOr<Json> BatchStore::add_file(const NewFile& file, std::string_view content) {
  if (content.size() > limits_.file_bytes_max) {
    return invalid_input("the file has {} bytes; this server takes at most {}", content.size(),
                         limits_.file_bytes_max);
  }
  BRISK_ASSIGN_OR_RETURN(const uint64_t stored, bytes_stored());
  if (stored + content.size() > limits_.bytes_max) {
    return exhausted("the server's directory for files is full; delete files");
  }
  const std::string id = new_file_id();
  DurableFile durable(path_of(id));
  durable.write(content);
  BRISK_RETURN_IF_ERROR(durable.commit());
  Json object = file_object(id, file, std::ssize(content));
  BRISK_RETURN_IF_ERROR(
      journal_->insert({.kind = "file", .id = id, .owner = file.owner, .text = to_text(object)}));
  return object;
}

absl::StatusOr<Json> BatchStore::find(std::string_view kind, std::string_view owner,
                                      std::string_view id) {
  BRISK_ASSIGN_OR_RETURN(const std::optional<Document> found, journal_->find(kind, id));
  // Those of others look as if they did not exist.
  if (!found.has_value() || found->owner != owner) {
    return not_found("there is no {} {}", kind, id.substr(0, 100));
  }
  return Json::parse(found->text);
}

absl::StatusOr<Json> BatchStore::list(const ListQuery& query) {
  if (!query.after.empty()) {
    BRISK_RETURN_IF_ERROR(find(query.kind, query.owner, query.after).status());
  }
  BRISK_ASSIGN_OR_RETURN(std::vector<Document> documents, journal_->list(query));
  const bool more = std::ssize(documents) > query.limit;
  if (more) documents.resize(static_cast<size_t>(query.limit));
  Json data = Json::array();
  for (const Document& document : documents) data.push_back(Json::parse(document.text));
  return Json{{"object", "list"},
              {"first_id", data.empty() ? Json(nullptr) : data.front()["id"]},
              {"last_id", data.empty() ? Json(nullptr) : data.back()["id"]},
              {"has_more", more},
              {"data", std::move(data)}};
}

absl::Status BatchStore::remove_file(std::string_view owner, std::string_view id) {
  BRISK_RETURN_IF_ERROR(find("file", owner, id).status());
  BRISK_ASSIGN_OR_RETURN(const std::vector<Document> batches, open_batches());
  for (const Document& batch : batches) {
    if (Json::parse(batch.text)["input_file_id"] == id) {
      return invalid_input("the file is the input of {}, which has not ended; cancel that first",
                           batch.id);
    }
  }
  BRISK_RETURN_IF_ERROR(journal_->remove(std::string(id)));
  std::error_code ignored;  // what stays is removed at the next start
  fs::remove(path_of(id), ignored);
  return absl::OkStatus();
}

absl::Status BatchStore::add_batch(std::string_view owner, const Json& batch) {
  return journal_->insert({.kind = "batch",
                           .id = batch["id"].get<std::string>(),
                           .owner = std::string(owner),
                           .text = to_text(batch)});
}

absl::Status BatchStore::update_batch(const Json& batch) {
  return journal_->update(batch["id"].get<std::string>(), to_text(batch));
}

absl::StatusOr<std::vector<Document>> BatchStore::open_batches() {
  BRISK_ASSIGN_OR_RETURN(std::vector<Document> batches, journal_->all("batch"));
  std::erase_if(batches, [](const Document& batch) {
    return is_final(Json::parse(batch.text).value("status", ""));
  });
  return batches;
}

absl::Status BatchStore::finish_batch(std::string_view owner, Json batch,
                                      const std::vector<LineResult>& rest) {
  const std::string id = batch["id"].get<std::string>();
  const std::string output_id = new_file_id();
  const std::string error_id = new_file_id();
  BRISK_ASSIGN_OR_RETURN(const ResultCounts counts, write_results(*journal_, id, rest,
                                                                  {.output = path_of(output_id),
                                                                   .errors = path_of(error_id)}));
  std::vector<Document> files;
  const auto add = [&](const std::string& file_id, const char* what, int64_t bytes) {
    const NewFile file = {.owner = std::string(owner),
                          .name = fmt::format("{}_{}.jsonl", id, what),
                          .purpose = "batch_output"};
    files.push_back({.kind = "file",
                     .id = file_id,
                     .owner = file.owner,
                     .text = to_text(file_object(file_id, file, bytes))});
    return file_id;
  };
  batch["output_file_id"] =
      text_or_null(counts.succeeded > 0 ? add(output_id, "output", counts.output_bytes) : "");
  batch["error_file_id"] =
      text_or_null(counts.failed > 0 ? add(error_id, "error", counts.error_bytes) : "");
  batch["request_counts"]["completed"] = counts.succeeded;
  batch["request_counts"]["failed"] = counts.failed;
  return journal_->finish(id, to_text(batch), files);
}

}  // namespace brisk::batch
