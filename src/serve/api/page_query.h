// Which part of a list a client asks for, as OpenAI's lists have it: "limit=20&after=ID&order=asc".
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

namespace brisk::api {

struct PageQuery {
  std::string after{};  // an id; empty: from the start
  int limit = 20;
  bool newest_first = true;
};

// Of a request's query. Longer pages than this server has become as long as it has. Errors:
// InvalidArgument.
absl::StatusOr<PageQuery> read_page_query(std::string_view query);

}  // namespace brisk::api
