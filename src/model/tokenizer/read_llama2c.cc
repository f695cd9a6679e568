#include <bit>
#include <cstring>
#include <utility>

#include "base/status.h"
#include "model/tokenizer/tokenizer_files.h"
#include "model/tokenizer/vocabulary.h"

namespace brisk {
namespace {

constexpr uint32_t kTokenBytesMax = 1024;
constexpr size_t kTokensMax = size_t{1} << 22;
constexpr size_t kFirstByteToken = 3;

// Little-endian numbers from the front of a file.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  bool at_end() const { return rest_.empty(); }

  bool read_u32(uint32_t* value) {
    if (rest_.size() < 4) return false;
    *value = 0;
    for (size_t i = 4; i-- > 0;) *value = *value << 8 | static_cast<uint8_t>(rest_[i]);
    rest_.remove_prefix(4);
    return true;
  }

  bool read_text(uint32_t size, std::string_view* text) {
    if (rest_.size() < size) return false;
    *text = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }

 private:
  std::string_view rest_;
};

// The file has spaces where SentencePiece has U+2581.
std::string with_visible_spaces(std::string_view text) {
  std::string visible;
  for (const char c : text) {
    if (c == ' ') {
      visible.append(kSpaceSymbol);
    } else {
      visible.push_back(c);
    }
  }
  return visible;
}

// llama2.c's exporter knows the first three tokens by their places and writes the markers with
// newlines around them.
void name_special_tokens(TokenizerData* data) {
  data->tokens[0] = "<unk>";
  data->tokens[1] = "<s>";
  data->tokens[2] = "</s>";
  data->types[0] = TokenType::kUnknown;
  data->types[1] = data->types[2] = TokenType::kControl;
  for (size_t byte = 0; byte < 256 && kFirstByteToken + byte < data->tokens.size(); ++byte) {
    const size_t id = kFirstByteToken + byte;
    if (data->tokens[id] == fmt::format("<0x{:02X}>", byte)) data->types[id] = TokenType::kByte;
  }
  data->rules.unknown = 0;
  data->rules.bos = 1;
  data->rules.eos = 2;
  data->rules.add_bos = true;
}

}  // namespace

bool looks_like_llama2c(std::string_view bytes) {
  Reader reader(bytes);
  uint32_t longest = 0;
  uint32_t score = 0;
  uint32_t size = 0;
  std::string_view text;
  return reader.read_u32(&longest) && longest >= 1 && longest <= kTokenBytesMax &&
         reader.read_u32(&score) && reader.read_u32(&size) && size >= 1 && size <= longest &&
         reader.read_text(size, &text) && text == "<unk>";
}

absl::StatusOr<TokenizerData> read_llama2c(std::string_view bytes) {
  TokenizerData data;
  data.kind = TokenizerKind::kSentencePieceBpe;
  Reader reader(bytes);
  uint32_t longest = 0;
  if (!reader.read_u32(&longest)) return invalid_input("a llama2.c tokenizer without a header");
  while (!reader.at_end()) {
    const size_t id = data.tokens.size();
    uint32_t score = 0;
    uint32_t size = 0;
    std::string_view text;
    if (id == kTokensMax) {
      return invalid_input("a llama2.c tokenizer of more than {} tokens", kTokensMax);
    }
    if (!reader.read_u32(&score) || !reader.read_u32(&size) || !reader.read_text(size, &text)) {
      return invalid_input("a llama2.c tokenizer that is cut off in token {}", id);
    }
    // The markers' newlines do not count towards the header's maximum.
    if (size > longest + 2 && id >= kFirstByteToken) {
      return invalid_input("a llama2.c tokenizer whose token {} has {} bytes, more than {}", id,
                           size, longest);
    }
    data.tokens.push_back(with_visible_spaces(text));
    data.scores.push_back(std::bit_cast<float>(score));
    data.types.push_back(TokenType::kNormal);
  }
  if (data.tokens.size() <= kFirstByteToken) {
    return invalid_input("a llama2.c tokenizer of {} tokens", data.tokens.size());
  }
  name_special_tokens(&data);
  return data;
}

}  // namespace brisk
