#include "serve/http/request_head.h"

#include "base/status.h"
#include "serve/http/wire.h"

namespace brisk::http {
namespace {

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

}  // namespace

std::optional<Refusal> read_head(const Parser& parser, Request& request) {
  const auto& message = parser.get();
  request.method = std::string(message.method_string());
  for (const auto& field : message.base()) {
    request.headers.emplace_back(lower_case(field.name_string()), std::string(field.value()));
  }
  request.id = request_id_or_new(request.header("x-request-id"));
  if (const absl::Status status = read_target(message.target(), request); !status.ok()) {
    return Refusal{400, std::string(message_of(status))};
  }
  if (message.version() >= 11 && request.header("host").empty()) {
    return Refusal{400, "an HTTP/1.1 request needs a Host header"};
  }
  const std::string coding = lower_case(request.header("transfer-encoding"));
  if (!coding.empty() && coding != "chunked") {
    return Refusal{501, "the only transfer encoding this server reads is chunked"};
  }
  if (!coding.empty() && !request.header("content-length").empty()) {
    return Refusal{400, "a request has either Transfer-Encoding or Content-Length"};
  }
  const std::string expect = lower_case(request.header("expect"));
  if (!expect.empty() && expect != "100-continue") {
    return Refusal{417, "the only expectation this server meets is 100-continue"};
  }
  return std::nullopt;
}

int status_of_read_error(const boost::system::error_code& code) {
  using boost::beast::http::error;
  if (code == error::header_limit || code == error::buffer_overflow) return 431;
  if (code == error::body_limit) return 413;
  if (code == error::bad_version) return 505;
  if (code == error::end_of_stream || code == error::partial_message) return 0;
  if (code.category() == make_error_code(error::bad_target).category()) return 400;
  return 0;
}

std::string_view advice_for(int status) {
  switch (status) {
    case 400:
      return "the request is not well-formed HTTP/1.1";
    case 408:
      return "the request took too long to arrive";
    case 413:
      return "the body is larger than this server takes";
    case 431:
      return "the headers are larger than this server takes";
    case 505:
      return "this server speaks HTTP/1.1";
    default:
      return "the request cannot be answered";
  }
}

}  // namespace brisk::http
