// Short questions to a server before it is put under load.
#pragma once

#include <absl/status/statusor.h>

#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "plan/load/prompt_writer.h"
#include "plan/load/target.h"

namespace brisk {

// The first address of the target that takes connections. Errors: Unavailable.
absl::StatusOr<boost::asio::ip::tcp::endpoint> find_endpoint(const LoadTarget& target);

struct HttpAnswer {
  int status = 0;
  std::string body;
};

inline constexpr std::chrono::seconds kPatience(10);

// GET, or POST where there is a body. Errors: Unavailable, also when `patience` was not enough.
absl::StatusOr<HttpAnswer> ask(const LoadTarget& target, std::string_view path,
                               std::string_view body = {},
                               std::chrono::seconds patience = kPatience);

// The first of /v1/models. Errors: Unavailable, and InvalidArgument when the answer has none.
absl::StatusOr<std::string> first_model(const LoadTarget& target);

// The ids that the server's /tokenize gives to plain English, which every model takes. Nothing when
// the server has no such endpoint.
std::optional<PromptAlphabet> learn_ids(const LoadTarget& target, const std::string& model);

}  // namespace brisk
