// Finding something in what is given: a table, or who has what at the end of a short story.
#include <algorithm>
#include <string>
#include <utility>

#include "tasks/exercise.h"
#include "tasks/grammar.h"
#include "tasks/words.h"

namespace brisk::tasks {
namespace {

using std::string;
using std::string_view;

constexpr size_t kQuestionsMax = 4;  // about one table or story

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

// Some of `count` things to ask about, one to four.
std::vector<size_t> draw_order(size_t count, Dice& dice) {
  std::vector<size_t> order = dice.order(count);
  order.resize(1 + dice.below(std::min(count, kQuestionsMax)));
  return order;
}

// People, things and places, and where they are after each sentence.
class World {
 public:
  explicit World(Dice& dice) : dice_(dice) {}

  void give_objects(size_t count) {
    people_ = dice_.pick_some(names(), count);
    objects_ = dice_.pick_some(objects(), count);
    for (size_t i = 0; i < count; ++i) {
      owners_.push_back({i});
      say(expand("{name} has the {object}.", slots(i, i), dice_));
    }
  }

  void place_people(size_t count) {
    if (people_.empty()) people_ = dice_.pick_some(names(), count);
    for (size_t i = 0; i < count; ++i) {
      places_.push_back({dice_.pick(kPlaces)});
      say(expand("{name} is in the {place}.", slots(i, 0), dice_));
    }
  }

  void hand_over() {
    const size_t object = dice_.below(owners_.size());
    const size_t from = owners_[object].back();
    const size_t to = (from + 1 + dice_.below(people_.size() - 1)) % people_.size();
    Slots all = slots(from, object);
    all.set("other", string(people_[to]));
    say(expand("[{name} gives the {object} to {other}.|{other} takes the {object} from {name}.]",
               all, dice_));
    owners_[object].push_back(to);
  }

  void move() {
    const size_t person = dice_.below(people_.size());
    string_view to = places_[person].back();
    while (to == places_[person].back()) to = dice_.pick(kPlaces);
    places_[person].push_back(to);
    say(expand("{name} [goes|walks|runs] to the {place}.", slots(person, 0), dice_));
  }

  // Ask, and reply: what became of what is asked about, a line for each change. The last says how
  // it is.
  void ask_owner(size_t object, Exercise& exercise) const {
    exercise.question += expand("Who has the {object}?", slots(0, object), dice_);
    reply(owners_of(object), exercise);
  }
  void ask_belongings(size_t person, Exercise& exercise) const {  // REQUIRES: no hand_over()
    exercise.question += expand("What does {name} have?", slots(person, 0), dice_);
    reply({expand("{name} has the {object}.", slots(person, person), dice_)}, exercise);
  }
  void ask_place(size_t person, Exercise& exercise) const {
    exercise.question += expand("Where is {name}?", slots(person, 0), dice_);
    reply(places_of(person), exercise);
  }
  void ask_place_of_object(size_t object, Exercise& exercise) const {
    exercise.question += expand("Where is the {object}?", slots(0, object), dice_);
    const size_t owner = owners_[object].back();
    Lines lines = owners_of(object);
    for (string& line : places_of(owner)) lines.push_back(std::move(line));
    lines.push_back(expand("The {object} is in the {place}.", slots(owner, object), dice_));
    reply(lines, exercise);
  }

  const string& text() const { return text_; }

 private:
  static constexpr string_view kPlaceNames[] = {"garden", "kitchen", "park",   "school", "forest",
                                                "house",  "barn",    "market", "tower"};
  static constexpr Words kPlaces = kPlaceNames;
  using Lines = std::vector<string>;

  Slots slots(size_t person, size_t object) const {
    Slots slots = {{"name", string(people_[person])}};
    if (object < objects_.size()) slots.set("object", string(objects_[object]));
    if (person < places_.size()) slots.set("place", string(places_[person].back()));
    return slots;
  }

  Lines owners_of(size_t object) const {
    Lines lines;
    for (const size_t owner : owners_[object]) {
      lines.push_back(expand("The {object} is with {name}.", slots(owner, object), dice_));
    }
    return lines;
  }
  Lines places_of(size_t person) const {
    Lines lines;
    for (const string_view place : places_[person]) {
      lines.push_back(string(people_[person]) + " is in the " + string(place) + '.');
    }
    return lines;
  }

