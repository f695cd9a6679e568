// Base64 as RFC 4648, section 4, has it.
#pragma once

#include <string>
#include <string_view>

namespace brisk {

// False when `text` is not padded to a multiple of four, has other characters or stray bits. An
// empty text is no bytes.
[[nodiscard]] bool decode_base64(std::string_view text, std::string* bytes);

}  // namespace brisk
