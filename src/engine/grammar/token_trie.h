// A vocabulary as a trie of bytes, laid out in preorder: a walk over it meets every beginning of
// every token once, and what lies below a node is one range of nodes and of tokens.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace brisk {

// Immutable; any thread.
class TokenTrie {
 public:
  struct Node {
    int32_t end = 0;             // the first node after those below
    int32_t first_token = 0;     // of tokens(): those of this node, then those below
    uint16_t depth = 0;          // bytes from the root
    uint8_t byte = 0;            // the last of them
    bool is_plain_below = true;  // all bytes of what lies below are plain text (automaton.h)
  };

  // `tokens`: the bytes of every id. Tokens without bytes, and those of more than kTokenBytesMax,
  // are in no text.
  explicit TokenTrie(std::vector<std::string> tokens);
  static constexpr size_t kTokenBytesMax = 4096;

  int32_t vocab_size() const { return static_cast<int32_t>(bytes_.size()); }
  // Empty for ids that are in no text.
  std::string_view bytes_of(int32_t token) const;

  int32_t node_count() const { return static_cast<int32_t>(nodes_.size()) - 1; }
  const Node& node(int32_t at) const { return nodes_[static_cast<size_t>(at)]; }  // 0: the root
  bool has_children(int32_t at) const { return node(at).end > at + 1; }
  std::span<const int32_t> tokens_at(int32_t at) const { return range(at, at + 1); }
  std::span<const int32_t> tokens_within(int32_t at) const { return range(at, node(at).end); }
  int32_t depth_max() const { return depth_max_; }

 private:
  std::span<const int32_t> range(int32_t from, int32_t to) const {
    const auto begin = static_cast<size_t>(node(from).first_token);
    return std::span(tokens_).subspan(begin, static_cast<size_t>(node(to).first_token) - begin);
  }
  void close(std::vector<int32_t>* path, size_t depth);

  std::vector<std::string> bytes_;  // (vocabulary)
  std::vector<int32_t> tokens_;     // those with bytes, in the order of them
  std::vector<Node> nodes_;         // and one more after the last
  int32_t depth_max_ = 0;
};

}  // namespace brisk
