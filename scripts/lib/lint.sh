#!/usr/bin/env bash
# lint.sh: shellcheck over every shell script, ruff over every Python file, clang-format, the length of functions, the names of types, and the tree's own rules.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
bad=0
complain() {
  printf '%s\n' "$*"
  bad=1
}
mapfile -d '' -t files < <(git ls-files -z --cached --others --exclude-standard)
shells=()
pythons=()
for file in "${files[@]}"; do
  [ -f "$file" ] || continue
  case "$(head -c 64 -- "$file" | head -n 1 | tr -d '\0')" in
    '#!'*bash | '#!'*/sh) shells+=("$file") ;;
    '#!'*python3) pythons+=("$file") ;;
    *) case $file in *.py) pythons+=("$file") ;; esac ;;
  esac
done
shellcheck -x "${shells[@]}" || bad=1
scripts/lib/ruff.sh check --quiet --no-cache "${pythons[@]}" || bad=1

# C++ as .clang-format has it: scripts/lib/format.sh writes it so.
mapfile -d '' -t sources < <(printf '%s\0' "${files[@]}" | grep -zE '\.(cc|h)$')
clang-format-19 --dry-run --Werror "${sources[@]}" || complain "unformatted C++: scripts/lib/format.sh mends it"
scripts/lib/function_length.py || bad=1
scripts/lib/type_names.py || bad=1
# Every reason that an error gives is in docs/errors.md.
scripts/lib/error_reasons.py --check || bad=1

# Unfinished by its own words.
if git grep -nIE '\b(TODO|FIXME|XXX)\b|not implemented' -- services proto tests scripts cmake ':!scripts/lib/lint.sh'; then
  complain "unfinished work is finished, or written down as an issue"
fi
# A header can be included twice, and names its namespace's folder.
while read -r header; do
  grep -q '^#pragma once$' "$header" || complain "$header: no #pragma once"
done < <(git ls-files 'services/*.h' 'tests/*.h')
# Locks are those that clang checks (lock_check.py).
if git grep -nE '^[^/]*(std::(shared_|recursive_)?mutex|std::condition_variable|std::(lock_guard|unique_lock|scoped_lock|shared_lock)|absl::Mutex)' -- \
  services ':!services/common/base/mutex.h'; then
  complain "locks are those of services/common/base/mutex.h, which clang checks"
fi
# Doubles are no prices: exact decimals alone.
if git grep -nE '^[^/]*\b(double|float)\b' -- services/domain; then
  complain "prices and percentages are whole numbers of micros and 1e-4 of a percent"
fi
# Services and tools stand beside each other, on the domain and on plumbing; the domain stands on base and the log's protos alone.
includes() { # includes FOLDER ALLOWED: the includes of a folder that are not of what it may include, as a regular expression.
  git grep -nE '#include [<"](services|stockalert)/' -- "$1" | grep -vE "#include \"($2)"
}
for room in services/*/ services/tools/*/; do
  room=${room%/}
  case $room in
    services/tools) ;; # A tool is a room of its own.
    services/common) includes "$room" "services/common/|stockalert/" && complain "common is plumbing: what knows an alert or a service is not" ;;
    services/domain) includes "$room" "services/domain/|services/common/base/|stockalert/internal/v1/(log|events)\.pb\.h" &&
      complain "the domain includes only itself, base and the log's protos" ;;
    *) includes "$room" "$room/|services/common/|services/domain/|stockalert/" && complain "$room includes another service or tool" ;;
  esac
done
if git grep -nE '#include [<"](grpc|soci|librdkafka|libpq|curl|boost)' -- services/domain; then
  complain "the domain has no I/O"
fi
if git grep -noE 'gRPC::[a-z+]+|PkgConfig::[A-Z]+|soci_[a-z]+|stockalert_[a-z_]+' -- 'services/domain/*CMakeLists.txt' |
  grep -vE ':stockalert_(add_library|base|log_proto|price|market|condition|record|record_codec|fold|message)$'; then
  complain "the domain links only itself, base and the log's protos"
fi
# The auditor is to find what the fold gets wrong: they share what goes in and comes out, as plain data.
if includes tests/support/auditor "tests/|services/domain/(condition/definition|market/session|record/event)\.h"; then
  complain "the auditor shares no rule with the fold"
fi
# The tree tells the roles, as CONTRIBUTING.md has them.
for service in user ticker alert fetcher evaluator notifier; do
  for file in README.md main.cc config.h config.cc app.h app.cc '*_service.h' '*_service.cc'; do
    [ -n "$(git ls-files "services/$service/$file")" ] || complain "services/$service has no $file"
  done
  case $service in
    fetcher | notifier) ;;
    *) [ -f "services/$service/${service}_logic.cc" ] || complain "services/$service has no ${service}_logic.cc" ;;
  esac
  for store in services/"$service"/postgres_*_store.cc; do
    interface=${store/postgres_/}
    [ "$service" = fetcher ] || [ -f "${interface%.cc}.h" ] || complain "$store has no interface ${interface%.cc}.h"
  done
done
# A unit's test lies where the unit does; the auditor and the contract's vectors are no units.
while read -r folder; do
  case $folder in auditor | vectors) ;; *) [ -d "services/$folder" ] || complain "tests/unit/$folder: there is no services/$folder" ;; esac
done < <(git ls-files 'tests/unit/*_test.cc' | sed 's|^tests/unit/||; s|/[^/]*$||' | sort -u)
if git grep -nE '#include [<"](soci|grpcpp|librdkafka|libpq|services/common/(kafka|postgres))' -- 'services/*/*_logic.h' 'services/*/*_logic.cc'; then
  complain "rules have no I/O: that is the edge's and the stores'"
fi
while read -r size name; do
  [ "$size" -le 1024 ] || complain "$name is larger than 1 MiB"
done < <(git ls-files -z | xargs -0 -r du -k --apparent-size 2>/dev/null)
exit $bad
