#include "serve/batch/batch_service.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "serve/api/errors.h"
#include "serve/api/json_fields.h"
#include "serve/api/openai_request.h"
#include "serve/api/openai_response.h"
#include "serve/api/page_query.h"
#include "serve/batch/batch_work.h"
#include "serve/batch/multipart.h"
#include "serve/http/wire.h"

namespace brisk::batch {
namespace {

using api::bad_param;
using http::Access;
using http::Request;
using http::Wakeup;

constexpr size_t kFormBytes = 64 << 10;  // around the file
constexpr size_t kMetadataMax = 16;

// A file's bytes, read as the client takes them.
class FileBody final : public http::BodyStream {
 public:
  explicit FileBody(int fd) : fd_(fd) {}
  ~FileBody() override { ::close(fd_); }

  bool pull(std::string& out) override {
    constexpr size_t kPiece = 64 << 10;
    const size_t before = out.size();
    out.resize(before + kPiece);
    const ssize_t size = ::read(fd_, out.data() + before, kPiece);
    out.resize(before + static_cast<size_t>(std::max<ssize_t>(size, 0)));
    return size <= 0;
  }

 private:
  const int fd_;
};

http::Response answer(const absl::StatusOr<Json>& json) {
  if (!json.ok()) return api::openai_error(json.status());
  http::Response response;
  response.body = to_text(*json);
  return response;
}

// Seconds of "24h", "30m"; at most 30 days.
absl::StatusOr<int64_t> window_seconds(const std::string& window) {
  constexpr int64_t kMost = int64_t{30} * 24 * 3600;
  const size_t digits = window.find_first_not_of("0123456789");
  int64_t unit = 0;
  if (digits != std::string::npos && digits >= 1 && digits <= 7 && digits + 1 == window.size()) {
    if (window.back() == 's') unit = 1;
    if (window.back() == 'm') unit = 60;
    if (window.back() == 'h') unit = 3600;
    if (window.back() == 'd') unit = 24 * 3600;
  }
  const int64_t seconds = unit == 0 ? 0 : std::stoll(window.substr(0, digits)) * unit;
  if (seconds < 1 || seconds > kMost) {
    return bad_param("completion_window",
                     "completion_window must be a time as 24h, 30m or 90s, at most 30d");
  }
  return seconds;
}

absl::Status read_metadata(api::Fields& fields, Json* metadata) {
  const Json* json = fields.find("metadata");
  if (json == nullptr) return absl::OkStatus();
  const bool strings =
      json->is_object() && json->size() <= kMetadataMax &&
      std::ranges::all_of(*json, [](const Json& value) {
        return value.is_string() && value.get_ref<const std::string&>().size() <= 512;
      });
  if (!strings) {
    return bad_param("metadata",
                     fmt::format("metadata must be an object of at most {} strings", kMetadataMax));
  }
  *metadata = *json;
  return absl::OkStatus();
}

class DirectoryBatchService final : public BatchService {
 public:
  DirectoryBatchService(const BatchOptions& options, std::unique_ptr<BatchStore> store,
                        std::vector<http::Route> endpoints,
                        std::shared_ptr<const http::KeyRing> keys)
      : options_(options),
        store_(std::move(store)),
        work_(*store_, std::move(endpoints), std::move(keys), options.input, options.width) {}

  ~DirectoryBatchService() override { work_.stop(); }

  absl::Status resume() {
    BRISK_ASSIGN_OR_RETURN(const std::vector<Document> open, store_->open_batches());
    for (const Document& batch : open) work_.add(batch);
    work_.start();
    return absl::OkStatus();
  }

  void stop() override { work_.stop(); }
  std::vector<http::Route> routes() override;

 private:
  absl::StatusOr<Json> upload(const Request& request);
  absl::StatusOr<Json> list(const char* kind, const Request& request);
  absl::StatusOr<Json> remove(const Request& request);
  http::Response content(const Request& request);
  absl::StatusOr<Json> create(const Request& request);
  absl::StatusOr<Json> retrieve(const Request& request);
  absl::StatusOr<Json> cancel(const Request& request);
  Json with_counts(Json batch) const;

