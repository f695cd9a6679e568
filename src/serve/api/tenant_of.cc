#include "serve/api/tenant_of.h"

#include <xxhash.h>

namespace brisk::api {

Tenant tenant_of(const http::Caller& caller, std::string_view user) {
  if (caller.keys > 1) return {.id = caller.key, .weight = caller.weight};
  if (user.empty()) return {};
  // Two users with one hash share one share.
  return {.id = static_cast<int32_t>(XXH3_64bits(user.data(), user.size())), .weight = 1};
}

}  // namespace brisk::api
