// What web pages may ask of the server. Browsers send requests for any page that a user opens, also
// to this machine, and name the page's origin. Pages of other origins are refused, unless theirs is
// allowed: then they get what the CORS protocol (Fetch standard, 3.2) wants.
#pragma once

#include <absl/status/status.h>

#include <optional>
#include <string>
#include <vector>

#include "serve/http/message.h"

namespace brisk::http {

struct OriginPolicy {
  std::vector<std::string> allowed{};  // "https://app.example"; "*": every origin
  // The server is only for this machine: a Host that is neither an address nor localhost is a page
  // that had its name point here (DNS rebinding).
  bool local_hosts_only = false;
};

// Errors: InvalidArgument (not "SCHEME://HOST[:PORT]" and not "*").
absl::Status check_origin_option(const std::string& origin);

// Why a request is refused; empty: it is not.
std::string origin_refusal(const OriginPolicy& policy, const Request& request);

// The answer to a preflight request; nothing when `request` is none, or its origin is not allowed.
std::optional<Response> preflight_answer(const OriginPolicy& policy, const Request& request);

// Adds the headers that let the page read the answer, when its origin is allowed.
void add_origin_headers(const OriginPolicy& policy, const Request& request, Response& response);

}  // namespace brisk::http
