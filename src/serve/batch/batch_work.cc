#include "serve/batch/batch_work.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "serve/api/openai_response.h"

namespace brisk::batch {
namespace {

constexpr double kWaitSeconds = 0.5;  // so often expiry is looked at

Json faults_json(const std::vector<InputFault>& faults) {
  Json data = Json::array();
  for (const InputFault& fault : faults) {
    data.push_back({{"code", "invalid_request"},
                    {"message", fault.message},
                    {"param", fault.param.empty() ? Json(nullptr) : Json(fault.param)},
                    {"line", fault.line == 0 ? Json(nullptr) : Json(fault.line)}});
  }
  return {{"object", "list"}, {"data", std::move(data)}};
}

}  // namespace

bool BatchWork::Job::over() const { return cancelled || gone || api::unix_seconds() >= expires_at; }

BatchWork::BatchWork(BatchStore& store, std::vector<http::Route> endpoints,
                     std::shared_ptr<const http::KeyRing> keys, const InputLimits& limits,
                     int width)
    : store_(store),
      keys_(std::move(keys)),
      limits_(limits),
      runner_(std::move(endpoints), width, clock_) {}

BatchWork::~BatchWork() { stop(); }

void BatchWork::start() {
  thread_ = std::thread([this] { run(); });
}

void BatchWork::stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  runner_.wake();
  if (thread_.joinable()) thread_.join();
}

void BatchWork::add(const Document& batch) {
  {
    absl::MutexLock lock(&mutex_);
    new_.push_back(batch);
  }
  runner_.wake();
}

BatchWork::Job* BatchWork::job_of(const std::string& id) const {
  const auto found = std::ranges::find_if(jobs_, [&](const auto& job) { return job->id == id; });
  return found == jobs_.end() ? nullptr : found->get();
}

std::optional<Json> BatchWork::cancel(const std::string& id) {
  std::optional<Json> batch;
  {
    absl::MutexLock lock(&mutex_);
    Job* job = job_of(id);
    const auto is_new = std::ranges::find(new_, id, &Document::id);
    if (job == nullptr && is_new == new_.end()) return std::nullopt;
    batch = job != nullptr ? job->batch : Json::parse(is_new->text);
    if ((*batch)["cancelling_at"].is_null()) (*batch)["cancelling_at"] = api::unix_seconds();
    (*batch)["status"] = "cancelling";
    if (job != nullptr) {
      job->cancelled = true;
      job->batch = *batch;
    } else {
      is_new->text = to_text(*batch);
    }
    if (const absl::Status status = store_.update_batch(*batch); !status.ok())
      spdlog::error("a cancelled batch: {}", message_of(status));
  }
  runner_.wake();
  return batch;
}

Json BatchWork::counts(const std::string& id) const {
  absl::MutexLock lock(&mutex_);
  const Job* job = job_of(id);
  if (job == nullptr || !job->input.has_value()) return nullptr;
  return {{"total", job->input->size()}, {"completed", job->succeeded}, {"failed", job->failed}};
}

void BatchWork::run() {
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) break;
    }
    take_new_jobs();
    runner_.step(*this, kWaitSeconds);
    end_jobs();
  }
  runner_.cancel_all();
}

void BatchWork::take_new_jobs() {
  std::vector<Document> taken;
  {
    absl::MutexLock lock(&mutex_);
    taken.swap(new_);
    for (const Document& document : taken) {
      auto job = std::make_unique<Job>();
      job->id = document.id;
      job->owner = document.owner;
      job->batch = Json::parse(document.text);
      job->expires_at = job->batch["expires_at"].get<int64_t>();
      job->cancelled = job->batch["status"] == "cancelling";
      jobs_.push_back(std::move(job));
    }
  }
  for (const Document& document : taken) {
    Job* job = job_of(document.id);
    absl::Status status = validate(*job);
    if (status.ok()) status = resume(*job);
    if (!status.ok()) {
      spdlog::error("batch {}: {}", document.id, message_of(status));
      absl::MutexLock lock(&mutex_);
      job->batch["errors"] =
          faults_json({{.line = 0, .message = "the input file is empty, or cannot be read"}});
    }
  }
}

// Reads the input, which was checked before where the batch goes on after a restart.
absl::Status BatchWork::validate(Job& job) {
  const std::string path = store_.path_of(job.batch["input_file_id"].get<std::string>());
  BRISK_ASSIGN_OR_RETURN(BatchInput input,
                         BatchInput::open(path, job.batch["endpoint"].get<std::string>(),
                                          runner_.endpoints(), limits_));
  absl::MutexLock lock(&mutex_);
  if (!input.faults().empty()) {
    job.batch["errors"] = faults_json(input.faults());
    return absl::OkStatus();
  }
  job.input = std::move(input);
  job.batch["request_counts"]["total"] = job.input->size();
  if (job.batch["status"] == "validating") {
    job.batch["status"] = "in_progress";
    job.batch["in_progress_at"] = api::unix_seconds();
  }
  return store_.update_batch(job.batch);
}

