// What the server's endpoints take and give, as an OpenAPI 3.1 document: openapi.json.
#pragma once

#include <string_view>

#include "serve/http/router.h"

namespace brisk::api {

std::string_view openapi_document();  // JSON

http::Route openapi_route();

}  // namespace brisk::api
