#!/usr/bin/env bash
# buf.sh ARGUMENT...: buf at the version that this tree is checked with, from npm, once a checkout.
# buf.sh generate LANGUAGE... [ARGUMENT...]: the stubs of these languages alone (go, java, python, typescript), by buf.gen.yaml's plugins.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tools=$root/build/tools
buf=$tools/node_modules/.bin/buf
if [ ! -x "$buf" ]; then
  mkdir -p "$tools"
  npm install --silent --no-fund --no-audit --prefix "$tools" @bufbuild/buf@1.50.0 >&2 || {
    echo "buf could not be installed by npm: is npm there, and the network up?" >&2
    exit 69
  }
fi

languages=$(sed -n 's|^    out: build/clients/\([a-z]*\)/gen$|\1|p' "$root/buf.gen.yaml" | sort -u | tr '\n' ' ')
wanted=()
if [ "${1:-}" = generate ]; then
  shift
  while [[ ${1:-} =~ ^[a-z]+$ ]]; do
    case " $languages" in
      *" $1 "*) wanted+=("$1") ;;
      *)
        echo "buf.sh: no stubs are made for $1: for $languages" >&2
        exit 2
        ;;
    esac
    shift
  done
  set -- generate "$@"
fi
[ ${#wanted[@]} -gt 0 ] || exec "$buf" "$@"

# What stands before the plugins, and of these the languages' own.
template=$(mktemp --suffix=.yaml)
trap 'rm -f "$template"' EXIT
awk -v wanted="${wanted[*]}" '
  function flush() { if (keep) printf "%s", entry; entry = ""; keep = 0 }
  BEGIN { split(wanted, names, " "); for (i in names) outs["    out: build/clients/" names[i] "/gen"] }
  !plugins { print; plugins = /^plugins:/; next }
  /^  - / { flush() }
  { entry = entry $0 "\n"; if ($0 in outs) keep = 1 }
  END { flush() }' "$root/buf.gen.yaml" >"$template"
"$buf" "$@" --template "$template"
