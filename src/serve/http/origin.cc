#include "serve/http/origin.h"

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>

#include <algorithm>

#include "base/status.h"

namespace brisk::http {
namespace {

bool is_allowed(const OriginPolicy& policy, std::string_view origin) {
  return std::ranges::any_of(
      policy.allowed, [origin](const std::string& each) { return each == "*" || each == origin; });
}

// "HOST[:PORT]" of "SCHEME://HOST[:PORT]"; empty: it has none ("null").
std::string_view authority_of(std::string_view origin) {
  const size_t colon = origin.find("://");
  return colon == std::string_view::npos ? std::string_view() : origin.substr(colon + 3);
}

std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

// "localhost", "x.localhost", "127.0.0.1", "[::1]".
bool is_local_name(std::string_view host) {
  const std::string name = absl::AsciiStrToLower({host.data(), host.size()});
  if (name == "localhost" || name.ends_with(".localhost") || name.starts_with('[')) return true;
  return !name.empty() && name.find_first_not_of("0123456789.") == std::string::npos;
}

}  // namespace

absl::Status check_origin_option(const std::string& origin) {
  if (origin == "*") return absl::OkStatus();
  const std::string_view authority = authority_of(origin);
  if (authority.empty() || authority.find('/') != std::string_view::npos ||
      authority.find(' ') != std::string_view::npos) {
    return invalid_input("--cors-origin {}: give SCHEME://HOST[:PORT], as in https://app.example",
                         origin);
  }
  return absl::OkStatus();
}

std::string origin_refusal(const OriginPolicy& policy, const Request& request) {
  const std::string_view host = request.header("host");
  if (policy.local_hosts_only && !host.empty() && !is_local_name(without_port(host))) {
    return fmt::format(
        "the server is for this machine only, but the request is for the host {}; start it with a "
        "key (--api-key) or --allow-no-key to be reached by that name",
        without_port(host).substr(0, 100));
  }
  const std::string_view origin = request.header("origin");
  if (origin.empty() || authority_of(origin) == host || is_allowed(policy, origin)) return "";
  return fmt::format("web pages of {} may not use this server; allow them with --cors-origin",
                     origin.substr(0, 100));
}

std::optional<Response> preflight_answer(const OriginPolicy& policy, const Request& request) {
  const std::string_view method = request.header("access-control-request-method");
  if (request.method != "OPTIONS" || method.empty()) return std::nullopt;
  if (!is_allowed(policy, request.header("origin"))) return std::nullopt;
  Response response;
  response.status = 204;
  response.headers = {{"access-control-allow-methods", "GET, POST, DELETE"},
                      {"access-control-max-age", "600"}};
  const std::string_view headers = request.header("access-control-request-headers");
  if (!headers.empty()) {
    response.headers.emplace_back("access-control-allow-headers", std::string(headers));
  }
  return response;
}

void add_origin_headers(const OriginPolicy& policy, const Request& request, Response& response) {
  if (policy.allowed.empty()) return;
  response.headers.emplace_back("vary", "origin");
  const std::string_view origin = request.header("origin");
  if (origin.empty() || !is_allowed(policy, origin)) return;
  response.headers.emplace_back("access-control-allow-origin", std::string(origin));
  response.headers.emplace_back("access-control-expose-headers", "x-request-id, retry-after");
}

}  // namespace brisk::http
