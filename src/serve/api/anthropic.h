// Anthropic's endpoints: messages, and counting their tokens.
#pragma once

#include "serve/api/metrics.h"
#include "serve/api/served_model.h"
#include "serve/http/message.h"

namespace brisk::api {

// Any thread. `model` and `metrics` must outlive the answer.
http::Reply anthropic_messages(const ServedModel& model, Metrics& metrics,
                               const http::Request& request, const http::Wakeup& wakeup);
http::Response anthropic_count_tokens(const ServedModel& model, const http::Request& request);

}  // namespace brisk::api
