// Beam search against plain ones that keep every answer as a vector, and through the engine.
#include "engine/beam_search.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <functional>
#include <thread>

#include "base/rng.h"
#include "engine/engine.h"
#include "tests/support/small_model.h"

namespace brisk {
namespace {

using Tokens = std::vector<int32_t>;
// The likeliest tokens after those generated so far, descending.
using Likeliest = std::function<std::vector<TokenLogprob>(const Tokens&)>;

bool is_more_likely(const TokenLogprob& a, const TokenLogprob& b) {
  return a.logprob != b.logprob ? a.logprob > b.logprob : a.token < b.token;
}

// A random distribution over `vocab` tokens after every beginning.
Likeliest random_model(uint64_t seed, int vocab) {
  return [seed, vocab](const Tokens& tokens) {
    uint64_t key = seed;
    for (const int32_t token : tokens) key = key * 1'000'003 + static_cast<uint64_t>(token) + 1;
    Rng rng(key, 1);
    std::vector<TokenLogprob> all;
    double sum = 0;
    for (int token = 0; token < vocab; ++token) {
      const double weight = std::exp(4 * rng.next_uniform());
      sum += weight;
      all.push_back({.token = token, .logprob = static_cast<float>(weight)});
    }
    for (TokenLogprob& one : all) {
      one.logprob = static_cast<float>(std::log(static_cast<double>(one.logprob) / sum));
    }
    std::ranges::sort(all, is_more_likely);
    return all;
  };
}

struct Answer {
  Tokens tokens;
  double sum = 0;
  double score = 0;
};

bool is_end(const BeamSearchOptions& options, int32_t token) {
  return std::ranges::count(options.end_tokens, token) > 0;
}

double score_of(const BeamSearchOptions& options, const Answer& answer) {
  return answer.sum / std::pow(std::ssize(answer.tokens), options.length_penalty);
}

std::vector<Answer> best_of(std::vector<Answer> answers, int width) {
  std::ranges::stable_sort(answers, std::ranges::greater{}, &Answer::score);
  if (std::ssize(answers) > width) answers.resize(static_cast<size_t>(width));
  return answers;
}

// The same search without its early end, on whole answers.
std::vector<Answer> plain_search(const BeamSearchOptions& options, const Likeliest& likeliest) {
  std::vector<Answer> beams = {{}}, finished;
  for (int64_t step = 1; step <= options.tokens_max; ++step) {
    std::vector<Answer> all;
    for (const Answer& beam : beams) {
      std::vector<TokenLogprob> next = likeliest(beam.tokens);
      std::ranges::sort(next, {}, &TokenLogprob::token);
      for (const TokenLogprob& one : next) {
        Answer longer = beam;
        longer.tokens.push_back(one.token);
        longer.sum += static_cast<double>(one.logprob);
        all.push_back(longer);
      }
    }
    std::ranges::stable_sort(all, std::ranges::greater{}, &Answer::sum);
    beams.clear();
    for (Answer& one : all) {
      if (std::ssize(beams) == options.width) break;
      one.score = score_of(options, one);
      if (!is_end(options, one.tokens.back())) {
        beams.push_back(one);
      } else if (step > options.tokens_min) {
        finished.push_back(one);
      }
    }
  }
  finished.insert(finished.end(), beams.begin(), beams.end());
  return best_of(finished, options.width);
}

// Follows the parents and tokens that a search answers, as the scheduler does.
std::vector<BeamAnswer> run(const BeamSearchOptions& options, const Likeliest& likeliest) {
  BeamSearch search(options);
  std::vector<Tokens> beams(static_cast<size_t>(options.width));
  while (!search.done()) {
    std::vector<std::vector<TokenLogprob>> rows;
    for (const Tokens& beam : beams) {
      rows.push_back(likeliest(beam));
      if (std::ssize(rows.back()) > search.candidates()) {
        rows.back().resize(static_cast<size_t>(search.candidates()));
      }
    }
    search.advance(std::vector<std::span<const TokenLogprob>>(rows.begin(), rows.end()));
    const std::vector<Tokens> before = beams;
    for (size_t i = 0; i < beams.size(); ++i) {
      beams[i] = before[static_cast<size_t>(search.parents()[i])];
      beams[i].push_back(search.tokens()[i]);
    }
  }
  return search.answers();
}

Tokens tokens_of(const BeamAnswer& answer) {
  Tokens tokens;
  for (const BeamAnswer::Token& token : answer.tokens) tokens.push_back(token.token);
  return tokens;
}

TEST(BeamSearch, FindsWhatAPlainSearchFinds) {
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    Rng rng(seed, 2);
    const int vocab = 2 + static_cast<int>(rng.next_below(30));
    BeamSearchOptions options = {.width = 1 + static_cast<int>(rng.next_below(6)),
                                 .length_penalty = 3 * rng.next_uniform() - 1,
                                 .tokens_max = 1 + static_cast<int64_t>(rng.next_below(12))};
    options.tokens_min = static_cast<int>(
        rng.next_below(static_cast<uint64_t>(std::min<int64_t>(options.tokens_max, 3))));
    for (uint64_t ends = rng.next_below(3); ends > 0; --ends) {
      options.end_tokens.push_back(static_cast<int32_t>(ends));
    }
    const Likeliest model = random_model(seed, vocab);
    const std::vector<Answer> expected = plain_search(options, model);
    const std::vector<BeamAnswer> found = run(options, model);
    ASSERT_EQ(found.size(), expected.size()) << seed;
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(tokens_of(found[i]), expected[i].tokens) << seed << " answer " << i;
      EXPECT_DOUBLE_EQ(found[i].score, expected[i].score) << seed;
      EXPECT_EQ(found[i].has_ended, is_end(options, expected[i].tokens.back())) << seed;
    }
  }
}

