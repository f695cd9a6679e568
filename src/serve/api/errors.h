// What went wrong, as OpenAI's clients expect to hear it. The one place where a status becomes an
// HTTP answer.
#pragma once

#include <absl/status/status.h>

#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"
#include "serve/http/message.h"

namespace brisk::api {

struct ApiError {
  int status = 500;
  std::string message;
  std::string type;        // "invalid_request_error"
  std::string param;       // the field at fault; empty: none
  std::string code;        // "context_length_exceeded"; empty: none
  double retry_after = 1;  // seconds, for 429 and 503
};

// InvalidArgument 400, Unauthenticated 401, PermissionDenied 403, NotFound 404, ResourceExhausted
// 429, Unimplemented 501, Unavailable 503, everything else 500.
ApiError to_api_error(const absl::Status& status);

// The type that goes with a status that HTTP itself gave (404, 405, 408, 413, ...).
std::string_view error_type(int http_status);

// {"error": {"message", "type", "param", "code"}}; 429 and 503 tell when to try again.
Json openai_error_json(const ApiError& error);
http::Response openai_error(const ApiError& error);
http::Response openai_error(const absl::Status& status);

// InvalidArgument that blames a field of the body.
absl::Status bad_param(std::string_view param, std::string_view message);

// `status` with the code that clients look at ("model_not_found").
absl::Status with_code(absl::Status status, std::string_view code);

}  // namespace brisk::api
