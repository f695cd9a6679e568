// OpenAI's POST /v1/embeddings: final hidden states of the served model, pooled, of length 1.
#pragma once

#include <absl/status/statusor.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api/openai_request.h"
#include "serve/api/served_model.h"
#include "serve/http/message.h"

namespace brisk::api {

inline constexpr int kEmbeddingInputsMax = 2048;  // OpenAI's

struct EmbeddingRequest {
  std::string model;  // as asked for; may be empty
  std::string user;
  std::vector<PromptText> inputs;  // one or more
  std::optional<Pooling> pooling;  // else the model's default
  std::optional<int> dimensions;   // the first so many; else all
  bool base64 = false;             // of little-endian f32, else numbers
  bool add_special_tokens = true;
  bool truncate = false;  // inputs that are too long, else they are refused
  int priority = 0;
};

// Errors: InvalidArgument, with the field at fault.
absl::StatusOr<EmbeddingRequest> parse_embedding_request(std::string_view body);

// Cuts `state` to `dimensions` and brings it to length 1 (zeroes stay).
std::vector<float> finish_embedding(std::vector<float> state, std::optional<int> dimensions);

std::string encode_base64(std::span<const float> values);

http::Reply embeddings(const ModelLease& model, const http::Request& request,
                       const http::Wakeup& wakeup);

}  // namespace brisk::api
