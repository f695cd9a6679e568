// What a stream says last when the server's time for a request (--request-timeout) is over.
#pragma once

#include "serve/api/errors.h"

namespace brisk::api {

ApiError timeout_error();

}  // namespace brisk::api
