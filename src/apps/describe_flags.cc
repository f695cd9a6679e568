// brisk completion and brisk man: what the subcommands and their flags are, told to shells and to
// people. Both are made from the same declarations that parse the command line.
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "apps/command.h"
#include "base/status.h"

namespace brisk {
namespace {

// What a flag looks like from outside.
struct Flag {
  std::string name;         // "--host", or "-o" where it has no long name
  std::string all;          // "-o, --output"
  std::string value;        // "TEXT"; empty: it takes none
  std::string description;  // one line
};

const CLI::App& root_of(const CLI::App& app) {
  const CLI::App* root = &app;
  while (root->get_parent() != nullptr) root = root->get_parent();
  return *root;
}

std::vector<const CLI::App*> children(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::string one_line(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  return text;
}

std::vector<Flag> flags_of(const CLI::App& app) {
  std::vector<Flag> flags;
  for (const CLI::Option* option : app.get_options()) {
    if (!option->nonpositional()) continue;
    Flag flag;
    for (const std::string& name : option->get_snames()) flag.all += "-" + name + ", ";
    for (const std::string& name : option->get_lnames()) flag.all += "--" + name + ", ";
    flag.all.resize(flag.all.size() - 2);
    flag.name = option->get_lnames().empty() ? "-" + option->get_snames()[0]
                                             : "--" + option->get_lnames()[0];
    if (option->get_items_expected_max() > 0) flag.value = option->get_type_name();
    if (option->get_items_expected_max() > 0 && flag.value.empty()) flag.value = "VALUE";
    flag.description = one_line(option->get_description());
    flags.push_back(std::move(flag));
  }
  return flags;
}

// "model", "input": where files usually stand.
std::vector<const CLI::Option*> positionals_of(const CLI::App& app) {
  std::vector<const CLI::Option*> positionals;
  for (const CLI::Option* option : app.get_options()) {
    if (!option->nonpositional()) positionals.push_back(option);
  }
  return positionals;
}

// Calls `visit` with each command and its words, "brisk key add", the root first.
using Visit = std::function<void(const CLI::App& command, const std::string& words)>;
void walk(const CLI::App& command, const std::string& words, const Visit& visit) {
  visit(command, words);
  for (const CLI::App* child : children(command))
    walk(*child, words + " " + child->get_name(), visit);
}

// Inside single quotes of a POSIX shell.
std::string shell_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::string bash_completion(const CLI::App& root) {
  std::string paths;
  std::string tables;
  walk(root, "brisk", [&](const CLI::App& command, const std::string& words) {
    if (words != "brisk") paths += (paths.empty() ? "" : " | ") + shell_quoted(words);
    std::string flags;
    std::string names;
    for (const Flag& flag : flags_of(command)) flags += flag.name + " ";
    for (const CLI::App* child : children(command)) names += child->get_name() + " ";
    tables += fmt::format("    {}) flags={} names={} ;;\n", shell_quoted(words),
                          shell_quoted(flags), shell_quoted(names));
  });
  return fmt::format(
      R"(# bash completion of brisk: source it, or put it into /etc/bash_completion.d.
_brisk() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} path=brisk flags='' names='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path ${{COMP_WORDS[i]}}" in
    {}) path="$path ${{COMP_WORDS[i]}}" ;;
    esac
  done
  case $path in
{}  esac
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$current")
  else
    mapfile -t COMPREPLY < <(compgen -W "$names" -- "$current")
  fi
}}
complete -o default -F _brisk brisk
)",
      paths, tables);
}

std::string without_brackets(std::string text) {
  for (char& c : text) {
    if (c == '[' || c == ']' || c == ':') c = ' ';
  }
  return text;
}

std::string function_name(std::string words) {
  std::ranges::replace(words, ' ', '_');
  return "_" + words;
}

std::string zsh_completion(const CLI::App& root) {
  std::string text = "#compdef brisk\n# zsh completion of brisk: put it as _brisk into $fpath.\n";
  walk(root, "brisk", [&](const CLI::App& command, const std::string& words) {
    text += fmt::format("\n{}() {{\n", function_name(words));
    std::string arguments;
    for (const Flag& flag : flags_of(command)) {
      const std::string value = flag.value.empty() ? "" : ":value:_files";
      arguments += " \\\n    " +
                   shell_quoted(flag.name + "[" + without_brackets(flag.description) + "]" + value);
    }
    const std::vector<const CLI::App*> subcommands = children(command);
    if (subcommands.empty()) {
      text += "  _arguments" + arguments + " \\\n    '*:file:_files'\n}\n";
      return;
    }
    text += "  local state line\n  _arguments -C" + arguments +
            " \\\n    '1:command:->command' \\\n    '*::argument:->argument'\n";
    text += "  case $state in\n  command)\n    local -a commands=(\n";
    for (const CLI::App* child : subcommands) {
      text += "      " +
              shell_quoted(child->get_name() + ":" + one_line(child->get_description())) + "\n";
    }
    text += "    )\n    _describe command commands ;;\n  argument)\n    case $line[1] in\n";
    for (const CLI::App* child : subcommands) {
      text += fmt::format("    {}) {} ;;\n", child->get_name(),
                          function_name(words + " " + child->get_name()));
    }
    text += "    esac ;;\n  esac\n}\n";
  });
  return text + "\n_brisk \"$@\"\n";
}

