#include "serve/api/openapi.h"

#include <string>

#include "base/embed.h"

BRISK_EMBED(brisk_openapi, BRISK_OPENAPI_FILE);

extern "C" {
extern const char brisk_openapi_begin[];
extern const char brisk_openapi_end[];
}

namespace brisk::api {

std::string_view openapi_document() { return {brisk_openapi_begin, brisk_openapi_end}; }

http::Route openapi_route() {
  return {"GET", "/openapi.json", http::Access::kNeedsKey,
          [](const http::Request&, const http::Wakeup&) {
            http::Response response;
            response.body = std::string(openapi_document());
            return response;
          }};
}

}  // namespace brisk::api
