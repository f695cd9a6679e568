// OpenAI's endpoints: completions and chat completions.
#pragma once

#include "serve/api/served_model.h"
#include "serve/http/message.h"

namespace brisk::api {

// Any thread.
http::Reply completions(const ModelLease& model, const http::Request& request,
                        const http::Wakeup& wakeup);
http::Reply chat_completions(const ModelLease& model, const http::Request& request,
                             const http::Wakeup& wakeup);

}  // namespace brisk::api
