#include "serve/api/oip_generate.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "serve/api/attribution.h"
#include "serve/api/oip.h"
#include "serve/api/oip_request.h"
#include "serve/api/openai_response.h"
#include "serve/api/text_generation.h"
#include "serve/api/timeout_error.h"

namespace brisk::api {
namespace {

constexpr int kTokensDefault = 16;

enum class Shape : uint8_t { kInfer, kGenerate };

// What answers are made of.
struct Work {
  std::optional<std::string> id;
  std::string model;
  std::vector<std::string> inputs;  // (prompts), where they come before the outputs
  std::unique_ptr<TextGeneration> run;

  std::string_view input(int choice) const {
    return inputs.empty() ? std::string_view() : inputs[static_cast<size_t>(choice)];
  }
  Json head() const {
    Json json = {{"model_name", model}, {"model_version", "1"}};
    if (id.has_value()) json["id"] = *id;
    return json;
  }
};

class WholeOutput final : public http::PendingResponse {
 public:
  WholeOutput(Work work, Shape shape)
      : work_(std::move(work)), shape_(shape), texts_(static_cast<size_t>(work_.run->choices())) {}

  std::optional<http::Response> poll() override {
    absl::StatusOr<std::vector<ChoiceDelta>> deltas = work_.run->poll();
    if (!deltas.ok()) return oip_error(deltas.status());
    for (const ChoiceDelta& delta : *deltas) {
      texts_[static_cast<size_t>(delta.choice)] += delta.delta.text;
    }
    if (!work_.run->done()) return std::nullopt;
    for (size_t i = 0; i < texts_.size(); ++i) {
      texts_[i].insert(0, work_.input(static_cast<int>(i)));
    }
    Json json = work_.head();
    if (shape_ == Shape::kGenerate) {
      json["text_output"] = texts_.front();
    } else {
      json["outputs"] = Json::array({{{"name", "text_output"},
                                      {"datatype", "BYTES"},
                                      {"shape", {texts_.size()}},
                                      {"data", texts_}}});
    }
    http::Response response;
    response.body = to_text(json);
    return response;
  }

 private:
  const Work work_;
  const Shape shape_;
  std::vector<std::string> texts_;  // (prompts)
};

class StreamedOutput final : public http::BodyStream {
 public:
  explicit StreamedOutput(Work work) : work_(std::move(work)) {}

  bool pull(std::string& out) override {
    absl::StatusOr<std::vector<ChoiceDelta>> deltas = work_.run->poll();
    if (!deltas.ok()) {
      append_event(out, {{"error", message_of(deltas.status())}});
      return true;
    }
    for (const ChoiceDelta& delta : *deltas) {
      Json json = work_.head();
      json["text_output"] = std::string(opened_ ? "" : work_.input(0)) + delta.delta.text;
      opened_ = true;
      if (delta.finish.has_value()) json["finish_reason"] = finish_name(*delta.finish);
      append_event(out, json);
    }
    return work_.run->done();
  }

  std::string_view keepalive() const override { return ": waiting\n\n"; }

  void expire(std::string& out) override {
    append_event(out, {{"error", timeout_error().message}});
  }

 private:
  const Work work_;
  bool opened_ = false;
};

absl::StatusOr<Work> begin(const ModelLease& lease, const http::Request& request, OipRequest asked,
                           const http::Wakeup& wakeup) {
  const ServedModel& model = *lease;
  GenerationSpec& spec = asked.completion.spec;
  attribute(request.caller, spec);
  Work work = {.id = std::move(asked.id), .model = model.name(), .inputs = {}, .run = nullptr};
  std::vector<Request> requests;
  for (const PromptText& prompt : asked.completion.prompts) {
    BRISK_ASSIGN_OR_RETURN(std::vector<int32_t> tokens,
                           encode_prompt(model, prompt, asked.completion.add_special_tokens));
    BRISK_ASSIGN_OR_RETURN(requests.emplace_back(),
                           make_request(model, spec, std::move(tokens), kTokensDefault));
    if (asked.include_input) work.inputs.push_back(std::get<std::string>(prompt));
  }
  TextGeneration::Options text;
  BRISK_ASSIGN_OR_RETURN(text.stops, StopStrings::create(spec.stop));
  text.include_stop = spec.include_stop;
  text.special = !spec.skip_special_tokens;
  text.account = spec.account;
  text.listed_in = model.running;
  text.listed_as = {
      .id = work.id.value_or(request.id), .model = work.model, .key = spec.caller_key};
  BRISK_ASSIGN_OR_RETURN(work.run, TextGeneration::start(lease, std::move(requests), text, wakeup));
  return work;
}

http::Reply whole(const ModelLease& model, const http::Request& request,
                  absl::StatusOr<OipRequest> asked, Shape shape, const http::Wakeup& wakeup) {
  if (!asked.ok()) return oip_error(asked.status());
  absl::StatusOr<Work> work = begin(model, request, *std::move(asked), wakeup);
  if (!work.ok()) return oip_error(work.status());
  return std::make_unique<WholeOutput>(*std::move(work), shape);
}

}  // namespace

http::Reply oip_infer(const ModelLease& model, const http::Request& request,
                      const http::Wakeup& wakeup) {
  if (!request.header("inference-header-content-length").empty()) {
    return oip_error(400,
                     "binary tensors are not supported: send data in JSON (binary_data=false)");
  }
  return whole(model, request, parse_infer(request.body, model->defaults), Shape::kInfer, wakeup);
}

http::Reply oip_generate(const ModelLease& model, const http::Request& request,
                         const http::Wakeup& wakeup) {
  return whole(model, request, parse_generate(request.body, model->defaults, false),
               Shape::kGenerate, wakeup);
}

http::Reply oip_generate_stream(const ModelLease& model, const http::Request& request,
                                const http::Wakeup& wakeup) {
  absl::StatusOr<OipRequest> asked = parse_generate(request.body, model->defaults, true);
  if (!asked.ok()) return oip_error(asked.status());
  absl::StatusOr<Work> work = begin(model, request, *std::move(asked), wakeup);
  if (!work.ok()) return oip_error(work.status());
  http::Response response;
  response.content_type = "text/event-stream; charset=utf-8";
  response.headers = {{"cache-control", "no-cache"}, {"x-accel-buffering", "no"}};
  response.stream = std::make_unique<StreamedOutput>(*std::move(work));
  return response;
}

}  // namespace brisk::api
