#!/usr/bin/env bash
# buf's lint and format over proto/, and a check that nothing breaks clients: against the last release's tag, or, before the first
# release, against the parent commit's protos.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tools=$PWD/build/tools
buf=$tools/node_modules/.bin/buf
if [ ! -x "$buf" ]; then
  mkdir -p "$tools"
  npm install --silent --no-fund --no-audit --prefix "$tools" @bufbuild/buf@1.50.0 >&2 || {
    echo "proto: buf could not be installed by npm" >&2
    [ "${CI:-}" = true ] && exit 1
    echo "proto: SKIPPED" >&2
    exit 77
  }
fi
"$buf" lint
"$buf" format --diff --exit-code
base=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || git rev-parse --verify --quiet HEAD~1 || true)
if [ -z "$base" ] || ! git cat-file -e "$base:buf.yaml" 2>/dev/null; then
  echo "proto: nothing earlier to compare with" >&2
  exit 0
fi
"$buf" breaking --against ".git#ref=$(git rev-parse "$base"),depth=1000"
