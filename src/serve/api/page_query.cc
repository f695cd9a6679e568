#include "serve/api/page_query.h"

#include <algorithm>

#include "serve/api/errors.h"
#include "serve/http/query.h"

namespace brisk::api {

absl::StatusOr<PageQuery> read_page_query(std::string_view query) {
  constexpr int kPageMax = 100;
  PageQuery page;
  page.after = http::query_parameter(query, "after");
  page.newest_first = http::query_parameter(query, "order") != "asc";
  const std::string limit = http::query_parameter(query, "limit");
  if (limit.empty()) return page;
  const bool number = limit.size() <= 5 && limit.find_first_not_of("0123456789") == limit.npos;
  page.limit = number ? std::stoi(limit) : 0;
  if (page.limit < 1) return bad_param("limit", "limit must be an integer of at least 1");
  page.limit = std::min(page.limit, kPageMax);
  return page;
}

}  // namespace brisk::api
