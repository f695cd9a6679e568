// Which handler answers which method and path: one explicit table, read from the top.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/http/key_ring.h"
#include "serve/http/message.h"

namespace brisk::http {

enum class Access : uint8_t { kOpen, kNeedsKey };

struct Route {
  std::string method;
  // "/v1/models/{id}": a placeholder matches one segment; "{id*}" at the end matches all the rest
  // (model names contain slashes).
  std::string path;
  Access access = Access::kNeedsKey;
  Handler handler;
  uint64_t body_bytes_max = 0;  // 0: the server's
};

// An error in the style of the API that `path` belongs to. `code` is OpenAI's; often empty.
using ErrorStyle = std::function<Response(int status, std::string_view message,
                                          std::string_view path, std::string_view code)>;

// Immutable after construction but for the keys; any thread.
class Router {
 public:
  // `api_keys` empty: no key is asked for.
  Router(std::vector<Route> routes, const std::vector<ApiKey>& api_keys, ErrorStyle error_style);
  // `keys` may change while the router lives.
  Router(std::vector<Route> routes, std::shared_ptr<const KeyRing> keys, ErrorStyle error_style);

  // The route of `request`, whose `params` and `caller` are then set. Null: `refusal` says why
  // (404, 405, 401; 429 when its key has no quota left). HEAD finds the routes of GET. The body
  // need not have arrived yet.
  const Route* find(Request& request, Response& refusal) const;

  Response error(int status, std::string_view message, std::string_view path,
                 std::string_view code = {}) const {
    return error_style_(status, message, path, code);
  }

 private:
  bool find_caller(Request& request) const;
  bool count_request(Request& request, Response& refusal) const;

  const std::vector<Route> routes_;
  const std::shared_ptr<const KeyRing> keys_;
  const ErrorStyle error_style_;
  const SteadyClock clock_;
};

// Whether `path` fits `pattern`; what the placeholders matched goes to `params`.
bool match_path(std::string_view pattern, std::string_view path, std::vector<std::string>& params);

}  // namespace brisk::http
