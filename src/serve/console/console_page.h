// The web console: one HTML file, built from console/ and embedded in the program.
#pragma once

#include <string_view>

#include "serve/http/router.h"

namespace brisk::console {

// GET /, open to all: the page holds nothing but itself, and asks for a key when the API wants one.
http::Route page_route();

std::string_view page();
// The Content-Security-Policy that names the page's only script and style by their hashes.
std::string_view security_policy();

}  // namespace brisk::console
