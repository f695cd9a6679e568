#include "compress/calibrate/windows.h"

#include <algorithm>

#include "base/status.h"

namespace brisk {
namespace {

// Of text that is tokenised: what no calibration will ever need is not read.
constexpr size_t kTextBytesMax = size_t{64} << 20;

// All documents as one stream of tokens.
absl::StatusOr<std::vector<int32_t>> stream_of(const Model& model,
                                               const std::vector<Document>& documents) {
  BRISK_ASSIGN_OR_RETURN(const DocumentEncoder encoder, DocumentEncoder::create(model, documents));
  const int32_t bos = model.tokenizer->rules().bos;
  std::vector<int32_t> stream;
  size_t left = kTextBytesMax;
  for (const Document& document : documents) {
    if (bos >= 0) stream.push_back(bos);
    // Cut, a text ends within a character: a byte token or two.
    BRISK_ASSIGN_OR_RETURN(const std::vector<int32_t> tokens, encoder.encode(document, left));
    stream.insert(stream.end(), tokens.begin(), tokens.end());
    left -= std::min(left, document.text.size());
    if (left == 0) break;
  }
  for (const int32_t token : stream) {
    if (token < model.spec.vocab_size) continue;
    return invalid_input(
        "the tokenizer gives token {}, but the model has {} of them: it belongs to another model",
        token, model.spec.vocab_size);
  }
  return stream;
}

}  // namespace

absl::StatusOr<TokenWindows> calibration_windows(const Model& model,
                                                 const std::vector<Document>& documents,
                                                 const CalibrationOptions& options) {
  BRISK_ASSIGN_OR_RETURN(const std::vector<int32_t> stream, stream_of(model, documents));
  const int32_t bos = model.tokenizer->rules().bos;
  const int64_t size =
      std::min<int64_t>(options.window_tokens, model.spec.context_length) - (bos >= 0 ? 1 : 0);
  if (size < 1 || stream.empty()) return invalid_input("the calibration text has no tokens");
  const int64_t available = (std::ssize(stream) + size - 1) / size;
  const int64_t count = std::min(available, std::max<int64_t>(options.windows_max, 1));
  TokenWindows windows;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t begin = i * available / count * size;
    const int64_t end = std::min<int64_t>(begin + size, std::ssize(stream));
    std::vector<int32_t>& window = windows.emplace_back();
    if (bos >= 0 && stream[static_cast<size_t>(begin)] != bos) window.push_back(bos);
    window.insert(window.end(), stream.begin() + begin, stream.begin() + end);
  }
  return windows;
}

int64_t token_count(const TokenWindows& windows) {
  int64_t count = 0;
  for (const auto& window : windows) count += std::ssize(window);
  return count;
}

}  // namespace brisk
