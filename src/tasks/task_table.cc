#include "tasks/task_table.h"

#include <array>

namespace brisk::tasks {
namespace {

constexpr std::array kTasks = {
    Task{"copy", "repeat a list of letters, words or digits", true, true, 4, draw_copy},
    Task{"reverse", "write a list backwards", true, true, 5, draw_reverse},
    Task{"sort", "put letters or numbers in order", true, true, 6, draw_sort},
    Task{"count", "how often a letter occurs in a list", true, true, 5, draw_count},
    Task{"add", "sums with carries, digit by digit", true, true, 7, draw_add},
    Task{"subtract", "differences with borrows, digit by digit", true, true, 7, draw_subtract},
    Task{"multiply", "products by one digit, with carries", true, true, 7, draw_multiply},
    Task{"compare", "the largest or smallest of some numbers", true, true, 5, draw_compare},
    Task{"lookup", "find a value, or a key, in a given table", true, true, 5, draw_lookup},
    Task{"who", "who has what, and where, after a short story", true, true, 6, draw_who},
    Task{"logic", "if and then, all and no, taller and shorter, true and false", true, true, 6,
         draw_logic},
    Task{"json", "facts in a sentence as a JSON object", true, true, 5, draw_json},
    Task{"tool", "a request as the call of a given tool", true, true, 5, draw_tool},
    Task{"system", "obey what the system turn says about the form of answers", true, true, 5,
         draw_system},
    Task{"dialogue", "remember what was said in earlier turns", true, true, 5, draw_dialogue},
    Task{"recite", "find many things in a table or a list", false, true, 5, draw_recite},
    Task{"talk", "greetings, questions about itself, simple facts", false, false, 4, draw_talk},
    Task{"story", "short stories as plain texts", false, false, 3, draw_story},
    Task{"tell", "short stories about what the user names", false, false, 3, draw_tell},
};

}  // namespace

std::span<const Task> all_tasks() { return kTasks; }

const Task* find_task(std::string_view name) {
  for (const Task& task : kTasks) {
    if (task.name == name) return &task;
  }
  return nullptr;
}

}  // namespace brisk::tasks
