// Whom an API request belongs to: whose share of the engine it takes, and who pays for its tokens.
#pragma once

#include <string_view>

#include "serve/api/generation_spec.h"
#include "serve/http/message.h"

namespace brisk::api {

// Sets the tenant, the account and the priority of what `caller` asks for. Every endpoint that
// generates calls it. Where the server has several keys, each is a tenant with its weight;
// otherwise the request's `user` is: whoever holds the key vouches for the names it gives. Work in
// the background goes after all other, whatever priority it asks for.
void attribute(const http::Caller& caller, GenerationSpec& spec);
// The same for a request that generates nothing, and charges its prompt.
void attribute(const http::Caller& caller, std::string_view user, Request& request);

}  // namespace brisk::api
