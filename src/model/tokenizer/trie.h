// A set of byte strings with a value each, for finding those that a text begins with.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace brisk {

// Immutable after construction; any thread may call it.
class Trie {
 public:
  using Entry = std::pair<std::string_view, int32_t>;

  struct Match {
    size_t size = 0;  // bytes; 0: nothing matches
    int32_t value = -1;
  };

  Trie() = default;

  // Empty strings are left out; of equal strings the first one counts. Values are >= 0.
  explicit Trie(std::vector<Entry> entries);

  bool empty() const { return nodes_.empty(); }

  // Whether any string starts with `byte`: lets a search skip most positions.
  bool may_start(char byte) const { return root_[static_cast<uint8_t>(byte)] != 0; }

  // The longest string that `text` begins with.
  Match longest_prefix(std::string_view text) const;

  // Calls found(size, value) for every string that `text` begins with, shortest first.
  template <class Found>
  void for_each_prefix(std::string_view text, Found found) const {
    uint32_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      node = child(node, static_cast<uint8_t>(text[i]));
      if (node == 0) return;
      if (nodes_[node].value >= 0) found(i + 1, nodes_[node].value);
    }
  }

 private:
  // Children of a node lie side by side, ordered by label. Node 0 is the root, which is nobody's
  // child, so that 0 also says "none".
  struct Node {
    uint32_t first_child = 0;
    int32_t value = -1;
    uint16_t child_count = 0;
    uint8_t label = 0;
  };

  uint32_t child(uint32_t node, uint8_t label) const;

  std::vector<Node> nodes_;
  std::array<uint32_t, 256> root_{};
};

}  // namespace brisk
