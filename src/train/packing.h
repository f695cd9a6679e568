// Documents packed into sequences of one length, in an order that depends on a seed alone: so that
// a run that is resumed goes on with the very next batch.
#pragma once

#include <cstdint>
#include <vector>

#include "train/corpus.h"

namespace brisk::train {

// (sequences, length), row by row.
struct Batch {
  int64_t sequences = 0;
  int64_t length = 0;
  std::vector<int32_t> tokens;
  std::vector<int32_t> positions;  // within their document
  std::vector<int32_t> starts;     // where in its sequence a token's document begins
  std::vector<int32_t> targets;    // the token that comes next, or -1: nothing is learned here
  std::vector<uint64_t> origins;   // where in the corpus the token that comes next is

  int64_t learned() const;
};

struct PackingOptions {
  int64_t length = 256;  // of a sequence
  uint64_t seed = 1;
  bool shuffle = true;  // else documents in the corpus's order, each once: for validation
};

// Where a stream is: everything that must be remembered to resume it.
struct StreamPosition {
  int64_t epoch = 0;
  int64_t sequence = 0;  // of the epoch, that comes next
};

// Endless batches of a corpus, epoch after epoch. Documents that are longer than a sequence are
// cut; conversations never are otherwise, texts are where padding would take more than an eighth.
class PackedStream {
 public:
  // `corpus` must outlive this, and have documents.
  PackedStream(const Corpus& corpus, const PackingOptions& options);

  // The next `sequences` of them. The last of an epoch that is not shuffled may have fewer.
  Batch next(int64_t sequences);

  StreamPosition position() const { return position_; }
  void seek(StreamPosition position);
  int64_t sequences_in_epoch() const { return static_cast<int64_t>(first_piece_.size()) - 1; }
  int64_t sequence_length() const { return options_.length; }
  // Tokens of an epoch that are documents', of all that there is room for.
  double fill() const;

 private:
  // Tokens of a document that lie together in a sequence.
  struct Piece {
    uint64_t begin = 0;
    uint32_t length = 0;
    bool goes_on = false;  // the document has a token behind it
    bool is_text = true;   // it may be cut
  };

  void pack();
  std::vector<Piece> order() const;
  void cut(const Document& document, std::vector<Piece>* pieces) const;
  void put(Batch& batch, int64_t row, const Piece& piece, int64_t at) const;

  const Corpus& corpus_;
  const PackingOptions options_;
  StreamPosition position_;
  std::vector<Piece> pieces_;        // of the epoch
  std::vector<size_t> first_piece_;  // (sequences + 1)
};

}  // namespace brisk::train
