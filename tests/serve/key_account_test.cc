// Quotas of a key, on a clock that moves when told to.
#include "serve/http/key_account.h"

#include <gtest/gtest.h>

#include "serve/http/key_file.h"
#include "serve/http/key_ring.h"

namespace brisk::http {
namespace {

constexpr Instant kStart{1'000'000'000};

Instant after(double seconds) { return {kStart.ns + static_cast<int64_t>(seconds * 1e9)}; }

TEST(KeyAccount, AMinutesRequestsMayComeAtOnceAndThenOneByOne) {
  KeyAccount account(0, {.requests_per_minute = 6}, kStart);
  for (int i = 0; i < 6; ++i) EXPECT_FALSE(account.begin(kStart).has_value());
  const auto refused = account.begin(after(4));
  ASSERT_TRUE(refused.has_value());
  EXPECT_NEAR(refused->retry_after, 6, 0.01);
  EXPECT_EQ(refused->code, "rate_limit_exceeded");
  EXPECT_FALSE(account.begin(after(10.1)).has_value());
  EXPECT_TRUE(account.begin(after(10.2)).has_value());
  for (int i = 0; i < 6; ++i) EXPECT_FALSE(account.begin(after(1000)).has_value());
  EXPECT_TRUE(account.begin(after(1000)).has_value()) << "no more than a minute's are saved up";
}

TEST(KeyAccount, TokensAreTakenOffWhenUsedAndADebtIsWaitedFor) {
  KeyAccount account(0, {.tokens_per_minute = 60}, kStart);
  EXPECT_FALSE(account.begin(kStart).has_value());
  account.charge(90, kStart);
  const auto refused = account.begin(after(1));
  ASSERT_TRUE(refused.has_value());
  EXPECT_NEAR(refused->retry_after, 30, 0.01);
  EXPECT_TRUE(account.check_tokens(after(30)).has_value());
  EXPECT_FALSE(account.check_tokens(after(31.5)).has_value());
  EXPECT_FALSE(account.begin(after(31.5)).has_value());
}

TEST(KeyAccount, CountsWhatRunsAtOnce) {
  const auto account = std::make_shared<KeyAccount>(0, KeyLimits{.concurrent = 2}, kStart);
  EXPECT_FALSE(account->begin(kStart).has_value());
  const CountedRequest first(account);
  {
    EXPECT_FALSE(account->begin(kStart).has_value());
    const CountedRequest second(account);
    EXPECT_TRUE(account->begin(kStart).has_value());
  }
  EXPECT_FALSE(account->begin(kStart).has_value());
  account->end();
}

TEST(KeyAccount, ATotalIsForEver) {
  KeyAccount account(0, {.tokens_total = 10}, kStart);
  account.charge(9, kStart);
  EXPECT_FALSE(account.begin(kStart).has_value());
  account.charge(1, kStart);
  const auto refused = account.begin(after(1e6));
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->code, "insufficient_quota");
  account.set_limits({.tokens_total = 11});
  EXPECT_FALSE(account.begin(kStart).has_value());
}

TEST(KeyRing, ForgetsRemovedKeysAndKeepsAskingWhenNoneIsLeft) {
  KeyRing ring({{.key = "a", .limits = {.tokens_total = 5}}, {.key = "b", .weight = 3}});
  Caller caller;
  ASSERT_TRUE(ring.find("b", caller));
  EXPECT_EQ(caller.key, 1);
  EXPECT_EQ(caller.weight, 3);
  ring.account(sha256("a"))->charge(4, kStart);
  ring.replace({{.digest = sha256("a"), .limits = {.tokens_total = 5}}, {.key = "c"}});
  EXPECT_FALSE(ring.find("b", caller));
  EXPECT_EQ(ring.account(sha256("b")), nullptr);
  ASSERT_TRUE(ring.find("c", caller));
  EXPECT_EQ(caller.key, 2) << "nobody gets the place of another tenant";
  EXPECT_EQ(ring.tokens_used().at(sha256("a")), 4);
  ring.replace({});
  EXPECT_TRUE(ring.asks_for_keys());
  EXPECT_FALSE(ring.find("a", caller));
  EXPECT_FALSE(KeyRing({}).asks_for_keys());
}

TEST(KeyFile, TotalsComeBackAndDamageIsPassedOver) {
  const std::map<Sha256, int64_t> used = {{sha256("a"), 7}, {sha256("b"), 0}};
  EXPECT_EQ(parse_tokens_used(format_tokens_used(used)), used);
  EXPECT_TRUE(parse_tokens_used("x 1\n").empty());
  EXPECT_TRUE(parse_tokens_used(to_hex(sha256("a")) + " -1\n").empty());
}

TEST(KeyFile, RandomKeysDiffer) {
  EXPECT_EQ(make_random_key().size(), 70u);
  EXPECT_NE(make_random_key(), make_random_key());
}

TEST(Sha256, IsTheStandardsOwn) {
  EXPECT_EQ(to_hex(sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_from_hex(to_hex(sha256("abc"))), sha256("abc"));
  EXPECT_FALSE(sha256_from_hex("ba78").has_value());
  EXPECT_FALSE(sha256_from_hex(std::string(64, 'g')).has_value());
}

}  // namespace
}  // namespace brisk::http
