// Documents as the windows of tokens that a model is run over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace brisk {

// Tokens from `first` on are predicted, each given all before it in the window.
struct Window {
  std::vector<int32_t> tokens;
  int64_t first = 1;  // at least 1, less than the size
};

struct WindowSizes {
  int64_t context = 2048;  // tokens of a window, its BOS included; at least 2
  int64_t stride = 0;      // by how many tokens one begins after the other; 0: by all it holds
  int32_t bos = -1;        // what every window begins with; -1: nothing
};

// Cuts one document. Every token is predicted once, by the first window that reaches it, as in
// Hugging Face's "Perplexity of fixed-length models"; without BOS a window that overlaps none
// before it does not predict its first token.
class WindowCutter {
 public:
  // `tokens` must outlive this.
  WindowCutter(std::span<const int32_t> tokens, const WindowSizes& sizes);

  // The next window that predicts something; false at the end.
  bool next(Window* window);

 private:
  const std::span<const int32_t> tokens_;
  const int32_t bos_;
  const size_t room_;    // tokens of the document in a window
  const size_t stride_;  // at most room_
  size_t begin_ = 0;     // of the next window
  size_t done_ = 0;      // tokens that windows have reached
};

}  // namespace brisk
