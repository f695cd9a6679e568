#include "serve/http/tls.h"

#include <openssl/ssl.h>

#include "base/status.h"

namespace brisk::http {
namespace {

namespace ssl = boost::asio::ssl;
using boost::system::error_code;

int choose_protocol(SSL* /*ssl*/, const unsigned char** out, unsigned char* out_size,
                    const unsigned char* in, unsigned int in_size, void* /*nothing*/) {
  constexpr unsigned char kHttp11[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kHttp11, sizeof(kHttp11) - 1, in, in_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_NOACK;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

absl::StatusOr<std::shared_ptr<ssl::context>> make_tls_context(const std::string& certificate,
                                                               const std::string& key) {
  error_code error;
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX* native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_options(
      native, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(native, choose_protocol, nullptr);
  context->use_certificate_chain_file(certificate, error);
  if (error) {
    return invalid_input("{} is not a PEM certificate that can be read: {}", certificate,
                         error.message());
  }
  context->use_private_key_file(key, ssl::context::pem, error);
  if (error) {
    return invalid_input("{} is not the PEM private key of {}: {}", key, certificate,
                         error.message());
  }
  return context;
}

}  // namespace brisk::http
