// Tokenizer files: whatever the bytes, reading them ends with an error or with a tokenizer that
// encodes and decodes anything. The first bytes of the input are a text, the rest is the file.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>

#include "model/tokenizer/read_tokenizer.h"
#include "model/tokenizer/tokenizer.h"

namespace {

constexpr size_t kTextBytesMax = 64;

void must(bool fact) {
  if (!fact) std::abort();
}

void use(const brisk::Tokenizer& tokenizer, std::string_view text) {
  for (const bool special : {false, true}) {
    const std::vector<int32_t> ids =
        tokenizer.encode(text, {.add_special = special, .parse_special = special});
    std::string joined;
    brisk::TextDecoder decoder(tokenizer, true, special);
    for (const int32_t id : ids) {
      must(id >= 0 && id < tokenizer.vocab_size());
      joined += decoder.push(id);
    }
    joined += decoder.finish();
    must(joined.size() <= 3 * tokenizer.decode(ids, special).size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (input.empty()) return 0;
  const size_t text_size = static_cast<uint8_t>(input[0]) % kTextBytesMax;
  const std::string_view text = input.substr(1, text_size);
  const std::string_view file = input.substr(std::min(input.size(), 1 + text_size));
  auto read = brisk::read_tokenizer_bytes(file);
  if (!read.ok()) {
    must(!read.status().message().empty());
    return 0;
  }
  const auto tokenizer = brisk::Tokenizer::create(std::move(*read));
  if (tokenizer.ok()) use(**tokenizer, text);
  return 0;
}
