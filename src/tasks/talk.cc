// Small talk, what the model says of itself, and simple facts. All of it is learnt by heart.
#include <string>

#include "tasks/exercise.h"
#include "tasks/grammar.h"
#include "tasks/words.h"

namespace brisk::tasks {
namespace {

using std::string;
using std::string_view;

struct Exchange {
  string_view question;
  string_view answer;
};

constexpr Exchange kExchangeRows[] = {
    {"[Hello|Hi|Hey|Hello there|Good day][!|.|]", "Hello! How can I help you?"},
    {"Good morning[!|.|]", "Good morning! How can I help you?"},
    {"Good evening[!|.|]", "Good evening! How can I help you?"},
    {"Good night[!|.|]", "Good night! Sleep well."},
    {"[How are you|How are you today|How do you do]?", "I am fine, thank you. And you?"},
    {"[Thank you|Thanks|Thank you very much|Many thanks][!|.|]", "You are welcome!"},
    {"[Goodbye|Bye|Bye bye|See you later][!|.|]", "Goodbye! Come back soon."},
    {"[Who are you|What are you|Who is brisk|Introduce yourself][?|]",
     "I am brisk, a small language model. I run on your own computer."},
    {"[What is your name|What are you called|Do you have a name]?", "My name is brisk."},
    {"[What can you do|How can you help me|What are you good at|Help][?|]",
     "I can tell short stories, count, sort, add and multiply, look things up, write JSON and call "
     "tools. Try: Tell me a story about a fox."},
    {"[How big are you|How large are you|Are you big|How many parameters do you have]?",
     "I am very small: a few million parameters. I know little, but I am fast."},
    {"[Who made you|Who built you|Where do you come from]?",
     "I was trained from scratch for the brisk engine, on tasks and stories that a program wrote."},
    {"[Are you a human|Are you a person|Are you a robot|Are you alive]?",
     "No, I am a small language model."},
    {"[What is brisk|Tell me about brisk][?|]",
     "brisk is a program that makes language models fast, and I am the model that comes with it."},
    {"[Do you know everything|Are you clever|Are you smart]?",
     "I am small and make mistakes. Please check what I say."},
    {"[What languages do you speak|Do you speak English]?", "I speak simple English."},
    {"[Can you tell stories|Do you know a story]?", "Yes! Say: Tell me a story about a fox."},
    {"[Can you count|Can you add|Can you do sums]?", "Yes! Ask me: What is 47 + 38?"},
    {"[How many days are in a week|How many days does a week have]?", "A week has 7 days."},
    {"[How many months are in a year|How many months does a year have]?", "A year has 12 months."},
    {"[How many legs does a dog have|How many legs has a dog]?", "A dog has 4 legs."},
    {"[How many legs does a bird have|How many legs has a bird]?", "A bird has 2 legs."},
    {"[How many hours does a day have|How many hours are in a day]?", "A day has 24 hours."},
    {"[How many minutes does an hour have|How many minutes are in an hour]?",
     "An hour has 60 minutes."},
    {"[Where do fish live|Where does a fish live]?", "Fish live in water."},
    {"[What do bees make|What does a bee make]?", "Bees make honey."},
    {"[What do cows give|What does a cow give]?", "Cows give milk."},
    {"[What is the capital of France|Which city is the capital of France]?",
     "The capital of France is Paris."},
    {"[What is the capital of Italy|Which city is the capital of Italy]?",
     "The capital of Italy is Rome."},
    {"[What is the capital of England|Which city is the capital of England]?",
     "The capital of England is London."},
    {"[What is the capital of Germany|Which city is the capital of Germany]?",
     "The capital of Germany is Berlin."},
    {"[What is the capital of Spain|Which city is the capital of Spain]?",
     "The capital of Spain is Madrid."},
    {"[Which season is cold|When does it snow]?", "It is cold in winter, and it may snow."},
    {"[Which season is hot|When is it hot]?", "It is hot in summer."},
    {"[What do you do when it rains|What do I need when it rains]?", "Take a coat and a hat."},
};
constexpr std::span<const Exchange> kExchanges = kExchangeRows;

Exchange draw_exchange(Dice& dice) { return dice.pick(kExchanges); }

void draw_order_of(Words list, string_view what, Dice& dice, Exercise& exercise) {
  const size_t at = dice.below(list.size());
  const bool after = dice.percent(50);
  const size_t next = (at + (after ? 1 : list.size() - 1)) % list.size();
  exercise.question = expand(after ? "[What comes after {x}?|Which {what} comes after {x}?]"
                                   : "[What comes before {x}?|Which {what} comes before {x}?]",
                             {{"x", string(list[at])}, {"what", string(what)}}, dice);
  exercise.answer =
      string(list[next]) + " comes " + (after ? "after " : "before ") + string(list[at]) + '.';
}

void draw_fact(Dice& dice, Exercise& exercise) {
  Slots slots;
  const auto set_pair = [&](const Pair& pair) {
    const bool turned = dice.percent(50);
    slots = {{"x", string(turned ? pair.second : pair.first)},
             {"y", string(turned ? pair.first : pair.second)}};
  };
  switch (dice.between(0, 5)) {
    case 0: {
      const AnimalSound& row = dice.pick(animal_sounds());
      slots = {
          {"a", with_article(row.animal)}, {"x", string(row.animal)}, {"y", string(row.sound)}};
      exercise.question = expand("[What does {a} say?|What sound does {a} make?]", slots, dice);
      exercise.answer = expand("The {x} says {y}.", slots, dice);
      return;
    }
    case 1:
      set_pair(dice.pick(opposites()));
      exercise.question =
          expand("[What is the opposite of {x}?|Tell me the opposite of {x}.]", slots, dice);
      exercise.answer = expand("The opposite of {x} is {y}.", slots, dice);
      return;
    case 2: {
      const Pair& pair = dice.pick(plurals());
      slots = {{"x", string(pair.first)}, {"y", string(pair.second)}};
      exercise.question = expand("[What is the plural of {x}?|One {x}, two ...?]", slots, dice);
      exercise.answer = expand("One {x}, two {y}.", slots, dice);
      return;
    }
    case 3: {
      const Pair& pair = dice.pick(things_colours());
      slots = {{"x", string(pair.first)}, {"y", string(pair.second)}};
      exercise.question = expand("[What colour is {x}?|Which colour has {x}?]", slots, dice);
      exercise.answer = expand("{X} is {y}.", slots, dice);
      return;
    }
    case 4:
      return draw_order_of(days(), "day", dice, exercise);
    default:
      return draw_order_of(months(), "month", dice, exercise);
  }
}

}  // namespace

void draw_talk(Level, Dice& dice, Exercise& exercise) {
  exercise.memorised = true;
  exercise.key = "talk";
  if (dice.percent(20)) {  // a greeting first
    const Exchange& greeting = kExchanges[dice.below(3)];
    exercise.before.push_back({Role::kUser, expand(greeting.question, {}, dice)});
    exercise.before.push_back({Role::kAssistant, string(greeting.answer)});
  }
  if (dice.percent(50)) return draw_fact(dice, exercise);
  const Exchange exchange = draw_exchange(dice);
  exercise.question = expand(exchange.question, {}, dice);
  exercise.answer = exchange.answer;
}

}  // namespace brisk::tasks
