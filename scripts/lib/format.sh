#!/usr/bin/env bash
# format.sh: writes every C++ file of the tree as .clang-format has it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scripts/lib/install.sh lint
git ls-files -z --cached --others --exclude-standard '*.cc' '*.h' | xargs -0 clang-format-19 -i
