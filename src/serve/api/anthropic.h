// Anthropic's endpoints: messages, and counting their tokens.
#pragma once

#include "serve/api/model_repository.h"
#include "serve/http/message.h"

namespace brisk::api {

// Any thread. The answer holds the lease.
http::Reply anthropic_messages(const ModelLease& model, const http::Request& request,
                               const http::Wakeup& wakeup);
http::Reply anthropic_count_tokens(const ModelLease& model, const http::Request& request,
                                   const http::Wakeup& wakeup);

}  // namespace brisk::api
