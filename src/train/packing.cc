#include "train/packing.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/rng.h"

namespace brisk::train {
namespace {

constexpr size_t kLookAhead = 128;  // pieces among which one that fits is looked for

}  // namespace

int64_t Batch::learned() const {
  return std::count_if(targets.begin(), targets.end(), [](int32_t target) { return target >= 0; });
}

PackedStream::PackedStream(const Corpus& corpus, const PackingOptions& options)
    : corpus_(corpus), options_(options) {
  BRISK_CHECK(!corpus.documents().empty());
  BRISK_CHECK(options.length >= 1);
  pack();
}

// The epoch in its order: each source's documents as often as its weight says, the part of a pass
// by lot. Documents are cut first and shuffled then: a book among stories must not make a hundred
// steps of its own, in which all else is forgotten.
std::vector<PackedStream::Piece> PackedStream::order() const {
  const std::vector<Document>& documents = corpus_.documents();
  std::vector<Piece> order;
  Rng rng(options_.seed, 1 + static_cast<uint64_t>(position_.epoch));
  for (uint32_t i = 0; i < documents.size(); ++i) {
    if (!options_.shuffle) {
      cut(documents[i], &order);
      continue;
    }
    const double weight = corpus_.sources()[documents[i].source].weight;
    const double whole = std::floor(weight);
    const int64_t times =
        static_cast<int64_t>(whole) + (rng.next_uniform() < weight - whole ? 1 : 0);
    for (int64_t time = 0; time < times; ++time) cut(documents[i], &order);
  }
  if (order.empty()) cut(documents[0], &order);
  if (!options_.shuffle) return order;
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.next_below(i)]);
  return order;
}

// Appends the pieces of a document that fit into a sequence each.
void PackedStream::cut(const Document& document, std::vector<Piece>* pieces) const {
  const auto length = static_cast<uint64_t>(options_.length);
  for (uint64_t at = 0; at < document.length; at += length) {
    const auto taken = static_cast<uint32_t>(std::min(length, document.length - at));
    // A last token alone has nothing to predict.
    if (taken == 1 && at + taken == document.length) break;
    pieces->push_back(
        {document.begin + at, taken, at + taken < document.length, document.is_text != 0});
  }
}

void PackedStream::pack() {
  const std::vector<Piece> order = this->order();
  const auto length = static_cast<uint64_t>(options_.length);
  pieces_.clear();
  first_piece_ = {0};
  std::vector<Piece> waiting;  // in order; at most kLookAhead
  size_t next = 0;
  const auto refill = [&] {
    while (next < order.size() && waiting.size() < kLookAhead) waiting.push_back(order[next++]);
  };
  for (refill(); !waiting.empty(); refill()) {
    uint64_t room = length;
    while (room > 0) {
      refill();
      const auto fits = std::find_if(waiting.begin(), waiting.end(),
                                     [&](const Piece& piece) { return piece.length <= room; });
      if (fits == waiting.end()) break;
      room -= fits->length;
      pieces_.push_back(*fits);
      waiting.erase(fits);
    }
    if (room * 8 > length && room > 1 && !waiting.empty() && waiting.front().is_text) {
      Piece& cut = waiting.front();
      pieces_.push_back({cut.begin, static_cast<uint32_t>(room), true, true});
      cut.begin += room;
      cut.length -= static_cast<uint32_t>(room);
      if (cut.length == 1 && !cut.goes_on) waiting.erase(waiting.begin());
    }
    first_piece_.push_back(pieces_.size());
  }
}

void PackedStream::put(Batch& batch, int64_t row, const Piece& piece, int64_t at) const {
  for (uint32_t i = 0; i < piece.length; ++i) {
    const auto slot = static_cast<size_t>(row * batch.length + at + i);
    const uint64_t token = piece.begin + i;
    batch.tokens[slot] = corpus_.token(token);
    batch.positions[slot] = static_cast<int32_t>(i);
    batch.starts[slot] = static_cast<int32_t>(at);
    batch.origins[slot] = token + 1;
    const bool has_next = i + 1 < piece.length || piece.goes_on;
    if (has_next && corpus_.is_learned(token + 1)) batch.targets[slot] = corpus_.token(token + 1);
  }
}

Batch PackedStream::next(int64_t sequences) {
  if (!options_.shuffle) {
    sequences = std::min(sequences, sequences_in_epoch() - position_.sequence);
  }
  Batch batch;
  batch.sequences = sequences;
  batch.length = options_.length;
  const auto slots = static_cast<size_t>(sequences * options_.length);
  batch.tokens.assign(slots, 0);
  batch.positions.assign(slots, 0);
  batch.starts.assign(slots, 0);
  batch.targets.assign(slots, -1);
  batch.origins.assign(slots, 0);
  for (int64_t row = 0; row < sequences; ++row) {
    const auto sequence = static_cast<size_t>(position_.sequence);
    int64_t at = 0;
    for (size_t i = first_piece_[sequence]; i < first_piece_[sequence + 1]; ++i) {
      put(batch, row, pieces_[i], at);
      at += pieces_[i].length;
    }
    // Padding sees itself alone.
    for (; at < options_.length; ++at) {
      batch.starts[static_cast<size_t>(row * options_.length + at)] = static_cast<int32_t>(at);
    }
    if (++position_.sequence == sequences_in_epoch() && options_.shuffle) {
      seek({position_.epoch + 1, 0});
    }
  }
  return batch;
}

void PackedStream::seek(StreamPosition position) {
  const bool same_epoch = position.epoch == position_.epoch;
  position_ = position;
  if (!same_epoch) pack();
  BRISK_CHECK(position_.sequence <= sequences_in_epoch());
}

double PackedStream::fill() const {
  uint64_t tokens = 0;
  for (const Piece& piece : pieces_) tokens += piece.length;
  return static_cast<double>(tokens) / static_cast<double>(sequences_in_epoch() * options_.length);
}

}  // namespace brisk::train
