// Completion for shells, made from the commands and flags that there are. Pure and thread-safe.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace stockalert::client {

// A script for bash: `source <(stockalert completion bash)`.
std::string BashCompletion(const CLI::App& app);
// A script for zsh, for a file `_stockalert` in $fpath or to be sourced behind compinit.
std::string ZshCompletion(const CLI::App& app);

}  // namespace stockalert::client
