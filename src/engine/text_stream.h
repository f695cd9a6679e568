// From the token events of one choice to its text: whole characters only, and nothing that might
// still turn out to be the beginning of a stop string. Used by the server and the command line.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/request.h"
#include "model/tokenizer/tokenizer.h"

namespace brisk {

inline constexpr int kStopStringsMax = 16;
inline constexpr int kStopStringBytesMax = 1024;

// Strings that end a choice, prepared for matching (Knuth, Morris, Pratt 1977). Immutable.
class StopStrings {
 public:
  // Errors: InvalidArgument when there are too many, or one is empty or too long.
  static absl::StatusOr<std::shared_ptr<const StopStrings>> create(
      std::vector<std::string> strings);

  // How far each of the strings has been matched by the text so far.
  class Matcher {
   public:
    explicit Matcher(std::shared_ptr<const StopStrings> strings);
    // Takes one more byte. The bytes of the longest string that ends with it; 0: none does.
    // After a match nothing more may be pushed.
    int push(char byte);
    // The last so many bytes could be the beginning of a string.
    int bytes_open() const;

   private:
    std::shared_ptr<const StopStrings> strings_;  // may be null: no strings
    std::vector<int> matched_;                    // (strings) bytes of each
  };

 private:
  struct Pattern {
    std::string text;
    std::vector<int> border;  // [n]: longest proper prefix of text[0..n) that also ends it
  };
  std::vector<Pattern> patterns_;
};

struct TextStreamOptions {
  std::shared_ptr<const StopStrings> stops = nullptr;  // may be null
  bool include_stop = false;  // the stop string or stop token is part of the text
  bool special = false;       // control tokens are spelled out
  bool first = false;         // nothing but control tokens comes before (see TextDecoder)
  bool keep_tokens = false;   // deltas list their tokens, for log-probabilities
  int min_tokens = 0;         // stop strings are not looked for in the text of the first so many
};

// A token and where its text begins, in characters from the beginning of the choice's text.
struct TextToken {
  int32_t token = -1;
  float logprob = 0;
  std::vector<TokenLogprob> top;
  int64_t text_offset = 0;
};

struct TextDelta {
  std::string text;
  std::vector<TextToken> tokens;  // those whose whole text has come out by now
  bool empty() const { return text.empty() && tokens.empty(); }
};

// One choice. One thread at a time. Takes time linear in the text.
class TextStream {
 public:
  // `tokenizer` must outlive this.
  TextStream(const Tokenizer& tokenizer, TextStreamOptions options);

  // Takes the next event of the choice; ignored once it has finished. The token that finishes with
  // kStop adds nothing unless `include_stop`.
  void push(const TokenEvent& event);

  // What has been decided since the last call.
  TextDelta take();

  // Why the choice ended; kStop also for a stop string. Empty: it goes on.
  std::optional<FinishReason> finish() const { return finish_; }
  // A stop string has ended it: the engine does not know yet, so cancel the choice.
  bool hit_stop_string() const { return hit_stop_string_; }
  const std::string& stop_string() const { return stop_string_; }  // that one; or empty
  // Tokens taken, with the one that stopped. What came after a stop string does not count.
  int tokens() const { return tokens_; }
  // Of those tokens, where the request asked for log-probabilities.
  double logprob_sum() const { return logprob_sum_; }

 private:
  struct Pending {
    TextToken token;
    int64_t begin = 0;  // bytes of the whole text
    int64_t end = 0;
  };

  void append(std::string_view text);
  void cut(int64_t end);

  // Constant after construction
  const TextStreamOptions options_;

  TextDecoder decoder_;
  StopStrings::Matcher matcher_;
  std::string pending_;  // appended but not taken
  std::deque<Pending> tokens_pending_;
  int64_t bytes_ = 0;       // appended in all
  int64_t characters_ = 0;  // appended in all
  int tokens_ = 0;
  double logprob_sum_ = 0;
  std::optional<FinishReason> finish_;
  bool hit_stop_string_ = false;
  std::string stop_string_;
};

// Whether a text that continues `prompt` is the first one: the prompt holds control tokens only.
bool begins_text(const Tokenizer& tokenizer, std::span<const int32_t> prompt);

}  // namespace brisk
