#include "compress/factorize/choose_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace brisk {
namespace {

using ::testing::ElementsAre;
using ::testing::Gt;
using ::testing::IsEmpty;

// Energies that fall by `factor` from one component to the next.
Spectrum falling(int64_t rows, int64_t depth, double factor, double first = 1) {
  Spectrum spectrum = {.rows = rows, .depth = depth, .energies = {}};
  for (int64_t i = 0; i < std::min(rows, depth); ++i) {
    spectrum.energies.push_back(first * std::pow(factor, static_cast<double>(i)));
  }
  return spectrum;
}

int64_t total(std::span<const Spectrum> spectra, std::span<const int64_t> ranks) {
  int64_t sum = 0;
  for (size_t i = 0; i < spectra.size(); ++i) sum += parameters(spectra[i], ranks[i]);
  return sum;
}

TEST(PossibleRanks, AreThoseThatSaveSomething) {
  EXPECT_THAT(possible_ranks(256, 256), ElementsAre(32, 64, 96));  // 128 is as large as the matrix
  EXPECT_THAT(possible_ranks(1, 100), IsEmpty());
  EXPECT_THAT(possible_ranks(2, 2), IsEmpty());
  EXPECT_THAT(possible_ranks(3, 7), ElementsAre(1, 2));
  for (const int64_t rank : possible_ranks(64, 172)) {
    EXPECT_LT(rank * (64 + 172), 64 * 172);
    EXPECT_EQ(rank % 16, 0);
  }
}

TEST(RankForEnergy, IsTheLowestThatKeepsTheShare) {
  const Spectrum spectrum = falling(1024, 1024, 0.99);
  const int64_t rank = rank_for_energy(spectrum, 0.9);
  ASSERT_THAT(rank, Gt(32));
  EXPECT_GE(kept_energy(spectrum, rank), 0.9);
  EXPECT_LT(kept_energy(spectrum, rank - 32), 0.9);
  EXPECT_EQ(rank_for_energy(falling(64, 64, 1.0), 0.9), kDense) << "all components matter";
}

TEST(SpreadRanks, KeepTheBudgetAndGiveMostToWhoGainsMost) {
  const std::vector<Spectrum> spectra = {falling(512, 512, 0.98), falling(512, 512, 0.999),
                                         falling(1024, 512, 0.99)};
  int64_t whole = 0;
  for (const Spectrum& spectrum : spectra) whole += spectrum.values();
  double last_loss = 1e9;
  for (const double share : {0.2, 0.4, 0.6, 0.8, 1.0}) {
    const auto budget = static_cast<int64_t>(share * static_cast<double>(whole));
    const auto ranks = spread_ranks(spectra, budget);
    EXPECT_LE(total(spectra, ranks), budget);
    double loss = 0;
    for (size_t i = 0; i < spectra.size(); ++i) loss += 1 - kept_energy(spectra[i], ranks[i]);
    EXPECT_LE(loss, last_loss);
    last_loss = loss;
  }
  EXPECT_EQ(last_loss, 0) << "with room for all, all stay whole";
  const auto ranks = spread_ranks(spectra, whole / 2);
  EXPECT_TRUE(ranks[1] == kDense || ranks[1] > ranks[0]) << "flat ones need more";
}

// What energies are measured in is each matrix's own.
TEST(SpreadRanks, ScalesDoNotMatter) {
  const std::vector<Spectrum> one = {falling(512, 512, 0.98), falling(512, 512, 0.99)};
  const std::vector<Spectrum> other = {falling(512, 512, 0.98, 1e6), falling(512, 512, 0.99, 1e-6)};
  EXPECT_EQ(spread_ranks(one, 200'000), spread_ranks(other, 200'000));
}

TEST(SpreadRanks, BudgetsBelowTheLowestRanksGetThose) {
  const std::vector<Spectrum> spectra = {falling(256, 256, 0.9), falling(1, 9, 0.9)};
  EXPECT_THAT(spread_ranks(spectra, 1), ElementsAre(32, kDense));
}

}  // namespace
}  // namespace brisk
