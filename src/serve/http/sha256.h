// SHA-256 (FIPS 180-4), by OpenSSL.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace brisk::http {

using Sha256 = std::array<unsigned char, 32>;

Sha256 sha256(std::string_view bytes);

std::string to_hex(const Sha256& digest);                     // 64 characters 0-9a-f
std::optional<Sha256> sha256_from_hex(std::string_view hex);  // nothing: it is not such

// The time it takes says nothing about where the two differ.
bool equal_in_constant_time(const Sha256& a, const Sha256& b);

}  // namespace brisk::http
