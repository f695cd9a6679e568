#include "serve/api/embeddings.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/status.h"
#include "serve/api/attribution.h"
#include "serve/api/errors.h"
#include "serve/api/json_fields.h"
#include "serve/api/openai_response.h"

namespace brisk::api {
namespace {

constexpr size_t kInFlightMax = 64;  // inputs of one request in the engine at once
constexpr int64_t kInt32Max = 0x7fffffff;

absl::Status wrong_input() {
  return bad_param("input",
                   "input must be a string, an array of strings, or one or several arrays of token "
                   "ids, none of them empty");
}

absl::StatusOr<PromptText> read_tokens(const Json& json) {
  std::vector<int32_t> tokens;
  for (const Json& item : json) {
    int64_t value = 0;
    if (!read_integer(item, value) || value < 0 || value > kInt32Max) return wrong_input();
    tokens.push_back(static_cast<int32_t>(value));
  }
  if (tokens.empty()) return wrong_input();
  return PromptText(std::move(tokens));
}

absl::StatusOr<PromptText> read_input(const Json& json) {
  if (json.is_array()) return read_tokens(json);
  if (!json.is_string() || json.get_ref<const std::string&>().empty()) return wrong_input();
  return PromptText(json.get<std::string>());
}

absl::StatusOr<std::vector<PromptText>> read_inputs(const Json& json) {
  std::vector<PromptText> inputs;
  const bool is_list = json.is_array() && !json.empty() && !json[0].is_number();
  if (!is_list) {
    BRISK_ASSIGN_OR_RETURN(inputs.emplace_back(), read_input(json));
    return inputs;
  }
  if (json.size() > kEmbeddingInputsMax) {
    return bad_param("input", fmt::format("input holds {} texts; at most {} are allowed",
                                          json.size(), kEmbeddingInputsMax));
  }
  for (const Json& each : json) {
    BRISK_ASSIGN_OR_RETURN(inputs.emplace_back(), read_input(each));
  }
  return inputs;
}

std::optional<Pooling> read_pooling(Fields& fields) {
  const std::string pooling = fields.string("pooling", "");
  if (pooling == "mean") return Pooling::kMean;
  if (pooling == "last") return Pooling::kLast;
  if (!pooling.empty()) fields.fail("pooling", "must be mean or last");
  return std::nullopt;
}

// The requests of one call, a window of them in the engine at a time.
class Embeddings final : public http::PendingResponse {
 public:
  Embeddings(ModelLease model, EmbeddingRequest asked, std::deque<Request> requests,
             http::Wakeup wakeup)
      : model_(std::move(model)),
        asked_(std::move(asked)),
        wakeup_(std::move(wakeup)),
        to_submit_(std::move(requests)),
        states_(to_submit_.size()) {}

  ~Embeddings() override {
    for (const Running& each : running_) {
      each.generation->cancel();
      model_->metrics->count_finish(FinishReason::kCancelled);
    }
  }

  std::optional<http::Response> poll() override {
    if (const absl::Status status = collect(); !status.ok()) return openai_error(status);
    if (const absl::Status status = submit(); !status.ok()) return openai_error(status);
    if (!running_.empty() || !to_submit_.empty()) return std::nullopt;
    http::Response response;
    response.body = to_text(body());
    return response;
  }

 private:
  struct Running {
    size_t index;
    Instant submitted;
    std::shared_ptr<Generation> generation;
  };

  absl::Status submit() {
    while (!to_submit_.empty() && running_.size() < kInFlightMax) {
      Request request = to_submit_.front();
      absl::StatusOr<std::shared_ptr<Generation>> generation =
          model_->engine->submit(std::move(request), [wakeup = wakeup_] { wakeup.wake(); });
      // A full queue has room again when one of our own has ended.
      if (absl::IsResourceExhausted(generation.status()) && !running_.empty()) break;
      BRISK_RETURN_IF_ERROR(generation.status());
      running_.push_back({next_++, clock_.now(), *std::move(generation)});
      to_submit_.pop_front();
    }
    return absl::OkStatus();
  }

  absl::Status collect() {
    for (size_t i = running_.size(); i-- > 0;) {
      Generation& generation = *running_[i].generation;
      const std::vector<TokenEvent> events = generation.take();
      if (!generation.done()) continue;
      const FinishReason reason = events.empty()
                                      ? FinishReason::kError
                                      : events.back().finish.value_or(FinishReason::kError);
      const size_t index = running_[i].index;
      const double seconds = seconds_between(running_[i].submitted, clock_.now());
      std::vector<float> state = generation.embedding();
      const absl::Status status = generation.status();
      prompt_tokens_ += generation.stats().prompt_tokens;
      model_->metrics->observe(generation.stats(), seconds);
      model_->metrics->count_finish(reason);
      running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
      BRISK_RETURN_IF_ERROR(status);
      if (reason == FinishReason::kCancelled || state.empty()) {
        return absl::UnavailableError("the server is stopping; send the request again elsewhere");
      }
      states_[index] = finish_embedding(std::move(state), asked_.dimensions);
    }
    return absl::OkStatus();
  }