  static void reply(const Lines& lines, Exercise& exercise) {
    for (size_t i = 0; i + 1 < lines.size(); ++i) exercise.work += lines[i] + '\n';
    exercise.answer = lines.back();
  }

  void say(const string& sentence) { text_ += sentence + ' '; }

  Dice& dice_;
  std::vector<string_view> people_;
  std::vector<string_view> objects_;
  std::vector<std::vector<size_t>> owners_;       // (objects) the people who had it in turn
  std::vector<std::vector<string_view>> places_;  // (people) where they were in turn
  string text_;
};

struct Table {
  std::vector<string_view> keys;
  std::vector<string> values;
  string text;  // a line for each row

  string row(size_t i) const { return string(keys[i]) + ": " + values[i]; }
};

Table draw_table(size_t rows, Dice& dice) {
  Table table = {
      .keys = dice.pick_some(names(), rows), .values = draw_values(rows, dice), .text = {}};
  for (size_t i = 0; i < rows; ++i) table.text += table.row(i) + '\n';
  return table;
}

void recite_rows(size_t rows, Dice& dice, Exercise& exercise) {
  const Table table = draw_table(rows, dice);
  std::vector<string> asked;
  std::vector<string> lines;
  for (const size_t row : dice.order(rows)) {
    asked.emplace_back(table.keys[row]);
    lines.push_back(table.row(row));
  }
  exercise.question = table.text + "Look up " + join(asked, ", ") + '.';
  exercise.answer = join(lines, "\n");
}

void recite_followers(size_t count, Dice& dice, Exercise& exercise) {
  std::vector<string> items;
  for (const string_view letter : dice.pick_some(letters(), count)) items.emplace_back(letter);
  std::vector<string> asked;
  std::vector<string> found;
  for (const size_t i : dice.order(count - 1)) {
    asked.push_back(items[i]);
    found.push_back(items[i] + ' ' + items[i + 1]);
  }
  exercise.question = "List: " + join(items, " ") + "\nWhat follows " + join(asked, ", ") + '?';
  exercise.answer = join(found, ", ");
}

}  // namespace

// Many questions at once, which teaches to find things in the text sooner than one at a time does.
void draw_recite(Level level, Dice& dice, Exercise& exercise) {
  const auto count = static_cast<size_t>(level == Level::kEasy     ? dice.between(3, 5)
                                         : level == Level::kMiddle ? dice.between(6, 8)
                                                                   : dice.between(9, 12));
  if (dice.percent(60)) {
    recite_rows(count, dice, exercise);
  } else {
    recite_followers(count, dice, exercise);
  }
  exercise.key = "recite " + exercise.question;
}

void draw_lookup(Level level, Dice& dice, Exercise& exercise) {
  const auto rows = static_cast<size_t>(level == Level::kEasy     ? dice.between(2, 3)
                                        : level == Level::kMiddle ? dice.between(4, 6)
                                                                  : dice.between(8, 10));
  const Table table = draw_table(rows, dice);
  exercise.question = table.text;
  exercise.key = "lookup " + table.text;
  bool asked = false;
  for (const size_t row : draw_order(rows, dice)) {
    if (std::exchange(asked, true)) exercise.ask_more();
    const bool by_value = dice.percent(level == Level::kEasy ? 20 : 35);
    const Slots slots = {{"key", string(table.keys[row])}, {"value", table.values[row]}};
    exercise.question +=
        expand(by_value ? "[Which key has {value}?|Whose value is {value}?]"
                        : "[What is the value of {key}?|Look up {key}.|Find {key}.]",
               slots, dice);
    // What is asked for comes first, in the words of the question or the table: each next word then
    // follows from the one before.
    exercise.answer = expand(by_value ? "Key of {value}: {key}" : "{key}: {value}", slots, dice);
  }
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
  exercise.question = world.text();
  exercise.key = "who " + world.text();
  bool asked = false;
  for (const size_t i : draw_order(people, dice)) {
    if (std::exchange(asked, true)) exercise.ask_more();
    if (carried) {
      world.ask_place_of_object(i, exercise);
    } else if (kind == 1) {
      world.ask_place(i, exercise);
    } else if (easy && dice.percent(40)) {
      world.ask_belongings(i, exercise);
    } else {
      world.ask_owner(i, exercise);
    }
  }
}

}  // namespace brisk::tasks
