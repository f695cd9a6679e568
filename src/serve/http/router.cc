#include "serve/http/router.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

namespace brisk::http {
namespace {

// Takes the next segment off `rest`: "a/b" gives "a" and leaves "b".
std::string_view take_segment(std::string_view& rest) {
  const size_t slash = rest.find('/');
  const std::string_view segment = rest.substr(0, slash);
  rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
  return segment;
}

bool starts_with_ignoring_case(std::string_view text, std::string_view prefix) {
  if (text.size() < prefix.size()) return false;
  return std::equal(prefix.begin(), prefix.end(), text.begin(), [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) ==
           std::tolower(static_cast<unsigned char>(b));
  });
}

}  // namespace

bool match_path(std::string_view pattern, std::string_view path, std::vector<std::string>& params) {
  params.clear();
  if (pattern.empty() || path.empty() || pattern[0] != '/' || path[0] != '/') return false;
  pattern.remove_prefix(1);
  path.remove_prefix(1);
  while (true) {
    const bool pattern_is_last = pattern.find('/') == std::string_view::npos;
    const bool path_is_last = path.find('/') == std::string_view::npos;
    const std::string_view expected = take_segment(pattern);
    if (expected.ends_with("*}")) {
      params.emplace_back(path);
      return !path.empty();
    }
    const std::string_view segment = take_segment(path);
    if (expected.starts_with('{')) {
      if (segment.empty()) return false;
      params.emplace_back(segment);
    } else if (segment != expected) {
      return false;
    }
    if (pattern_is_last || path_is_last) return pattern_is_last && path_is_last;
  }
}

Router::Router(std::vector<Route> routes, const std::vector<ApiKey>& api_keys,
               ErrorStyle error_style)
    : Router(std::move(routes), std::make_shared<KeyRing>(api_keys), std::move(error_style)) {}

Router::Router(std::vector<Route> routes, std::shared_ptr<const KeyRing> keys,
               ErrorStyle error_style)
    : routes_(std::move(routes)), keys_(std::move(keys)), error_style_(std::move(error_style)) {}

const Route* Router::find(Request& request, Response& refusal) const {
  const std::string_view method =
      request.method == "HEAD" ? "GET" : std::string_view(request.method);
  const Route* found = nullptr;
  std::string allowed;
  std::vector<std::string> params;
  for (const Route& route : routes_) {
    if (!match_path(route.path, request.path, params)) continue;
    if (route.method == method) {
      found = &route;
      request.params = std::move(params);
      break;
    }
    if (!allowed.empty()) allowed += ", ";
    allowed += route.method;
  }
  if (found == nullptr && allowed.empty()) {
    refusal = error(404, fmt::format("there is no endpoint {}", request.path), request.path);
    return nullptr;
  }
  if (found == nullptr) {
    refusal = error(405, fmt::format("{} answers {}", request.path, allowed), request.path);
    refusal.headers.emplace_back("allow", allowed);
    return nullptr;
  }
  if (found->access == Access::kNeedsKey && !find_caller(request)) {
    refusal = error(401, "send a key of the server as 'Authorization: Bearer KEY'", request.path);
    refusal.headers.emplace_back("www-authenticate", "Bearer");
    return nullptr;
  }
  if (found->access == Access::kNeedsKey && !count_request(request, refusal)) return nullptr;
  return found;
}

bool Router::find_caller(Request& request) const {
  if (!keys_->asks_for_keys()) return true;
  constexpr std::string_view kBearer = "Bearer ";
  std::string_view given = request.header("x-api-key");
  const std::string_view authorization = request.header("authorization");
  if (starts_with_ignoring_case(authorization, kBearer))
    given = authorization.substr(kBearer.size());
  return keys_->find(given, request.caller);
}

// Only what makes work is counted: listings and metrics are free.
bool Router::count_request(Request& request, Response& refusal) const {
  const std::shared_ptr<KeyAccount>& account = request.caller.account;
  if (account == nullptr || request.method != "POST") return true;
  const std::optional<QuotaRefusal> no = account->begin(clock_.now());
  if (!no.has_value()) {
    request.caller.counted = std::make_shared<const CountedRequest>(account);
    return true;
  }
  refusal = error(429, no->message, request.path, no->code);
  std::erase_if(refusal.headers, [](const auto& header) { return header.first == "retry-after"; });
  if (no->code == "insufficient_quota") {
    refusal.headers.emplace_back("x-should-retry", "false");  // clients of OpenAI heed it
  } else {
    // Whole seconds (RFC 9110), not before it can succeed.
    refusal.headers.emplace_back("retry-after",
                                 fmt::format("{:.0f}", std::max(1.0, std::ceil(no->retry_after))));
  }
  return false;
}

}  // namespace brisk::http
