#include "services/tools/client/completion.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace stockalert::client {
namespace {

// What may stand where.
struct Words {
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  std::vector<std::string> paths;   // "stockalert alert create"
  Pairs commands;                   // From a path to the commands and flags behind it.
  Pairs choices;                    // From a path with a flag to the flag's values.
  std::vector<std::string> valued;  // Paths with a flag whose values nothing is known of.
};

// Those of CLI::IsMember, whose description is "{once,repeat}"; empty: none.
std::string ChoicesOf(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t begin = type.find('{'), end = type.find('}');
  if (begin == std::string::npos || end == std::string::npos || end < begin) return "";
  return absl::StrJoin(absl::StrSplit(type.substr(begin + 1, end - begin - 1), ','), " ");
}

void Collect(const CLI::App& app, const std::string& path, const std::vector<std::string>& inherited, Words& words) {
  std::vector<std::string> flags = inherited;
  std::vector<std::string> here;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      const std::string flag = "--" + name;
      if (std::find(flags.begin(), flags.end(), flag) == flags.end()) flags.push_back(flag);
      if (const std::string choices = ChoicesOf(*option); !choices.empty()) {
        words.choices.emplace_back(path + " " + flag, choices);
      } else if (option->get_items_expected_max() > 0) {
        words.valued.push_back(path + " " + flag);
      }
    }
    // Words that must be one of some.
    if (option->get_positional()) here.push_back(ChoicesOf(*option));
  }
  for (const CLI::App* command : app.get_subcommands({})) here.push_back(command->get_name());
  words.paths.push_back(path);
  words.commands.emplace_back(path, absl::StrCat(absl::StrJoin(here, " "), " ", absl::StrJoin(flags, " ")));
  for (const CLI::App* command : app.get_subcommands({})) {
    Collect(*command, path + " " + command->get_name(), flags, words);
  }
}

// The body that both shells understand: it follows the words before the present one, and leaves in `candidates`
// what may stand there. A flag's value is looked for at the command and at those above it.
std::string Body(const CLI::App& app) {
  Words words;
  Collect(app, app.get_name(), {}, words);
  std::string text = "    case \"$place $word\" in\n";
  for (const std::string& path : words.paths) {
    if (path != app.get_name()) absl::StrAppend(&text, "      '", path, "') place=\"$place $word\" ;;\n");
  }
  absl::StrAppend(&text, "    esac\n  done\n  upper=$place\n  while :; do\n    case \"$upper $previous\" in\n");
  for (const auto& [flag, choices] : words.choices) {
    absl::StrAppend(&text, "      '", flag, "') candidates='", choices, "'; return ;;\n");
  }
  for (const std::string& flag : words.valued) absl::StrAppend(&text, "      '", flag, "') candidates=''; return ;;\n");
  absl::StrAppend(&text,
                  "    esac\n    case \"$upper\" in *' '*) upper=${upper% *} ;; *) break ;; esac\n  done\n"
                  "  case \"$place\" in\n");
  for (const auto& [path, names] : words.commands) {
    absl::StrAppend(&text, "    '", path, "') candidates='", names, "' ;;\n");
  }
  absl::StrAppend(&text, "  esac\n}\n");
  return text;
}

}  // namespace

std::string BashCompletion(const CLI::App& app) {
  return absl::StrCat(
      "# bash completion of stockalert, made by `stockalert completion bash`\n"
      "_stockalert_words() {\n"
      "  local place=stockalert upper word i\n"
      "  candidates=''\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    word=${COMP_WORDS[i]}\n",
      Body(app),
      "_stockalert() {\n"
      "  local candidates previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
      "  _stockalert_words\n"
      "  mapfile -t COMPREPLY < <(compgen -W \"$candidates\" -- \"${COMP_WORDS[COMP_CWORD]}\")\n"
      "}\n"
      "complete -o default -F _stockalert stockalert\n");
}

std::string ZshCompletion(const CLI::App& app) {
  return absl::StrCat(
      "#compdef stockalert\n"
      "# zsh completion of stockalert, made by `stockalert completion zsh`\n"
      "_stockalert_words() {\n"
      "  local place=stockalert upper word i\n"
      "  candidates=''\n"
      "  for ((i = 2; i < CURRENT; i++)); do\n"
      "    word=${words[i]}\n",
      Body(app),
      "_stockalert() {\n"
      "  local candidates previous=${words[CURRENT-1]}\n"
      "  _stockalert_words\n"
      "  if [[ -n $candidates ]]; then compadd -- ${=candidates}; else _files; fi\n"
      "}\n"
      "if [[ $funcstack[1] = _stockalert ]]; then _stockalert \"$@\"; else compdef _stockalert stockalert; fi\n");
}

}  // namespace stockalert::client
