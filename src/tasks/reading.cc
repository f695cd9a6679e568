// Finding something in what is given: a table, or who has what at the end of a short story.
#include <algorithm>
#include <string>

#include "tasks/exercise.h"
#include "tasks/grammar.h"
#include "tasks/words.h"

namespace brisk::tasks {
namespace {

using std::string;
using std::string_view;

std::vector<string> draw_values(size_t count, Dice& dice) {
  std::vector<string> values;
  const int kind = dice.between(0, 2);
  if (kind < 2) {
    for (const string_view word : dice.pick_some(kind == 0 ? objects() : animals(), count)) {
      values.emplace_back(word);
    }
    return values;
  }
  while (values.size() < count) {
    string number = std::to_string(dice.between(10, 99));
    if (std::find(values.begin(), values.end(), number) == values.end()) values.push_back(number);
  }
  return values;
}

// People, things and places, and where they are after each sentence.
class World {
 public:
  explicit World(Dice& dice) : dice_(dice) {}

  void give_objects(size_t count) {
    people_ = dice_.pick_some(names(), count);
    objects_ = dice_.pick_some(objects(), count);
    for (size_t i = 0; i < count; ++i) {
      owners_.push_back(i);
      say(expand("{name} has the {object}.", slots(i, i), dice_));
    }
  }

  void place_people(size_t count) {
    if (people_.empty()) people_ = dice_.pick_some(names(), count);
    for (size_t i = 0; i < count; ++i) {
      places_.push_back(dice_.pick(kPlaces));
      say(expand("{name} is in the {place}.", slots(i, 0), dice_));
    }
  }

  void hand_over() {
    const size_t object = dice_.below(owners_.size());
    const size_t from = owners_[object];
    const size_t to = (from + 1 + dice_.below(people_.size() - 1)) % people_.size();
    Slots all = slots(from, object);
    all.set("other", string(people_[to]));
    say(expand("[{name} gives the {object} to {other}.|{other} takes the {object} from {name}.]",
               all, dice_));
    owners_[object] = to;
  }

  void move() {
    const size_t person = dice_.below(people_.size());
    const string_view from = places_[person];
    while (places_[person] == from) places_[person] = dice_.pick(kPlaces);
    say(expand("{name} [goes|walks|runs] to the {place}.", slots(person, 0), dice_));
  }

  // Asks, and returns the answer.
  string ask_owner() {
    const size_t object = dice_.below(owners_.size());
    text_ += expand("Who has the {object}?", slots(0, object), dice_);
    return string(people_[owners_[object]]);
  }
  string ask_belongings() {  // REQUIRES: nothing was handed over
    const size_t person = dice_.below(people_.size());
    text_ += expand("What does {name} have?", slots(person, 0), dice_);
    return string(objects_[person]);
  }
  string ask_place() {
    const size_t person = dice_.below(people_.size());
    text_ += expand("Where is {name}?", slots(person, 0), dice_);
    return string(places_[person]);
  }
  string ask_place_of_object() {
    const size_t object = dice_.below(owners_.size());
    text_ += expand("Where is the {object}?", slots(0, object), dice_);
    return string(places_[owners_[object]]);
  }

  const string& text() const { return text_; }

 private:
  static constexpr string_view kPlaceNames[] = {"garden", "kitchen", "park",   "school", "forest",
                                                "house",  "barn",    "market", "tower"};
  static constexpr Words kPlaces = kPlaceNames;

  Slots slots(size_t person, size_t object) const {
    Slots slots = {{"name", string(people_[person])}};
    if (object < objects_.size()) slots.set("object", string(objects_[object]));
    if (person < places_.size()) slots.set("place", string(places_[person]));
    return slots;
  }

  void say(const string& sentence) { text_ += sentence + ' '; }

  Dice& dice_;
  std::vector<string_view> people_;
  std::vector<string_view> objects_;
  std::vector<size_t> owners_;       // (objects) index of a person
  std::vector<string_view> places_;  // (people)
  string text_;
};

}  // namespace

void draw_lookup(Level level, Dice& dice, Exercise& exercise) {
  const auto rows = static_cast<size_t>(level == Level::kEasy     ? dice.between(2, 3)
                                        : level == Level::kMiddle ? dice.between(4, 6)
                                                                  : dice.between(8, 10));
  const auto keys = dice.pick_some(names(), rows);
  const std::vector<string> values = draw_values(rows, dice);
  string table;
  for (size_t i = 0; i < rows; ++i) table += string(keys[i]) + ": " + values[i] + '\n';
  const size_t row = dice.below(rows);
  const bool by_value = dice.percent(level == Level::kEasy ? 20 : 35);
  const Slots slots = {{"key", string(keys[row])}, {"value", values[row]}};
  exercise.question =
      table + expand(by_value ? "[Which key has {value}?|Whose value is {value}?]"
                              : "[What is the value of {key}?|Look up {key}.|Find {key}.]",
                     slots, dice);
  exercise.answer = by_value ? string(keys[row]) : values[row];
  exercise.key = "lookup " + table + exercise.answer;
}

void draw_who(Level level, Dice& dice, Exercise& exercise) {
  World world(dice);
  const bool easy = level == Level::kEasy;
  const auto people = static_cast<size_t>(easy                      ? dice.between(2, 3)
                                          : level == Level::kMiddle ? 3
                                                                    : dice.between(3, 4));
  const int events = easy ? 0 : level == Level::kMiddle ? dice.between(1, 2) : dice.between(4, 6);
  const int kind = dice.between(0, 2);
  const bool carried = kind == 2 && level == Level::kHard;
  if (kind != 1) world.give_objects(people);
  if (kind == 1 || carried) world.place_people(people);
  for (int i = 0; i < events; ++i) {
    if (kind == 1 || (carried && dice.percent(50))) {
      world.move();
    } else {
      world.hand_over();
    }
  }
  if (carried) {
    exercise.answer = world.ask_place_of_object();
  } else if (kind == 1) {
    exercise.answer = world.ask_place();
  } else {
    exercise.answer = easy && dice.percent(40) ? world.ask_belongings() : world.ask_owner();
  }
  exercise.question = world.text();
  exercise.key = "who " + world.text();
}

}  // namespace brisk::tasks
