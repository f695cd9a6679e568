#include "serve/api/running_requests.h"

#include <utility>

#include "base/json.h"
#include "base/status.h"
#include "serve/api/errors.h"

namespace brisk::api {

struct RunningRequests::Ticket::Entry {
  const Description description;
  const std::vector<std::shared_ptr<Generation>> generations;  // (prompts)
  const Instant began;
  std::atomic<bool> cancelled = false;

  Entry(Description the_description, std::vector<std::shared_ptr<Generation>> all, Instant now)
      : description(std::move(the_description)), generations(std::move(all)), began(now) {}
};

namespace {

// Of the prompts and choices of one request together, so far. A generation keeps its stats as its
// events come; what is not known yet is 0.
struct Progress {
  int choices = 0;
  int prompt_tokens = 0;
  int cached_tokens = 0;
  int completion_tokens = 0;
  bool scheduled = false;  // a part of it

  explicit Progress(const std::vector<std::shared_ptr<Generation>>& generations) {
    for (const auto& generation : generations) {
      const GenerationStats stats = generation->stats();
      choices += stats.choices;
      prompt_tokens += stats.prompt_tokens;
      cached_tokens += stats.cached_tokens;
      completion_tokens += stats.completion_tokens;
      scheduled = scheduled || stats.queue_seconds > 0;
    }
  }

  const char* state() const {
    if (completion_tokens > 0) return "decode";
    return scheduled ? "prefill" : "waiting";
  }
};

http::Response json_response(const Json& json) {
  http::Response response;
  response.headers = {{"cache-control", "no-store"}};
  response.body = to_text(json);
  return response;
}

}  // namespace

RunningRequests::Ticket::Ticket(RunningRequests& requests, int64_t number,
                                std::shared_ptr<Entry> entry)
    : requests_(requests), number_(number), entry_(std::move(entry)) {}

RunningRequests::Ticket::~Ticket() { requests_.remove(number_); }

bool RunningRequests::Ticket::cancelled() const { return entry_->cancelled; }

std::unique_ptr<RunningRequests::Ticket> RunningRequests::add(
    Description description, std::vector<std::shared_ptr<Generation>> generations) {
  auto entry =
      std::make_shared<Entry>(std::move(description), std::move(generations), clock_.now());
  absl::MutexLock lock(&mutex_);
  const int64_t number = next_number_++;
  entries_.emplace(number, entry);
  return std::unique_ptr<Ticket>(new Ticket(*this, number, std::move(entry)));
}

void RunningRequests::remove(int64_t number) {
  absl::MutexLock lock(&mutex_);
  entries_.erase(number);
}

std::vector<std::shared_ptr<RunningRequests::Entry>> RunningRequests::visible_to(
    const http::Caller& caller) const {
  std::vector<std::shared_ptr<Entry>> visible;
  absl::MutexLock lock(&mutex_);
  for (const auto& [number, entry] : entries_) {
    if (caller.keys > 1 && entry->description.key != caller.key) continue;
    visible.push_back(entry);
  }
  return visible;
}

http::Response RunningRequests::list(const http::Caller& caller) const {
  const Instant now = clock_.now();
  Json data = Json::array();
  for (const auto& entry : visible_to(caller)) {
    const Progress progress(entry->generations);
    data.push_back({{"id", entry->description.id},
                    {"object", "brisk.request"},
                    {"model", entry->description.model},
                    {"state", progress.state()},
                    {"choices", progress.choices},
                    {"prompt_tokens", progress.prompt_tokens},
                    {"cached_tokens", progress.cached_tokens},
                    {"completion_tokens", progress.completion_tokens},
                    {"age_seconds", seconds_between(entry->began, now)}});
  }
  return json_response({{"object", "list"}, {"data", std::move(data)}});
}

http::Response RunningRequests::cancel(const http::Caller& caller, std::string_view id) {
  for (const auto& entry : visible_to(caller)) {
    if (entry->description.id != id) continue;
    entry->cancelled = true;  // before its reader can see the end
    for (const auto& generation : entry->generations) generation->cancel();
    return json_response({{"id", id}, {"object", "brisk.request"}, {"cancelled", true}});
  }
  return openai_error(absl::NotFoundError(
      fmt::format("no request '{}' is running; GET /v1/brisk/requests lists those that are", id)));
}

}  // namespace brisk::api
