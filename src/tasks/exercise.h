// What a task draws, before it becomes a sample, and the functions that draw. Internal to tasks/.
#pragma once

#include <string>
#include <vector>

#include "tasks/dice.h"
#include "tasks/sample.h"

namespace brisk::tasks {

struct Exercise {
  std::vector<Message> before;  // the system's turn and earlier ones of the conversation
  std::string question;
  std::string work;    // lines of the reply before the answer, each with its line break
  std::string answer;  // the last line of the reply, or all of it where it is not graded

  // Makes what was asked until now an earlier turn: the next question may be about the same things.
  void ask_more() {
    before.push_back({Role::kUser, std::move(question)});
    before.push_back({Role::kAssistant, work + answer});
    question.clear();
    work.clear();
    answer.clear();
  }

  std::string text;  // a plain text; then all of the above is empty
  // What is asked, however it is phrased: its hash decides the split.
  std::string key;
  // The whole space is so small that it is learnt by heart: every split draws from all of it.
  bool memorised = false;
};

using DrawExercise = void (*)(Level level, Dice& dice, Exercise& exercise);

// sequences.cc
void draw_copy(Level level, Dice& dice, Exercise& exercise);
void draw_reverse(Level level, Dice& dice, Exercise& exercise);
void draw_sort(Level level, Dice& dice, Exercise& exercise);
void draw_count(Level level, Dice& dice, Exercise& exercise);

// arithmetic.cc
void draw_add(Level level, Dice& dice, Exercise& exercise);
void draw_subtract(Level level, Dice& dice, Exercise& exercise);
void draw_multiply(Level level, Dice& dice, Exercise& exercise);
void draw_compare(Level level, Dice& dice, Exercise& exercise);

// reading.cc
void draw_lookup(Level level, Dice& dice, Exercise& exercise);
void draw_who(Level level, Dice& dice, Exercise& exercise);
void draw_recite(Level level, Dice& dice, Exercise& exercise);

// logic.cc
void draw_logic(Level level, Dice& dice, Exercise& exercise);

// forms.cc
void draw_json(Level level, Dice& dice, Exercise& exercise);
void draw_tool(Level level, Dice& dice, Exercise& exercise);

// chats.cc
void draw_system(Level level, Dice& dice, Exercise& exercise);
void draw_dialogue(Level level, Dice& dice, Exercise& exercise);

// talk.cc
void draw_talk(Level level, Dice& dice, Exercise& exercise);

// stories.cc
void draw_story(Level level, Dice& dice, Exercise& exercise);
void draw_tell(Level level, Dice& dice, Exercise& exercise);

}  // namespace brisk::tasks