absl::Status BatchWork::resume(Job& job) {
  int64_t succeeded = 0;
  BRISK_RETURN_IF_ERROR(store_.journal().visit_results(job.id, [&](const LineResult& result) {
    job.done.insert(result.line);
    succeeded += result.success ? 1 : 0;
  }));
  absl::MutexLock lock(&mutex_);
  job.succeeded = succeeded;
  job.failed = std::ssize(job.done) - succeeded;
  return absl::OkStatus();
}

// A line of each batch in turn.
std::optional<LineWork> BatchWork::next(const Admits& admits) {
  for (size_t tries = 0; tries < jobs_.size(); ++tries) {
    Job& job = *jobs_[turn_++ % jobs_.size()];
    if (!admits(job.id)) continue;
    if (std::optional<LineWork> work = next_of(job)) return work;
  }
  return std::nullopt;
}

std::optional<LineWork> BatchWork::next_of(Job& job) {
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_ || !job.input.has_value() || job.over()) return std::nullopt;
  }
  while (job.next < job.input->size() && job.done.contains(job.next)) ++job.next;
  if (job.next >= job.input->size()) return std::nullopt;
  LineWork work{.batch = job.id, .line = job.next++};
  if (keys_->asks_for_keys()) {
    const auto digest = http::sha256_from_hex(job.owner);
    job.gone = !digest.has_value() || !keys_->find_digest(*digest, work.caller);
    if (job.gone) return std::nullopt;
  }
  work.input = *job.input->line(work.line);
  return work;
}

bool BatchWork::is_wanted(const LineWork& work) const {
  absl::MutexLock lock(&mutex_);
  const Job* job = job_of(work.batch);
  return !stopping_ && job != nullptr && !job->over();
}

void BatchWork::put(std::vector<LineResult> results) {
  if (const absl::Status status = store_.journal().add_results(results); !status.ok()) {
    spdlog::error("results of batches are not kept: {}", message_of(status));
    return;  // those lines are done again after a restart
  }
  for (const LineResult& result : results) {
    Job* job = job_of(result.batch);
    if (job == nullptr) continue;
    job->done.insert(result.line);
    absl::MutexLock lock(&mutex_);
    (result.success ? job->succeeded : job->failed) += 1;
  }
}

void BatchWork::end_jobs() {
  std::vector<Job*> ended;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& job : jobs_) {
      const bool invalid = !job->batch["errors"].is_null();
      const bool all = job->input.has_value() && std::ssize(job->done) == job->input->size();
      const bool over = invalid || all || job->over();
      if (over && !stopping_ && !runner_.is_running(job->id)) ended.push_back(job.get());
    }
  }
  for (Job* job : ended) {
    if (const absl::Status status = finish(*job); !status.ok()) {
      spdlog::error("batch {} cannot be ended: {}", job->id, message_of(status));
      continue;  // again soon
    }
    absl::MutexLock lock(&mutex_);
    std::erase_if(jobs_, [job](const auto& each) { return each.get() == job; });
  }
}

absl::Status BatchWork::finish(Job& job) {
  Json batch;
  {
    absl::MutexLock lock(&mutex_);
    batch = job.batch;
  }
  const int64_t now = api::unix_seconds();
  std::vector<LineResult> rest;
  const int64_t lines = job.input.has_value() ? job.input->size() : 0;
  const auto end_as = [&](const char* status, const char* at) {
    batch["status"] = status;
    batch[at] = now;
  };
  if (!batch["errors"].is_null()) {
    end_as("failed", "failed_at");
  } else if (std::ssize(job.done) == lines && lines > 0) {
    batch["finalizing_at"] = now;
    end_as("completed", "completed_at");
  } else if (job.cancelled || job.gone) {
    end_as("cancelled", "cancelled_at");
  } else {
    end_as("expired", "expired_at");
    for (int64_t line = 0; line < lines; ++line) {
      if (job.done.contains(line)) continue;
      const LineWork work{.batch = job.id, .line = line, .input = *job.input->line(line)};
      rest.push_back(make_failure(work, "batch_expired",
                                  "This request could not be executed before the completion "
                                  "window expired."));
    }
  }
  return store_.finish_batch(job.owner, std::move(batch), rest);
}

}  // namespace brisk::batch
