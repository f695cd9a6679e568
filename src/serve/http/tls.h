// The certificate and key that a server shows its clients, and the rules of its TLS.
#pragma once

#include <absl/status/statusor.h>

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

namespace brisk::http {

// TLS 1.2 and up, no compression, no renegotiation, HTTP/1.1 where the client asks (ALPN).
// `certificate` is a PEM file with the server's certificate first and those up to, without, the
// root after it; `key` is the PEM file of its private key.
// Errors: InvalidArgument, with the file and what is wrong with it (also: the two do not match).
absl::StatusOr<std::shared_ptr<boost::asio::ssl::context>> make_tls_context(
    const std::string& certificate, const std::string& key);

}  // namespace brisk::http
