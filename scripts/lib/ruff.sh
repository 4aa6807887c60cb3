#!/usr/bin/env bash
# ruff.sh ARGUMENT...: ruff at the version that this tree is checked with, from PyPI, once a checkout.
set -euo pipefail
version=0.17.5
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tools=$root/build/tools/ruff-$version
if [ ! -x "$tools/bin/ruff" ]; then
  # A folder of its own until it is complete.
  fresh=$(mktemp -d -p "$(mkdir -p "$root/build/tools" && echo "$root/build/tools")")
  trap 'rm -rf "$fresh"' EXIT
  if ! { python3 -m venv "$fresh" && "$fresh/bin/pip" install --quiet --disable-pip-version-check "ruff==$version"; } >&2; then
    echo "ruff could not be installed by pip: is python3-venv there, and the network up?" >&2
    exit 69
  fi
  mkdir -p "$tools/bin"
  mv "$fresh/bin/ruff" "$tools/bin/ruff"
fi
exec "$tools/bin/ruff" "$@"
