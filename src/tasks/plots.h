// The plots of the story grammar: what happens, sentence by sentence, with alternatives.
//
// Slots: hero and friend (names) with he/him/his and fhe/fhim/fhis, kind ("a little fox"), object,
// colour, place, helper (an animal) and a_helper ("a poor fox").
#pragma once

#include <span>
#include <string_view>

namespace brisk::tasks {

struct Plot {
  bool about_object;                        // {object} matters in it
  std::span<const std::string_view> beats;  // patterns, in order; each a sentence or more
};

std::span<const Plot> plots();

std::span<const std::string_view> openings();  // introduce {hero}, who is {kind}
std::span<const std::string_view> endings();

}  // namespace brisk::tasks
