// The head of a request, from Beast's parser to ours, and what becomes of one that cannot be read.
// Internal to the server.
#pragma once

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "serve/http/message.h"

namespace brisk::http {

using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

struct Refusal {
  int status = 0;
  std::string why;
};

// Copies the head into `request`. Otherwise the refusal.
std::optional<Refusal> read_head(const Parser& parser, Request& request);

// What a request that could not be read deserves; 0: nothing, the client has just left.
int status_of_read_error(const boost::system::error_code& code);
std::string_view advice_for(int status);

}  // namespace brisk::http
