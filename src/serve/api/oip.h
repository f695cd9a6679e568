// Open Inference Protocol v2, as Triton serves it: health, models, their repository, infer and
// generate. A model is one that reads text_input and writes text_output.
#pragma once

#include <absl/status/status.h>

#include <functional>
#include <vector>

#include "serve/api/model_repository.h"
#include "serve/http/router.h"

namespace brisk::api {

// {"error": "..."}
http::Response oip_error(const absl::Status& status);
http::Response oip_error(int status, std::string_view message);

// `readiness`: OK when the server can serve. `models` must outlive the routes.
std::vector<http::Route> oip_routes(ModelRepository& models,
                                    std::function<absl::Status()> readiness);

}  // namespace brisk::api
