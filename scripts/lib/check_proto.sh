#!/usr/bin/env bash
# buf's lint and format over proto/, the stubs of one language alone, and a check that nothing breaks clients: against the protos of the version
# that is deployed (deploy/previous-version), or, in a clone without its commit, against the parent commit's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
buf=scripts/lib/buf.sh
"$buf" --version >/dev/null || {
  [ "${CI:-}" = true ] && exit 1
  echo "proto: SKIPPED" >&2
  exit 77
}
"$buf" lint
"$buf" format --diff --exit-code
# The stubs of one language want no other's tools.
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"$buf" generate python --output "$out"
if [ ! -s "$out/build/clients/python/gen/stockalert/alert/v1/alert_pb2_grpc.py" ] || [ "$(ls "$out/build/clients")" != python ]; then
  echo "proto: buf.sh generate python does not make Python's stubs, and these alone" >&2
  exit 1
fi
if "$buf" generate rust --output "$out" 2>/dev/null; then
  echo "proto: buf.sh makes stubs for a language that it does not know" >&2
  exit 1
fi
base=$(awk '!/^#/ && NF == 2 { print $2 }' deploy/previous-version)
if ! git cat-file -e "$base^{commit}" 2>/dev/null; then
  echo "proto: this clone lacks $base, the version before: compared with the parent commit alone" >&2
  base=$(git rev-parse --verify --quiet HEAD~1 || true)
fi
if [ -z "$base" ] || ! git cat-file -e "$base:buf.yaml" 2>/dev/null; then
  echo "proto: nothing earlier to compare with" >&2
  exit 0
fi
"$buf" breaking --against ".git#ref=$(git rev-parse "$base"),depth=1000"
