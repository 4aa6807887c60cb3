#!/usr/bin/env bash
# build.sh PRESET [TARGET...]: configures where need be and builds, with progress.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
preset=$1
shift
mkdir -p build
# One build of a preset at a time.
exec 9>"build/.$preset.lock"
flock 9
if [ ! -f "build/$preset/build.ninja" ]; then
  echo "Configuring ($preset)" >&2
  cmake --preset "$preset" >"build/configure-$preset.log" 2>&1 || { tail -30 "build/configure-$preset.log" >&2; exit 1; }
fi
# gRPC's headers take a compiler up to 1.5 GiB: no more at a time than the memory bears.
jobs=${STOCKALERT_JOBS:-$(awk -v cores="$(nproc)" '/^MemAvailable/ { j = int($2 / 1572864); print (j < 1 ? 1 : (j > cores ? cores : j)) }' /proc/meminfo)}
# What another checkout compiled serves this one, too.
if [ -z "${CCACHE_BASEDIR+set}" ]; then export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1; fi
log=build/build-$preset.log
: >"$log"
echo "Building ($preset, $jobs at a time; the first time takes a while)" >&2
NINJA_STATUS='[%f/%t] ' ninja -C "build/$preset" -j "$jobs" "$@" >"$log" 2>&1 9>&- &
builder=$!
trap 'kill "$builder" 2>/dev/null || true; wait "$builder" || true; exit 130' INT TERM HUP
shown=-60
while kill -0 "$builder" 2>/dev/null; do
  sleep 0.3
  line=$(tail -c 4000 "$log" | grep -ao '\[[0-9]*/[0-9]*\][[:print:]]*' | tail -1 || true)
  [ -n "$line" ] || continue
  if [ -t 2 ]; then
    printf '\r\e[K  %s' "${line:0:100}" >&2
  elif ((SECONDS - shown >= 30)); then
    echo "  ${line:0:100}" >&2
    shown=$SECONDS
  fi
done
[ -t 2 ] && printf '\r\e[K' >&2
wait "$builder" || {
  grep -nE -A12 'FAILED|error:' "$log" | head -60 >&2
  echo "build: failed; all of it is in $log" >&2
  exit 1
}
