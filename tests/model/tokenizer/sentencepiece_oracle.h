// Google's SentencePiece library, where it is installed, behind an interface without its headers:
// they declare an absl of their own, which must not meet the real one in a source file.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace brisk {

class SentencePieceOracle {
 public:
  // Null when the library is not there.
  static std::unique_ptr<SentencePieceOracle> load(std::string_view model);
  virtual ~SentencePieceOracle() = default;
  virtual std::vector<int> encode(std::string_view text) const = 0;
  virtual std::string decode(const std::vector<int>& ids) const = 0;
};

// Trains a model with the library's own command-line arguments ("--vocab_size=..."). Empty when the
// library is not there or refuses.
std::string train_sentencepiece(const std::string& arguments,
                                const std::vector<std::string>& sentences);

}  // namespace brisk
