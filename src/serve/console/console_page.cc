#include "serve/console/console_page.h"

#include <string>

#include "base/embed.h"

// BRISK_CONSOLE_DIR is console/dist, which `npm run build` in console/ writes.
BRISK_EMBED(brisk_console_page, BRISK_CONSOLE_DIR "/index.html");
BRISK_EMBED(brisk_console_policy, BRISK_CONSOLE_DIR "/policy.txt");

extern "C" {
extern const char brisk_console_page_begin[];
extern const char brisk_console_page_end[];
extern const char brisk_console_policy_begin[];
extern const char brisk_console_policy_end[];
}

namespace brisk::console {

std::string_view page() { return {brisk_console_page_begin, brisk_console_page_end}; }

std::string_view security_policy() {
  return {brisk_console_policy_begin, brisk_console_policy_end};
}

http::Route page_route() {
  return {"GET", "/", http::Access::kOpen, [](const http::Request&, const http::Wakeup&) {
            http::Response response;
            response.content_type = "text/html; charset=utf-8";
            response.headers = {{"content-security-policy", std::string(security_policy())},
                                {"cache-control", "no-cache"},
                                {"cross-origin-opener-policy", "same-origin"},
                                {"cross-origin-resource-policy", "same-origin"},
                                {"referrer-policy", "no-referrer"},
                                {"x-content-type-options", "nosniff"},
                                {"x-frame-options", "DENY"}};
            response.body = std::string(page());
            return response;
          }};
}

}  // namespace brisk::console
