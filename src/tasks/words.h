// The words that exercises and stories share. Few on purpose: each becomes one token of a small
// vocabulary.
#pragma once

#include <span>
#include <string_view>

namespace brisk::tasks {

using Words = std::span<const std::string_view>;

Words names();  // girls and boys in turn, girls first
bool is_girl(std::string_view name);
Words animals();
Words objects();
Words colours();
Words places();
Words fruits();
Words cities();
Words letters();  // a to z

struct AnimalSound {
  std::string_view animal;
  std::string_view sound;
};
std::span<const AnimalSound> animal_sounds();

struct Pair {
  std::string_view first;
  std::string_view second;
};
std::span<const Pair> opposites();
std::span<const Pair> plurals();         // those that are not formed with -s
std::span<const Pair> things_colours();  // grass, green

Words days();
Words months();

}  // namespace brisk::tasks