TEST(BeamSearch, OfEveryBeginningFindsTheLikeliestAnswerOfAll) {
  constexpr int kVocab = 4, kLength = 4;
  const Likeliest model = random_model(7, kVocab);
  const BeamSearchOptions options = {.width = 256, .length_penalty = 0, .tokens_max = kLength};
  std::vector<Answer> all = {{}};
  for (int i = 0; i < kLength; ++i) {
    std::vector<Answer> longer;
    for (const Answer& one : all) {
      for (const TokenLogprob& next : model(one.tokens)) {
        longer.push_back({.tokens = one.tokens, .sum = one.sum + double{next.logprob}});
        longer.back().tokens.push_back(next.token);
      }
    }
    all = longer;
  }
  const auto best = std::ranges::max_element(all, {}, &Answer::sum);
  const std::vector<BeamAnswer> found = run(options, model);
  ASSERT_EQ(found.size(), 256u);
  EXPECT_EQ(tokens_of(found[0]), best->tokens);
}

TEST(BeamSearch, EndsEarlyWhenNoBeamCanBecomeBetter) {
  // The end is nearly certain at once, everything else hopeless.
  const Likeliest model = [](const Tokens&) {
    return std::vector<TokenLogprob>{{.token = 1, .logprob = -0.001F},
                                     {.token = 0, .logprob = -7.0F},
                                     {.token = 2, .logprob = -9.0F}};
  };
  BeamSearch search({.width = 1, .tokens_max = 1000, .end_tokens = {1}});
  const std::vector<TokenLogprob> row = model({});
  int steps = 0;
  while (!search.done()) {
    const std::span<const TokenLogprob> rows[] = {row};
    search.advance(rows);
    ++steps;
  }
  EXPECT_LT(steps, 1000);
  EXPECT_EQ(tokens_of(search.answers()[0]), (Tokens{1}));
}

class BeamSearchInEngine : public testing::Test {
 protected:
  void start(EngineOptions options) {
    options.threads = 1;
    auto engine = Engine::create(small_.model, options);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = std::move(*engine);
  }

  static Request search_request(const Tokens& prompt, int beams, int max_tokens) {
    Request request;
    request.prompt = prompt;
    request.choices = beams;
    request.max_tokens = max_tokens;
    request.beam_search.emplace();
    request.stop_tokens = {3};
    return request;
  }

  // By choice.
  static std::vector<Tokens> read(Generation* generation) {
    std::vector<Tokens> answers(static_cast<size_t>(generation->stats().choices));
    while (true) {
      const std::vector<TokenEvent> events = generation->wait_and_take();
      if (events.empty()) return answers;
      for (const TokenEvent& event : events) {
        if (event.token >= 0) answers[static_cast<size_t>(event.choice)].push_back(event.token);
      }
    }
  }

