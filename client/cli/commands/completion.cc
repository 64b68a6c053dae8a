#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/commands/commands.h"

namespace yoke::cli {
namespace {

// Each hands the words up to the cursor to `yoke __complete` and falls back to file names where that says nothing.
// Bash splits at "=", so a value is completed alone.
constexpr char kBash[] = R"SH(_yoke() {
  local line=${COMP_LINE:0:COMP_POINT} words last
  read -ra words <<<"$line"
  [[ $line == *' ' ]] && words+=('')
  last=${words[-1]}
  COMPREPLY=($(yoke __complete -- "${words[@]:1}" 2>/dev/null))
  if [[ $last == *=* && $COMP_WORDBREAKS == *=* ]]; then COMPREPLY=("${COMPREPLY[@]#*=}"); fi
  [[ ${#COMPREPLY[@]} -ge 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
complete -o default -F _yoke yoke
)SH";
constexpr char kZsh[] = R"SH(#compdef yoke
_yoke() {
  local -a found keys
  found=(${(f)"$(yoke __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
  keys=(${(M)found:#*=})
  found=(${found:#*=})
  if (( ${#keys} + ${#found} )); then
    (( ${#keys} )) && compadd -S '' -- $keys
    (( ${#found} )) && compadd -- $found
  else
    compset -P '*='
    _files
  fi
}
compdef _yoke yoke
)SH";
constexpr char kFish[] = R"SH(function __yoke_complete
  set -l words (commandline -opc) (commandline -ct)
  yoke __complete -- $words[2..-1] 2>/dev/null
end
complete -c yoke -a '(__yoke_complete)'
)SH";

}  // namespace

void AddCompletion(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("completion", "A script for the shell: source <(yoke completion bash)");
  auto kind = std::make_shared<std::string>();
  command->add_option("shell", *kind, "bash, zsh or fish")->required()->type_name("SHELL");
  command->callback(Guarded(shell, [&shell, kind]() -> int {
    if (*kind != "bash" && *kind != "zsh" && *kind != "fish") {
      return shell.Fail(absl::InvalidArgumentError(absl::StrCat("no completion for '", *kind, "'; bash, zsh or fish is wanted")));
    }
    std::cout << (*kind == "bash" ? kBash : *kind == "zsh" ? kZsh : kFish);
    return client::kOk;
  }));
}

}  // namespace yoke::cli
