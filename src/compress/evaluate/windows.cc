#include "compress/evaluate/windows.h"

#include <algorithm>

namespace brisk {

WindowCutter::WindowCutter(std::span<const int32_t> tokens, const WindowSizes& sizes)
    : tokens_(tokens),
      bos_(sizes.bos),
      room_(static_cast<size_t>(sizes.context) - (sizes.bos >= 0 ? 1 : 0)),
      stride_(sizes.stride > 0 ? std::min(static_cast<size_t>(sizes.stride), room_) : room_) {}

bool WindowCutter::next(Window* window) {
  while (done_ < tokens_.size()) {
    const size_t begin = begin_, end = std::min(begin + room_, tokens_.size());
    const size_t given = done_ - begin + (bos_ >= 0 ? 1 : 0);
    window->tokens.clear();
    if (bos_ >= 0) window->tokens.push_back(bos_);
    window->tokens.insert(window->tokens.end(), tokens_.begin() + static_cast<ptrdiff_t>(begin),
                          tokens_.begin() + static_cast<ptrdiff_t>(end));
    window->first = static_cast<int64_t>(std::max<size_t>(given, 1));
    begin_ += stride_;
    done_ = end;
    if (window->first < static_cast<int64_t>(window->tokens.size())) return true;
  }
  return false;
}

}  // namespace brisk
