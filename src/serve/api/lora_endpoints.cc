#include "serve/api/lora_endpoints.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "base/status.h"
#include "serve/api/errors.h"
#include "serve/api/json_fields.h"
#include "serve/api/openai_request.h"

namespace brisk::api {
namespace {

namespace fs = std::filesystem;

// What a load came to, between the thread that loads and the connection that waits.
class LoadResult {
 public:
  explicit LoadResult(http::Wakeup wakeup) : wakeup_(std::move(wakeup)) {}

  void set(absl::Status status) {
    {
      absl::MutexLock lock(&mutex_);
      status_ = std::move(status);
    }
    wakeup_.wake();
  }

  std::optional<absl::Status> get() {
    absl::MutexLock lock(&mutex_);
    return status_;
  }

 private:
  const http::Wakeup wakeup_;
  absl::Mutex mutex_;
  std::optional<absl::Status> status_ ABSL_GUARDED_BY(mutex_);
};

http::Response plain(std::string text) {
  http::Response response;
  response.content_type = "text/plain; charset=utf-8";
  response.body = std::move(text);
  return response;
}

class PendingLoad final : public http::PendingResponse {
 public:
  PendingLoad(std::string name, std::shared_ptr<LoadResult> result)
      : name_(std::move(name)), result_(std::move(result)) {}

  std::optional<http::Response> poll() override {
    const std::optional<absl::Status> status = result_->get();
    if (!status.has_value()) return std::nullopt;
    if (!status->ok()) return openai_error(*status);
    return plain(fmt::format("Success: LoRA adapter '{}' added successfully.", name_));
  }

 private:
  const std::string name_;
  const std::shared_ptr<LoadResult> result_;
};

absl::Status closed() {
  return absl::PermissionDeniedError(
      "adapters cannot be loaded or unloaded over HTTP: start the server with --lora-dir DIR, "
      "inside of which they must lie");
}

// A required string of the body.
std::string required(Fields& fields, const char* name) {
  if (fields.find(name) == nullptr) fields.fail(name, "is missing");
  return fields.string(name, "");
}

}  // namespace

absl::StatusOr<std::string> path_inside(const std::string& directory, const std::string& path) {
  std::error_code error;
  const fs::path root = fs::canonical(directory, error);
  if (error) return system_error("{}: {}", directory, error.message());
  const fs::path asked = fs::weakly_canonical(root / path, error);  // an absolute path stands alone
  const fs::path within = error ? fs::path("..") : asked.lexically_relative(root);
  if (path.find('\0') != std::string::npos || within.empty() || *within.begin() == "..") {
    return absl::PermissionDeniedError("lora_path must lie inside the server's --lora-dir");
  }
  return asked.string();
}

LoraEndpoints::~LoraEndpoints() {
  std::thread loader;
  {
    absl::MutexLock lock(&mutex_);
    loader = std::move(loader_);
  }
  if (loader.joinable()) loader.join();
}

http::Reply LoraEndpoints::load(const ModelLease& model, const http::Request& request,
                                const http::Wakeup& wakeup) {
  absl::StatusOr<http::Reply> reply = begin_load(model, request.body, wakeup);
  if (reply.ok()) return std::move(*reply);
  return openai_error(reply.status());
}

http::Reply LoraEndpoints::unload(const http::Request& request) {
  absl::StatusOr<http::Reply> reply = do_unload(request.body);
  if (reply.ok()) return std::move(*reply);
  return openai_error(reply.status());
}

absl::StatusOr<http::Reply> LoraEndpoints::begin_load(const ModelLease& model,
                                                      const std::string& body,
                                                      const http::Wakeup& wakeup) {
  if (model->lora_directory.empty()) return closed();
  BRISK_ASSIGN_OR_RETURN(const Json json, parse_object(body));
  Fields fields(json);
  const std::string name = required(fields, "lora_name");
  const std::string asked = required(fields, "lora_path");
  fields.ignore("model");
  BRISK_RETURN_IF_ERROR(fields.finish());
  if (models_.is_model_name(name)) {
    return bad_param("lora_name", "lora_name is a name of a model itself");
  }
  BRISK_ASSIGN_OR_RETURN(const std::string path, path_inside(model->lora_directory, asked));
  absl::MutexLock lock(&mutex_);
  if (loading_) return exhausted("another adapter is being loaded; try again");
  if (loader_.joinable()) loader_.join();  // it has ended but for its last line
  auto result = std::make_shared<LoadResult>(wakeup);
  loader_ = std::thread([this, model, name, path, result] {
    const absl::Status status = model->engine->adapters().load(name, path).status();
    {
      absl::MutexLock done(&mutex_);
      loading_ = false;
    }
    result->set(status);
  });
  loading_ = true;
  return http::Reply(std::make_unique<PendingLoad>(name, std::move(result)));
}

absl::StatusOr<http::Reply> LoraEndpoints::do_unload(const std::string& body) {
  BRISK_ASSIGN_OR_RETURN(const Json json, parse_object(body));
  Fields fields(json);
  const std::string name = required(fields, "lora_name");
  BRISK_RETURN_IF_ERROR(fields.finish());
  BRISK_ASSIGN_OR_RETURN(const ModelLease model, models_.find(name));
  if (model == nullptr) return not_found("the model {} is not loaded", name);
  if (model->lora_directory.empty()) return closed();
  BRISK_RETURN_IF_ERROR(model->engine->adapters().unload(name));
  return http::Reply(plain(fmt::format("Success: LoRA adapter '{}' removed successfully.", name)));
}

}  // namespace brisk::api
