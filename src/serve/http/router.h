// Which handler answers which method and path: one explicit table, read from the top.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/http/message.h"

namespace brisk::http {

enum class Access : uint8_t { kOpen, kNeedsKey };

// Whoever has one may use the server.
struct ApiKey {
  std::string key;  // not empty
  int weight = 1;   // its share of a busy server, against other keys
};

struct Route {
  std::string method;
  // "/v1/models/{id}": a placeholder matches one segment; "{id*}" at the end matches all the rest
  // (model names contain slashes).
  std::string path;
  Access access = Access::kNeedsKey;
  Handler handler;
};

// The body of an error in the style of the API that `path` belongs to.
using ErrorStyle =
    std::function<Response(int status, std::string_view message, std::string_view path)>;

// Immutable after construction; any thread.
class Router {
 public:
  // `api_keys` empty: no key is asked for.
  Router(std::vector<Route> routes, std::vector<ApiKey> api_keys, ErrorStyle error_style);

  // The route of `request`, whose `params` and `caller` are then set. Null: `refusal` says why
  // (404, 405, 401). HEAD finds the routes of GET. The body need not have arrived yet.
  const Route* find(Request& request, Response& refusal) const;

  Response error(int status, std::string_view message, std::string_view path) const {
    return error_style_(status, message, path);
  }

 private:
  bool find_caller(Request& request) const;

  const std::vector<Route> routes_;
  const std::vector<ApiKey> api_keys_;
  const ErrorStyle error_style_;
};

// Whether `path` fits `pattern`; what the placeholders matched goes to `params`.
bool match_path(std::string_view pattern, std::string_view path, std::vector<std::string>& params);

}  // namespace brisk::http
