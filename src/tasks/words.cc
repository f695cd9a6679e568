#include "tasks/words.h"

#include <algorithm>
#include <array>

namespace brisk::tasks {
namespace {

using std::string_view;

constexpr auto kNames =
    std::to_array<string_view>({"Anna",  "Tom",   "Lily", "Ben",   "Mia",  "Max",  "Lucy", "Sam",
                                "Emma",  "Leo",   "Rose", "Jack",  "Nina", "Tim",  "Sara", "Paul",
                                "Clara", "Peter", "Ella", "Oscar", "Ruby", "Finn", "Kate", "Hugo"});
constexpr auto kAnimals =
    std::to_array<string_view>({"cat", "dog", "fox", "bear", "owl", "duck", "cow", "horse", "sheep",
                                "pig", "frog", "mouse", "rabbit", "lion", "bird", "hen"});
constexpr auto kObjects =
    std::to_array<string_view>({"ball", "kite", "book", "cup", "hat", "key", "lamp", "box", "drum",
                                "boat", "doll", "bell", "coat", "spoon", "ring", "map"});
constexpr auto kColours = std::to_array<string_view>(
    {"red", "blue", "green", "yellow", "black", "white", "brown", "pink"});
constexpr auto kPlaces =
    std::to_array<string_view>({"garden", "kitchen", "park", "school", "forest", "river", "house",
                                "barn", "market", "beach", "hill", "tower"});
constexpr auto kFruits = std::to_array<string_view>(
    {"apple", "pear", "plum", "lemon", "cherry", "peach", "orange", "melon"});
constexpr auto kCities = std::to_array<string_view>(
    {"Paris", "Rome", "London", "Berlin", "Madrid", "Oslo", "Vienna", "Athens"});
constexpr auto kLetters =
    std::to_array<string_view>({"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m",
                                "n", "o", "p", "q", "r", "s", "t", "u", "v", "w", "x", "y", "z"});
constexpr auto kSounds = std::to_array<AnimalSound>({{"cat", "meow"},
                                                     {"dog", "woof"},
                                                     {"cow", "moo"},
                                                     {"duck", "quack"},
                                                     {"sheep", "baa"},
                                                     {"pig", "oink"},
                                                     {"frog", "ribbit"},
                                                     {"lion", "roar"},
                                                     {"bird", "tweet"},
                                                     {"hen", "cluck"},
                                                     {"horse", "neigh"},
                                                     {"mouse", "squeak"},
                                                     {"owl", "hoot"}});
constexpr auto kOpposites = std::to_array<Pair>({{"big", "small"},
                                                 {"hot", "cold"},
                                                 {"up", "down"},
                                                 {"day", "night"},
                                                 {"happy", "sad"},
                                                 {"fast", "slow"},
                                                 {"old", "young"},
                                                 {"good", "bad"},
                                                 {"full", "empty"},
                                                 {"open", "closed"},
                                                 {"left", "right"},
                                                 {"light", "dark"},
                                                 {"long", "short"},
                                                 {"wet", "dry"},
                                                 {"loud", "quiet"},
                                                 {"first", "last"}});
constexpr auto kPlurals = std::to_array<Pair>({{"child", "children"},
                                               {"mouse", "mice"},
                                               {"foot", "feet"},
                                               {"tooth", "teeth"},
                                               {"man", "men"},
                                               {"woman", "women"},
                                               {"goose", "geese"},
                                               {"sheep", "sheep"},
                                               {"leaf", "leaves"},
                                               {"box", "boxes"},
                                               {"fox", "foxes"},
                                               {"baby", "babies"},
                                               {"cherry", "cherries"}});
constexpr auto kThingsColours = std::to_array<Pair>({{"grass", "green"},
                                                     {"the sky", "blue"},
                                                     {"snow", "white"},
                                                     {"the sun", "yellow"},
                                                     {"blood", "red"},
                                                     {"coal", "black"},
                                                     {"a lemon", "yellow"},
                                                     {"a tomato", "red"},
                                                     {"milk", "white"},
                                                     {"a frog", "green"},
                                                     {"the night", "black"},
                                                     {"chocolate", "brown"}});
constexpr auto kDays = std::to_array<string_view>(
    {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"});
constexpr auto kMonths =
    std::to_array<string_view>({"January", "February", "March", "April", "May", "June", "July",
                                "August", "September", "October", "November", "December"});

}  // namespace

Words names() { return kNames; }

bool is_girl(std::string_view name) {
  const auto at = std::find(kNames.begin(), kNames.end(), name);
  return (at - kNames.begin()) % 2 == 0;
}

Words animals() { return kAnimals; }
Words objects() { return kObjects; }
Words colours() { return kColours; }
Words places() { return kPlaces; }
Words fruits() { return kFruits; }
Words cities() { return kCities; }
Words letters() { return kLetters; }
std::span<const AnimalSound> animal_sounds() { return kSounds; }
std::span<const Pair> opposites() { return kOpposites; }
std::span<const Pair> plurals() { return kPlurals; }
std::span<const Pair> things_colours() { return kThingsColours; }
Words days() { return kDays; }
Words months() { return kMonths; }

}  // namespace brisk::tasks