  // What ended has given its blocks back; statistics follow a moment later.
  bool all_free() const {
    for (int i = 0; i < 2000 && engine_->stats().kv_blocks_used > 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return engine_->stats().kv_blocks_used == 0;
  }

  std::vector<Tokens> search(const Tokens& prompt, int beams, int max_tokens) {
    return read(engine_->submit(search_request(prompt, beams, max_tokens)).value().get());
  }

  // What may follow a prompt, asked for one token at a time.
  Likeliest one_by_one(const Tokens& prompt) {
    return [this, prompt](const Tokens& tokens) {
      Request request;
      request.prompt = prompt;
      request.prompt.insert(request.prompt.end(), tokens.begin(), tokens.end());
      request.max_tokens = 1;
      request.ignore_eos = true;
      request.sampling.logprobs = kLogprobsMax;
      const auto generation = engine_->submit(std::move(request)).value();
      return generation->wait_and_take().at(0).top;
    };
  }

  std::vector<Tokens> expected(const Tokens& prompt, int beams, int max_tokens) {
    BeamSearchOptions options = {.width = beams, .tokens_max = max_tokens, .end_tokens = {3}};
    const auto& eos = small_.model->checkpoint->config.eos_tokens;
    options.end_tokens.insert(options.end_tokens.end(), eos.begin(), eos.end());
    std::vector<Tokens> answers;
    for (const Answer& answer : plain_search(options, one_by_one(prompt))) {
      answers.push_back(answer.tokens);
    }
    return answers;
  }

  SmallModel small_ = small_model(BRISK_SOURCE_DIR "/fuzz/corpus/gguf/llama", 512);
  std::unique_ptr<Engine> engine_;
};

TEST_F(BeamSearchInEngine, GivesTheAnswersOfASearchOneTokenAtATime) {
  start({.kv_tokens = 64 * 16});
  for (const Tokens& prompt : {Tokens{1}, Tokens{1, 4, 0, 2}, Tokens(40, 2)}) {
    EXPECT_EQ(search(prompt, 4, 20), expected(prompt, 4, 20));
  }
}

TEST_F(BeamSearchInEngine, AnswersAreTheSameAmongOthersAndWhenTheyGiveWay) {
  start({.kv_tokens = 64 * 16});
  const Tokens prompt = {1, 4, 0, 2};
  const std::vector<Tokens> alone = search(prompt, 4, 60);
  start({.kv_tokens = 26 * 16, .tokens_per_step_max = 24});
  std::vector<std::shared_ptr<Generation>> all;
  for (int i = 0; i < 6; ++i) {
    Request other;
    other.prompt = Tokens(static_cast<size_t>(20 + i), i % 5);
    other.max_tokens = 100;
    other.ignore_eos = true;
    other.priority = i % 2;
    all.push_back(engine_->submit(std::move(other)).value());
    Request request = search_request(prompt, 4, 60);
    request.priority = 1;
    all.push_back(engine_->submit(std::move(request)).value());
  }
  for (size_t i = 1; i < all.size(); i += 2) EXPECT_EQ(read(all[i].get()), alone);
  for (size_t i = 0; i < all.size(); i += 2) read(all[i].get());
  EXPECT_GT(engine_->stats().preemptions, 0);
  EXPECT_TRUE(all_free());
}

TEST_F(BeamSearchInEngine, ACancelledSearchLeavesNothing) {
  start({.kv_tokens = 64 * 16});
  const auto generation = engine_->submit(search_request({1, 4}, 4, 200)).value();
  generation->cancel_choice(0);  // the others are still wanted
  generation->cancel();
  while (!generation->wait_and_take().empty()) {
  }
  EXPECT_TRUE(generation->done());
  EXPECT_EQ(search({1, 4}, 2, 5).size(), 2u);
  EXPECT_TRUE(all_free());
}

TEST_F(BeamSearchInEngine, RefusesWhatCannotRunAtOnceOrChangesTheModelsSay) {
  start({.kv_tokens = 16 * 16, .sequences_max = 8, .context_max = 256});
  EXPECT_FALSE(engine_->submit(search_request({1}, 9, 4)).ok()) << "nine sequences";
  EXPECT_FALSE(engine_->submit(search_request({1}, 4, 100)).ok()) << "too many blocks";
  Request biased = search_request({1}, 2, 4);
  biased.sampling.logit_bias = {{2, 1.0F}};
  EXPECT_FALSE(engine_->submit(biased).ok());
  Request unbounded = search_request({1}, 2, 4);
  unbounded.beam_search->length_penalty = NAN;
  EXPECT_FALSE(engine_->submit(unbounded).ok());
  EXPECT_TRUE(engine_->submit(search_request({1}, 4, 8)).ok());
}

}  // namespace
}  // namespace brisk
