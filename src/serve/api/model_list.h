// GET /v1/models: which models there are, how they are, and their adapters.
#pragma once

#include <string>

#include "serve/api/model_repository.h"
#include "serve/http/message.h"

namespace brisk::api {

http::Response list_models(ModelRepository& models);
http::Response describe_model(ModelRepository& models, const std::string& name);

}  // namespace brisk::api
