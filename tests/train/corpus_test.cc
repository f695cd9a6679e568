// What is learned from which file, and in which order.
#include "train/corpus.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/status.h"
#include "tests/train/small_run.h"

namespace brisk::train {
namespace {

struct Reading {
  TestDirectory directory{"corpus"};
  RunTokenizer tokenizer = open_tokenizer(write_byte_tokenizer(directory), "").value();

  absl::StatusOr<Corpus> read(const std::vector<DataSource>& sources, bool learn_prompts = false) {
    const auto chat = ChatTemplate::parse(tokenizer.chat_template).value();
    return Corpus::read(sources, {.tokenizer = tokenizer.tokenizer.get(),
                                  .chat_template = chat.get(),
                                  .learn_prompts = learn_prompts,
                                  .on_progress = nullptr});
  }

  absl::StatusOr<Corpus> read(const std::string& name, const std::string& text) {
    return read({{.path = directory.write(name, text)}});
  }

  // What is learned, as text.
  std::string learned(const Corpus& corpus) const {
    std::vector<int32_t> tokens;
    for (uint64_t i = 0; i < corpus.tokens(); ++i) {
      if (corpus.is_learned(i)) tokens.push_back(corpus.token(i));
    }
    return tokenizer.tokenizer->decode(tokens, /*special=*/true);
  }
};

TEST(Corpus, LearnsWhatTheAssistantSaysAndTheEndOfItsTurn) {
  Reading reading;
  const std::string line =
      R"({"task": 1, "messages": [{"role": "system", "content": "Be brief."},)"
      R"({"role": "user", "content": "one"}, {"role": "assistant", "content": "ONE"},)"
      R"({"role": "user", "content": "two"}, {"role": "assistant", "content": "TWO"}]})";
  const Corpus corpus = reading.read("chat.jsonl", line + "\n").value();
  ASSERT_EQ(corpus.documents().size(), 1u);
  EXPECT_EQ(reading.learned(corpus), "ONE<|im_end|>TWO<|im_end|>");
  std::vector<int32_t> all;
  for (uint64_t i = 0; i < corpus.tokens(); ++i) all.push_back(corpus.token(i));
  EXPECT_TRUE(reading.tokenizer.tokenizer->decode(all, true).starts_with(
      "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\none<|im_end|>\n"
      "<|im_start|>assistant\nONE<|im_end|>\n<|im_start|>user\n"));
}

TEST(Corpus, LearnsAllOfATextAndWhereItEnds) {
  Reading reading;
  const Corpus corpus =
      reading.read("two.txt", "first one\n<|endoftext|>\nsecond\n<|endoftext|>\n").value();
  EXPECT_EQ(corpus.documents().size(), 2u);
  EXPECT_EQ(reading.learned(corpus), "first one<|endoftext|>second<|endoftext|>");
}

TEST(Corpus, SaysWhichLineIsWrong) {
  Reading reading;
  const auto message = [&](const std::string& text) {
    return std::string(message_of(reading.read("bad.jsonl", text).status()));
  };
  EXPECT_NE(message("{\"text\": \"a b\"}\nnot json\n").find("line 2"), std::string::npos);
  EXPECT_NE(message("{\"txt\": \"a b\"}\n").find("\"text\""), std::string::npos);
  EXPECT_NE(message("{\"messages\": []}\n").find("assistant"), std::string::npos);
  EXPECT_NE(message("\n\n").find("nothing to learn"), std::string::npos);
}

TEST(DataSource, HasAWeightBehindAColon) {
  EXPECT_EQ(parse_data_source("a/b.jsonl")->weight, 1);
  EXPECT_EQ(parse_data_source("a/b.jsonl:2.5")->weight, 2.5);
  EXPECT_EQ(parse_data_source("a/b.jsonl:2.5")->path, "a/b.jsonl");
  EXPECT_EQ(parse_data_source("c:name")->path, "c:name");
  EXPECT_FALSE(parse_data_source("a:0").ok());
}

TEST(PackedStream, EveryDocumentComesOnceAnEpochAndConversationsWhole) {
  SmallTraining training(TestDirectory("packing"));
  const Corpus& corpus = *training.corpus;
  PackedStream& stream = *training.stream;
  const Batch batch = stream.next(stream.sequences_in_epoch());
  EXPECT_EQ(stream.position().epoch, 1);
  EXPECT_EQ(batch.learned(), static_cast<int64_t>(corpus.learned_tokens()));
  std::set<uint64_t> origins;
  for (size_t i = 0; i < batch.targets.size(); ++i) {
    if (batch.targets[i] < 0) continue;
    EXPECT_TRUE(origins.insert(batch.origins[i]).second) << "learned twice";
    EXPECT_EQ(batch.targets[i], corpus.token(batch.origins[i]));
  }
  EXPECT_GT(stream.fill(), 0.7);
}

TEST(PackedStream, SeekingGivesWhatWouldHaveCome) {
  SmallTraining training(TestDirectory("seek"));
  PackedStream& stream = *training.stream;
  stream.next(stream.sequences_in_epoch() + 3);
  const StreamPosition position = stream.position();
  const Batch next = stream.next(5);
  PackedStream other(*training.corpus, {.length = 64, .seed = 3});
  other.seek(position);
  EXPECT_EQ(other.next(5).tokens, next.tokens);
  PackedStream reseeded(*training.corpus, {.length = 64, .seed = 4});
  reseeded.seek(position);
  EXPECT_NE(reseeded.next(5).tokens, next.tokens);
}

TEST(PackedStream, TextsLongerThanASequenceGoOnInTheNext) {
  Reading reading;
  const Corpus corpus = reading.read("long.txt", std::string(150, 'x')).value();
  PackedStream stream(corpus, {.length = 64, .shuffle = false});
  const Batch batch = stream.next(10);
  EXPECT_EQ(batch.sequences, 3);
  EXPECT_EQ(batch.learned(), 150)
      << "150 letters and the end, less the first, which nothing predicts";
}

TEST(PackedStream, ABookIsSpreadAmongShortDocuments) {
  Reading reading;
  std::string short_ones;
  for (int i = 0; i < 400; ++i) short_ones += fmt::format("{{\"text\": \"short {}\"}}\n", i);
  const std::string book(64 * 100, 'b');  // as many sequences as the others, about
  const Corpus corpus = reading
                            .read({{.path = reading.directory.write("short.jsonl", short_ones)},
                                   {.path = reading.directory.write("book.txt", book)}})
                            .value();
  PackedStream stream(corpus, {.length = 64, .seed = 1});
  const int32_t letter = corpus.token(corpus.documents().back().begin);
  int64_t run = 0, longest = 0;  // of sequences that hold nothing but the book
  for (int64_t i = 0; i < stream.sequences_in_epoch(); ++i) {
    const Batch batch = stream.next(1);
    const bool only_book =
        std::ranges::all_of(batch.tokens, [letter](int32_t token) { return token == letter; });
    run = only_book ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  EXPECT_GT(longest, 0);
  EXPECT_LT(longest, 50) << "the book comes in one go";
}

TEST(PackedStream, WeightsArePassesOverAFile) {
  Reading reading;
  const std::string path = reading.directory.write("a.txt", "one text");
  const std::string other = reading.directory.write("b.txt", "another text");
  const Corpus corpus = reading.read({{path, 3}, {other, 1}}).value();
  PackedStream stream(corpus, {.length = 64, .seed = 1});
  const Batch batch = stream.next(stream.sequences_in_epoch());
  std::map<uint64_t, int> times;
  for (size_t i = 0; i < batch.targets.size(); ++i) {
    if (batch.targets[i] >= 0) ++times[batch.origins[i]];
  }
  EXPECT_EQ(times[1], 3);
  EXPECT_EQ(times[corpus.documents()[1].begin + 1], 1);
}

TEST(LearningRate, RisesThenFallsAlongACosine) {
  const OptimizerSettings settings = {
      .learning_rate = 1, .learning_rate_end = 0.1, .warmup_steps = 10, .steps = 110};
  EXPECT_DOUBLE_EQ(learning_rate_at(settings, 5), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate_at(settings, 10), 1);
  EXPECT_NEAR(learning_rate_at(settings, 60), 0.55, 1e-12);
  EXPECT_NEAR(learning_rate_at(settings, 110), 0.1, 1e-12);
}

}  // namespace
}  // namespace brisk::train
