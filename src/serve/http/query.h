// The query of a request's target: "limit=20&after=file-1".
#pragma once

#include <string>
#include <string_view>

namespace brisk::http {

// The first value of `name` (plain characters), decoded; empty: there is none, or it is malformed.
std::string query_parameter(std::string_view query, std::string_view name);

}  // namespace brisk::http
