// infer, generate and generate_stream.
#pragma once

#include "serve/api/served_model.h"
#include "serve/http/message.h"

namespace brisk::api {

http::Reply oip_infer(const ModelLease& model, const http::Request& request,
                      const http::Wakeup& wakeup);
http::Reply oip_generate(const ModelLease& model, const http::Request& request,
                         const http::Wakeup& wakeup);
http::Reply oip_generate_stream(const ModelLease& model, const http::Request& request,
                                const http::Wakeup& wakeup);

}  // namespace brisk::api