  const BatchOptions options_;
  const std::unique_ptr<BatchStore> store_;
  BatchWork work_;
};

std::vector<http::Route> DirectoryBatchService::routes() {
  const auto json = [this](absl::StatusOr<Json> (DirectoryBatchService::*method)(const Request&)) {
    return [this, method](const Request& request, const Wakeup&) -> http::Reply {
      return answer((this->*method)(request));
    };
  };
  using Self = DirectoryBatchService;
  std::vector<http::Route> routes = {
      {"POST", "/v1/files", Access::kNeedsKey, json(&Self::upload)},
      {"GET", "/v1/files", Access::kNeedsKey,
       [this](const Request& request, const Wakeup&) { return answer(list("file", request)); }},
      {"GET", "/v1/files/{id}", Access::kNeedsKey,
       [this](const Request& request, const Wakeup&) {
         return answer(store_->find("file", request.caller.owner, request.params[0]));
       }},
      {"DELETE", "/v1/files/{id}", Access::kNeedsKey, json(&Self::remove)},
      {"GET", "/v1/files/{id}/content", Access::kNeedsKey,
       [this](const Request& request, const Wakeup&) { return content(request); }},
      {"POST", "/v1/batches", Access::kNeedsKey, json(&Self::create)},
      {"GET", "/v1/batches", Access::kNeedsKey,
       [this](const Request& request, const Wakeup&) { return answer(list("batch", request)); }},
      {"GET", "/v1/batches/{id}", Access::kNeedsKey, json(&Self::retrieve)},
      {"POST", "/v1/batches/{id}/cancel", Access::kNeedsKey, json(&Self::cancel)},
  };
  routes[0].body_bytes_max = options_.store.file_bytes_max + kFormBytes;
  return routes;
}

absl::StatusOr<Json> DirectoryBatchService::upload(const Request& request) {
  BRISK_ASSIGN_OR_RETURN(const std::vector<FormPart> parts,
                         parse_multipart(request.body, request.header("content-type")));
  const FormPart* file = nullptr;
  std::string_view purpose;
  for (const FormPart& part : parts) {
    if (part.name == "file") {
      file = &part;
    } else if (part.name == "purpose") {
      purpose = part.content;
    } else if (!part.name.starts_with("expires_after")) {
      return bad_param(part.name.substr(0, 100), "the form's parts are file and purpose");
    }
  }
  if (file == nullptr) return bad_param("file", "file is missing");
  if (purpose != "batch") {
    return bad_param("purpose", "purpose must be batch: this server keeps files for nothing else");
  }
  constexpr size_t kNameMax = 255;
  return store_->add_file({.owner = request.caller.owner,
                           .name = file->filename.substr(0, kNameMax),
                           .purpose = "batch"},
                          file->content);
}

absl::StatusOr<Json> DirectoryBatchService::list(const char* kind, const Request& request) {
  BRISK_ASSIGN_OR_RETURN(const api::PageQuery asked, api::read_page_query(request.query));
  const ListQuery query{.kind = kind,
                        .owner = request.caller.owner,
                        .after = asked.after,
                        .limit = asked.limit,
                        .newest_first = asked.newest_first};
  BRISK_ASSIGN_OR_RETURN(Json page, store_->list(query));
  if (query.kind == "batch") {
    for (Json& batch : page["data"]) batch = with_counts(std::move(batch));
  }
  return page;
}

absl::StatusOr<Json> DirectoryBatchService::remove(const Request& request) {
  BRISK_RETURN_IF_ERROR(store_->remove_file(request.caller.owner, request.params[0]));
  return Json{{"id", request.params[0]}, {"object", "file"}, {"deleted", true}};
}

http::Response DirectoryBatchService::content(const Request& request) {
  const auto file = store_->find("file", request.caller.owner, request.params[0]);
  if (!file.ok()) return api::openai_error(file.status());
  const std::string path = store_->path_of((*file)["id"].get<std::string>());
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return api::openai_error(absl::InternalError("the file cannot be read"));
  http::Response response;
  response.content_type = "application/octet-stream";
  response.stream = std::make_unique<FileBody>(fd);
  return response;
}

absl::StatusOr<Json> DirectoryBatchService::create(const Request& request) {
  BRISK_ASSIGN_OR_RETURN(const Json body, api::parse_object(request.body));
  api::Fields fields(body);
  const std::string input = fields.string("input_file_id", "");
  const std::string endpoint = fields.string("endpoint", "");
  const std::string window = fields.string("completion_window", "24h");
  Json metadata;
  BRISK_RETURN_IF_ERROR(read_metadata(fields, &metadata));
  fields.ignore("output_expires_after");
  BRISK_RETURN_IF_ERROR(fields.finish());
  BRISK_ASSIGN_OR_RETURN(const int64_t seconds, window_seconds(window));
  const std::vector<std::string> endpoints = work_.endpoints();
  if (std::ranges::find(endpoints, endpoint) == endpoints.end()) {
    return bad_param("endpoint",
                     fmt::format("endpoint must be one of {}", fmt::join(endpoints, ", ")));
  }
  const std::string& owner = request.caller.owner;
  BRISK_ASSIGN_OR_RETURN(const Json file, store_->find("file", owner, input));
  if (file["purpose"] != "batch") {
    return bad_param("input_file_id", "input_file_id must be a file with the purpose batch");
  }
  BRISK_ASSIGN_OR_RETURN(const std::vector<Document> open, store_->open_batches());
  if (std::ranges::count(open, owner, &Document::owner) >= options_.batches_open_max) {
    return exhausted("there are {} batches that have not ended; wait for one",
                     options_.batches_open_max);
  }
  const int64_t now = api::unix_seconds();
  Json batch = {{"id", "batch_" + http::random_hex(24)},
                {"object", "batch"},
                {"endpoint", endpoint},
                {"errors", nullptr},
                {"input_file_id", input},
                {"completion_window", window},
                {"status", "validating"},
                {"output_file_id", nullptr},
                {"error_file_id", nullptr},
                {"created_at", now},
                {"expires_at", now + seconds},
                {"request_counts", {{"total", 0}, {"completed", 0}, {"failed", 0}}},
                {"metadata", metadata}};
  for (const char* at : {"in_progress_at", "finalizing_at", "completed_at", "failed_at",
                         "expired_at", "cancelling_at", "cancelled_at"}) {
    batch[at] = nullptr;
  }
  BRISK_RETURN_IF_ERROR(store_->add_batch(owner, batch));
  work_.add({.kind = "batch", .id = batch["id"], .owner = owner, .text = to_text(batch)});
  return batch;
}

absl::StatusOr<Json> DirectoryBatchService::retrieve(const Request& request) {
  BRISK_ASSIGN_OR_RETURN(Json batch,
                         store_->find("batch", request.caller.owner, request.params[0]));
  return with_counts(std::move(batch));
}

absl::StatusOr<Json> DirectoryBatchService::cancel(const Request& request) {
  const std::string& id = request.params[0];
  BRISK_ASSIGN_OR_RETURN(Json batch, store_->find("batch", request.caller.owner, id));
  if (is_final(batch["status"].get<std::string>())) {
    return invalid_input("the batch has ended already: it is {}",
                         batch["status"].get<std::string>());
  }
  const std::optional<Json> cancelled = work_.cancel(id);
  if (!cancelled.has_value()) {
    return invalid_input("the batch is just ending");
  }
  return with_counts(*cancelled);
}

Json DirectoryBatchService::with_counts(Json batch) const {
  Json counts = work_.counts(batch["id"].get<std::string>());
  if (!counts.is_null()) batch["request_counts"] = std::move(counts);
  return batch;
}

}  // namespace

absl::StatusOr<std::unique_ptr<BatchService>> BatchService::start(
    const BatchOptions& options, std::vector<http::Route> endpoints,
    std::shared_ptr<const http::KeyRing> keys) {
  BRISK_ASSIGN_OR_RETURN(std::unique_ptr<BatchStore> store,
                         BatchStore::open(options.directory, options.store));
  auto service = std::make_unique<DirectoryBatchService>(options, std::move(store),
                                                         std::move(endpoints), std::move(keys));
  BRISK_RETURN_IF_ERROR(service->resume());
  return service;
}

std::vector<http::Route> routes_without_batches() {
  const http::Handler handler = [](const Request&, const Wakeup&) {
    return api::openai_error(unsupported(
        "this server keeps no files and batches: start it with --batch-dir DIR; `brisk batch` "
        "answers a file of requests without a server"));
  };
  std::vector<http::Route> routes;
  for (const char* path : {"/v1/files", "/v1/batches"}) {
    for (const char* method : {"GET", "POST"}) {
      routes.push_back({method, path, Access::kNeedsKey, handler});
    }
  }
  for (const char* path : {"/v1/files/{id*}", "/v1/batches/{id*}"}) {
    for (const char* method : {"GET", "POST", "DELETE"}) {
      routes.push_back({method, path, Access::kNeedsKey, handler});
    }
  }
  return routes;
}

}  // namespace brisk::batch
