#include "serve/api/errors.h"

#include <absl/strings/cord.h>

#include <algorithm>
#include <cmath>

namespace brisk::api {
namespace {

constexpr char kParamKey[] = "brisk/param";
constexpr char kCodeKey[] = "brisk/code";

std::string payload(const absl::Status& status, const char* key) {
  const auto found = status.GetPayload(key);
  return found.has_value() ? std::string(*found) : "";
}

// By way of a view: compilers disagree on the name of Cord's constructor from a std::string.
absl::Cord cord_of(std::string_view text) {
  return absl::Cord(absl::string_view(text.data(), text.size()));
}

int http_status(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kCancelled:
      return 499;  // not one that clients try again
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:  // absl adds codes; what is not the client's fault is ours
      return 500;
  }
}

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

}  // namespace

ApiError to_api_error(const absl::Status& status) {
  const int code = http_status(status.code());
  return {.status = code,
          .message = std::string(message_of(status)),
          .type = std::string(error_type(code)),
          .param = payload(status, kParamKey),
          .code = payload(status, kCodeKey),
          .retry_after = retry_after_seconds(status).value_or(1)};
}

std::string_view error_type(int http_status) {
  switch (http_status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 499:
      return "cancelled_error";
    case 500:
      return "server_error";
    case 501:
      return "not_supported_error";
    case 503:
      return "unavailable_error";
    case 504:
      return "timeout_error";
    default:
      return "invalid_request_error";
  }
}

Json openai_error_json(const ApiError& error) {
  return {{"error",
           {{"message", error.message},
            {"type", error.type},
            {"param", text_or_null(error.param)},
            {"code", text_or_null(error.code)}}}};
}

http::Response openai_error(const ApiError& error) {
  http::Response response;
  response.status = error.status;
  response.body = to_text(openai_error_json(error));
  if (error.status == 429 || error.status == 503) {
    // Whole seconds (RFC 9110), not before it can succeed.
    const double seconds = std::clamp(std::ceil(error.retry_after), 1.0, 3600.0);
    response.headers.emplace_back("retry-after", fmt::format("{:.0f}", seconds));
  }
  return response;
}

http::Response openai_error(const absl::Status& status) {
  return openai_error(to_api_error(status));
}

absl::Status bad_param(std::string_view param, std::string_view message) {
  absl::Status status = absl::InvalidArgumentError({message.data(), message.size()});
  status.SetPayload(kParamKey, cord_of(param));
  return status;
}

absl::Status with_code(absl::Status status, std::string_view code) {
  status.SetPayload(kCodeKey, cord_of(code));
  return status;
}

}  // namespace brisk::api
