#include "serve/api/attribution.h"

#include <xxhash.h>

#include <limits>

#include "base/clock.h"

namespace brisk::api {
namespace {

Tenant tenant_of(const http::Caller& caller, std::string_view user) {
  if (caller.keys > 1) return {.id = caller.key, .weight = caller.weight};
  if (user.empty()) return {};
  // Two users with one hash share one share.
  return {.id = static_cast<int32_t>(XXH3_64bits(user.data(), user.size())), .weight = 1};
}

// In the queue.
void place(const http::Caller& caller, std::string_view user, Request& request) {
  request.tenant = tenant_of(caller, user);
  if (!caller.background) return;
  request.background = true;
  request.priority = std::numeric_limits<int32_t>::max();
}

}  // namespace

void attribute(const http::Caller& caller, GenerationSpec& spec) {
  place(caller, spec.user, spec.request);
  spec.caller_key = caller.key;
  spec.account = caller.account;
}

void attribute(const http::Caller& caller, std::string_view user, Request& request) {
  place(caller, user, request);
  if (caller.account == nullptr) return;
  caller.account->charge(static_cast<int64_t>(request.prompt.size()), SteadyClock().now());
}

}  // namespace brisk::api