  Json body() const {
    Json data = Json::array();
    for (size_t i = 0; i < states_.size(); ++i) {
      data.push_back(
          {{"object", "embedding"},
           {"index", i},
           {"embedding", asked_.base64 ? Json(encode_base64(states_[i])) : Json(states_[i])}});
    }
    return {{"object", "list"},
            {"data", std::move(data)},
            {"model", asked_.model.empty() ? model_->name() : asked_.model},
            {"usage", {{"prompt_tokens", prompt_tokens_}, {"total_tokens", prompt_tokens_}}}};
  }

  const ModelLease model_;
  const EmbeddingRequest asked_;
  const http::Wakeup wakeup_;
  const SteadyClock clock_;
  std::deque<Request> to_submit_;
  size_t next_ = 0;  // input that is submitted next
  std::vector<Running> running_;
  std::vector<std::vector<float>> states_;  // (inputs)
  int64_t prompt_tokens_ = 0;
};

absl::StatusOr<Request> make_embedding_request(const ServedModel& model,
                                               const EmbeddingRequest& asked,
                                               const PromptText& input) {
  absl::StatusOr<std::vector<int32_t>> tokens =
      encode_prompt(model, input, asked.add_special_tokens);
  if (!tokens.ok()) return bad_param("input", std::string(message_of(tokens.status())));
  const int64_t room = model.engine->context_max() - 1;
  if (std::ssize(*tokens) > room && !asked.truncate) {
    return with_code(bad_param("input", fmt::format("an input has {} tokens; this model takes {}",
                                                    tokens->size(), room)),
                     "context_length_exceeded");
  }
  if (std::ssize(*tokens) > room) tokens->resize(static_cast<size_t>(room));
  Request request;
  BRISK_ASSIGN_OR_RETURN(request.adapter, model.adapter_named(asked.model));
  request.prompt = *std::move(tokens);
  request.max_tokens = 1;
  request.sampling.temperature = 0;
  request.priority = asked.priority;
  request.embed = asked.pooling.value_or(model.pooling);
  return request;
}

absl::StatusOr<http::Reply> begin(const ModelLease& model, const http::Request& request,
                                  const http::Wakeup& wakeup) {
  BRISK_ASSIGN_OR_RETURN(EmbeddingRequest asked, parse_embedding_request(request.body));
  const int size = model->engine->model().spec.hidden_size;
  if (asked.dimensions.value_or(1) > size) {
    return bad_param("dimensions",
                     fmt::format("dimensions must be at most {}, this model's", size));
  }
  std::deque<Request> requests;
  for (const PromptText& input : asked.inputs) {
    BRISK_ASSIGN_OR_RETURN(requests.emplace_back(), make_embedding_request(*model, asked, input));
    attribute(request.caller, asked.user, requests.back());
  }
  asked.inputs.clear();
  return http::Reply(
      std::make_unique<Embeddings>(model, std::move(asked), std::move(requests), wakeup));
}

}  // namespace

absl::StatusOr<EmbeddingRequest> parse_embedding_request(std::string_view body) {
  BRISK_ASSIGN_OR_RETURN(const Json json, parse_object(body));
  Fields fields(json);
  EmbeddingRequest request;
  request.model = fields.string("model", "");
  request.user = fields.string("user", "");
  request.pooling = read_pooling(fields);
  if (fields.find("dimensions") != nullptr) {
    request.dimensions = static_cast<int>(fields.integer("dimensions", 1, {1, kInt32Max}));
  }
  const std::string format = fields.string("encoding_format", "float");
  request.base64 = format == "base64";
  if (format != "float" && format != "base64") {
    fields.fail("encoding_format", "must be float or base64");
  }
  request.add_special_tokens = fields.boolean("add_special_tokens", true);
  request.truncate = fields.integer("truncate_prompt_tokens", 0, {-1, 0}) == -1;
  request.priority = static_cast<int>(fields.integer("priority", 0, {-kInt32Max - 1, kInt32Max}));
  const Json* input = fields.find("input");
  if (input == nullptr) return bad_param("input", "input is missing");
  BRISK_RETURN_IF_ERROR(fields.finish());
  BRISK_ASSIGN_OR_RETURN(request.inputs, read_inputs(*input));
  return request;
}

std::vector<float> finish_embedding(std::vector<float> state, std::optional<int> dimensions) {
  if (dimensions.has_value()) state.resize(static_cast<size_t>(*dimensions));
  double squares = 0;
  for (const float value : state)
    squares += static_cast<double>(value) * static_cast<double>(value);
  const double scale = squares > 0 ? 1 / std::sqrt(squares) : 0;
  for (float& value : state) value = static_cast<float>(static_cast<double>(value) * scale);
  return state;
}

std::string encode_base64(std::span<const float> values) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const auto bytes = std::as_bytes(values);
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < count ? std::to_integer<uint32_t>(bytes[i + k]) : 0);
    }
    for (size_t k = 0; k < 4; ++k) {
      text += k <= count ? kDigits[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  return text;
}

http::Reply embeddings(const ModelLease& model, const http::Request& request,
                       const http::Wakeup& wakeup) {
  absl::StatusOr<http::Reply> reply = begin(model, request, wakeup);
  if (reply.ok()) return std::move(*reply);
  return openai_error(reply.status());
}

}  // namespace brisk::api
