#include "engine/grammar/token_trie.h"

#include <algorithm>
#include <utility>

#include "engine/grammar/automaton.h"

namespace brisk {

TokenTrie::TokenTrie(std::vector<std::string> tokens) : bytes_(std::move(tokens)) {
  for (size_t i = 0; i < bytes_.size(); ++i) {
    if (bytes_[i].size() > kTokenBytesMax) bytes_[i].clear();
    if (!bytes_[i].empty()) tokens_.push_back(static_cast<int32_t>(i));
  }
  const auto text_of = [this](int32_t token) -> const std::string& {
    return bytes_[static_cast<size_t>(token)];
  };
  std::ranges::sort(tokens_, [&](int32_t a, int32_t b) {
    const int order = text_of(a).compare(text_of(b));
    return order < 0 || (order == 0 && a < b);
  });

  nodes_.push_back({});
  std::vector<int32_t> path{0};  // the nodes of the last token
  std::string_view last;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const std::string_view text = text_of(tokens_[i]);
    const auto shared = std::ranges::mismatch(text, last).in1 - text.begin();
    close(&path, static_cast<size_t>(shared) + 1);
    for (auto depth = static_cast<size_t>(shared); depth < text.size(); ++depth) {
      path.push_back(static_cast<int32_t>(nodes_.size()));
      nodes_.push_back({.first_token = static_cast<int32_t>(i),
                        .depth = static_cast<uint16_t>(depth + 1),
                        .byte = static_cast<uint8_t>(text[depth])});
    }
    depth_max_ = std::max(depth_max_, static_cast<int32_t>(text.size()));
    last = text;
  }
  close(&path, 0);
  nodes_.push_back({.first_token = static_cast<int32_t>(tokens_.size())});
}

// The last nodes of `path` get no more below them.
void TokenTrie::close(std::vector<int32_t>* path, size_t depth) {
  while (path->size() > depth) {
    Node& node = nodes_[static_cast<size_t>(path->back())];
    path->pop_back();
    node.end = static_cast<int32_t>(nodes_.size());
    if (path->empty()) continue;
    Node& above = nodes_[static_cast<size_t>(path->back())];
    above.is_plain_below &= node.is_plain_below && is_plain_text_byte(node.byte);
  }
}

std::string_view TokenTrie::bytes_of(int32_t token) const {
  if (token < 0 || token >= vocab_size()) return {};
  return bytes_[static_cast<size_t>(token)];
}

}  // namespace brisk
