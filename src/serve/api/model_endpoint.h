// Endpoints whose request names a model: found once, before anything else is read.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "serve/api/errors.h"
#include "serve/api/model_repository.h"
#include "serve/http/message.h"

namespace brisk::api {

// The answer may outlive the call: what it needs of the model it holds the lease for.
using ModelHandler =
    std::function<http::Reply(const ModelLease& model, const http::Request&, const http::Wakeup&)>;
// An error in the style of an API, for the request of an id.
using ErrorWriter = std::function<http::Response(const absl::Status&, const std::string& id)>;

// Gives `handler` the model that `name` means, at once or when it is loaded.
http::Reply with_model(ModelRepository& models, std::string_view name, const ModelHandler& handler,
                       const ErrorWriter& error, const http::Request& request,
                       const http::Wakeup& wakeup);

// Gives `handler` the model that the body's "model" names. `models` must outlive it.
http::Handler of_named_model(
    ModelRepository& models, ModelHandler handler,
    ErrorWriter error = [](const absl::Status& status, const std::string&) {
      return openai_error(status);
    });

// The "model" of a JSON object; empty when there is none, or the body is something else: whoever
// parses it in full says so.
std::string model_named_in(std::string_view body);

}  // namespace brisk::api