// The condition under which fish offers what belongs to `words`.
std::string fish_condition(const CLI::App& command, const std::string& words) {
  if (words == "brisk") return "__fish_use_subcommand";
  std::string condition;
  for (size_t start = words.find(' '); start != std::string::npos;) {
    const size_t end = words.find(' ', start + 1);
    condition += (condition.empty() ? "" : "; and ") + std::string("__fish_seen_subcommand_from ") +
                 words.substr(start + 1, end == std::string::npos ? end : end - start - 1);
    start = end;
  }
  (void)command;
  return condition;
}

std::string fish_completion(const CLI::App& root) {
  std::string text =
      "# fish completion of brisk: put it into ~/.config/fish/completions/brisk.fish.\n";
  walk(root, "brisk", [&](const CLI::App& command, const std::string& words) {
    const std::string condition = shell_quoted(fish_condition(command, words));
    for (const CLI::App* child : children(command)) {
      text += fmt::format("complete -c brisk -n {} -a {} -d {}\n", condition, child->get_name(),
                          shell_quoted(one_line(child->get_description())));
    }
    for (const Flag& flag : flags_of(command)) {
      const bool is_long = flag.name.starts_with("--");
      text += fmt::format("complete -c brisk -n {} {} {}{} -d {}\n", condition,
                          is_long ? "-l" : "-s", flag.name.substr(is_long ? 2 : 1),
                          flag.value.empty() ? "" : " -r", shell_quoted(flag.description));
    }
  });
  return text;
}

// Text as troff takes it.
std::string troff(std::string_view text) {
  std::string out;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '-') {
      out += "\\-";
    } else if (c == '\\') {
      out += "\\e";
    } else {
      out += c;
    }
    line_start = c == '\n';
  }
  return out;
}

void append_command(std::string* page, const CLI::App& command, const std::string& words) {
  std::string usage = "\\fB" + troff(words) + "\\fR";
  if (!flags_of(command).empty()) usage += " [\\fIoptions\\fR]";
  for (const CLI::Option* each : positionals_of(command)) {
    const std::string name = "\\fI" + troff(each->get_name()) + "\\fR";
    usage += each->get_required() ? " " + name : " [" + name + "]";
  }
  if (!children(command).empty()) usage += " \\fIcommand\\fR";
  *page += fmt::format(".SS {}\n{}\n.PP\n{}\n", troff(words), usage,
                       troff(one_line(command.get_description())));
  for (const CLI::Option* each : positionals_of(command)) {
    *page += fmt::format(".TP\n\\fI{}\\fR\n{}\n", troff(each->get_name()),
                         troff(one_line(each->get_description())));
  }
  for (const Flag& flag : flags_of(command)) {
    *page += fmt::format(".TP\n\\fB{}\\fR{}\n{}\n", troff(flag.all),
                         flag.value.empty() ? "" : " \\fI" + troff(flag.value) + "\\fR",
                         troff(flag.description));
  }
  if (!command.get_footer().empty())
    *page += ".PP\n.nf\n" + troff(command.get_footer()) + "\n.fi\n";
}

std::string man_page(const CLI::App& root) {
  std::string page = ".TH BRISK 1 \"\" \"brisk\" \"User Commands\"\n.SH NAME\nbrisk \\- ";
  page += troff("makes open-weight language models fast");
  page += "\n.SH SYNOPSIS\n\\fBbrisk\\fR [\\fIoptions\\fR] \\fIcommand\\fR ...\n.SH COMMANDS\n";
  walk(root, "brisk", [&](const CLI::App& command, const std::string& words) {
    append_command(&page, command, words);
  });
  page +=
      ".SH EXIT STATUS\n0: done. 1: bad input or a fault of the system, with a line on standard "
      "error. 2: a gate was missed.\n.SH ENVIRONMENT\n.TP\nBRISK_API_KEY\nthe key that requests to "
      "\\fBbrisk serve\\fR must carry\n.TP\nBRISK_MODEL\nthe model where none is named\n";
  return page;
}

}  // namespace

CommandAction add_completion(CLI::App& app) {
  auto shell = std::make_shared<std::string>();
  app.footer("brisk completion bash");
  app.add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  return [shell, &app] {
    const CLI::App& root = root_of(app);
    if (*shell == "bash") fmt::print("{}", bash_completion(root));
    if (*shell == "zsh") fmt::print("{}", zsh_completion(root));
    if (*shell == "fish") fmt::print("{}", fish_completion(root));
    return absl::OkStatus();
  };
}

CommandAction add_man(CLI::App& app) {
  app.footer("brisk man > brisk.1");
  return [&app] {
    fmt::print("{}", man_page(root_of(app)));
    return absl::OkStatus();
  };
}

}  // namespace brisk
