// Whom an API request belongs to, for the engine's fairness.
#pragma once

#include <string_view>

#include "engine/sched/tenant.h"
#include "serve/http/message.h"

namespace brisk::api {

// Where the server has several keys, each is a tenant with its weight. Otherwise the request's
// `user` is: whoever holds the key vouches for the names it gives.
Tenant tenant_of(const http::Caller& caller, std::string_view user);

}  // namespace brisk::api
