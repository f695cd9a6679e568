#include "serve/api/timeout_error.h"

namespace brisk::api {

ApiError timeout_error() {
  return {.status = 504,
          .message = "the request took longer than this server allows; ask for fewer tokens",
          .type = std::string(error_type(504)),
          .param = "",
          .code = "timeout"};
}

}  // namespace brisk::api
