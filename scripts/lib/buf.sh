#!/usr/bin/env bash
# buf.sh ARGUMENT...: buf at the version that this tree is checked with, from npm, once a checkout.
set -euo pipefail
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build/tools
buf=$tools/node_modules/.bin/buf
if [ ! -x "$buf" ]; then
  mkdir -p "$tools"
  npm install --silent --no-fund --no-audit --prefix "$tools" @bufbuild/buf@1.50.0 >&2 || {
    echo "buf could not be installed by npm: is npm there, and the network up?" >&2
    exit 69
  }
fi
exec "$buf" "$@"
