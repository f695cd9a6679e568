// Short stories from a grammar: somebody, a place, a small problem, a friend, a good end.
#include <string>

#include "tasks/exercise.h"
#include "tasks/grammar.h"
#include "tasks/plots.h"
#include "tasks/words.h"

namespace brisk::tasks {
namespace {

using std::string;
using std::string_view;

struct Story {
  string text;
  string hero;
  string kind;  // "girl", "boy" or an animal
  string object;
  bool about_object = false;
};

void set_pronouns(bool girl, Slots& slots) {
  slots.set("he", girl ? "she" : "he");
  slots.set("him", girl ? "her" : "him");
  slots.set("his", girl ? "her" : "his");
}

void set_pronouns_of_friend(bool girl, Slots& slots) {
  slots.set("fhe", girl ? "she" : "he");
  slots.set("fhim", girl ? "her" : "him");
  slots.set("fhis", girl ? "her" : "his");
}

Story draw_one(Dice& dice) {
  Story story;
  const auto people = dice.pick_some(names(), 2);
  const auto kinds = dice.pick_some(animals(), 2);
  const bool animal = dice.percent(50);
  story.hero = people[0];
  story.kind = animal ? string(kinds[0]) : is_girl(people[0]) ? "girl" : "boy";
  story.object = dice.pick(objects());
  const string kind = expand("a [little|small|young|kind|brave|clever] ", {}, dice) + story.kind;
  Slots slots = {{"hero", story.hero},
                 {"friend", string(people[1])},
                 {"kind", kind},
                 {"object", story.object},
                 {"colour", string(dice.pick(colours()))},
                 {"place", string(dice.pick(places()))},
                 {"helper", string(kinds[1])},
                 {"a_helper", expand("a [little|small|poor] ", {}, dice) + string(kinds[1])}};
  set_pronouns(is_girl(people[0]), slots);
  set_pronouns_of_friend(is_girl(people[1]), slots);
  const Plot& plot = dice.pick(plots());
  story.about_object = plot.about_object;
  story.text = expand(dice.pick(openings()), slots, dice);
  for (const string_view beat : plot.beats) story.text += ' ' + expand(beat, slots, dice);
  story.text += ' ' + expand(dice.pick(endings()), slots, dice);
  return story;
}

}  // namespace

void draw_story(Level, Dice& dice, Exercise& exercise) {
  exercise.text = draw_one(dice).text;
  exercise.key = "story " + exercise.text;
}

void draw_tell(Level, Dice& dice, Exercise& exercise) {
  const Story story = draw_one(dice);
  const bool by_name = dice.percent(40);
  const string topic =
      by_name ? story.hero
      : story.kind == "girl" || story.kind == "boy"
          ? "a " + story.kind + (dice.percent(50) ? " named " + story.hero : "")
          : with_article(story.kind) + (dice.percent(30) ? " named " + story.hero : "");
  Slots slots = {{"topic", topic}};
  if (story.about_object && dice.percent(50)) {
    slots.set("topic", topic + " and " + with_article(story.object));
  }
  exercise.question = expand(
      "[Tell me a story about {topic}.|Tell me a short story about {topic}.|Write a short story "
      "about {topic}.|A story about {topic}, please.]",
      slots, dice);
  if (!by_name && dice.percent(8)) exercise.question = "Tell me a story.";
  exercise.answer = story.text;
  exercise.key = "story " + story.text;
}

}  // namespace brisk::tasks
