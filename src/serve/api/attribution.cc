#include "serve/api/attribution.h"

#include <xxhash.h>

#include <limits>

namespace brisk::api {
namespace {

Tenant tenant_of(const http::Caller& caller, std::string_view user) {
  if (caller.keys > 1) return {.id = caller.key, .weight = caller.weight};
  if (user.empty()) return {};
  // Two users with one hash share one share.
  return {.id = static_cast<int32_t>(XXH3_64bits(user.data(), user.size())), .weight = 1};
}

}  // namespace

void attribute(const http::Caller& caller, GenerationSpec& spec) {
  spec.request.tenant = tenant_of(caller, spec.user);
  spec.account = caller.account;
  if (caller.background) spec.request.priority = std::numeric_limits<int32_t>::max();
}

}  // namespace brisk::api
