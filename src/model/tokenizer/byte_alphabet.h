// GPT-2's printable alphabet: byte-level vocabularies are written with one visible character for
// each of the 256 bytes, so that files hold "Ġthe" for " the".
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace brisk {

// The bytes that `printable` stands for; nullopt when a character is not of the alphabet (added
// tokens are written plainly: keep those as they are).
std::optional<std::string> bytes_of_printable(std::string_view printable);

// The other way round.
std::string printable_of_bytes(std::string_view bytes);

}  // namespace brisk
