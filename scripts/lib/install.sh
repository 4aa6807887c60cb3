#!/usr/bin/env bash
# install.sh GROUP...: installs what is missing of the groups in packages.txt, by apt, with sudo where not root. Quiet where all is there.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

have=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' 2>/dev/null | sed -n 's/ installed$//p') || have=
missing=()
for group in "$@"; do
  while read -r in_group package; do
    [ "$in_group" = "$group" ] || continue
    # A tool that is there by other means (a newer Go or npm) is as good as its package.
    case $package in
      golang-go) command -v go >/dev/null && continue ;;
      npm) command -v npm >/dev/null && continue ;;
      maven) command -v mvn >/dev/null && continue ;;
    esac
    grep -qxF -- "$package" <<<"$have" || missing+=("$package")
  done < <(grep -v '^#' "$here/packages.txt")
done
[ ${#missing[@]} -eq 0 ] && exit 0

command -v apt-get >/dev/null || {
  echo "install: this machine has no apt; install these packages of Debian 12 by other means: ${missing[*]}" >&2
  exit 1
}
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "install: run as root, or install sudo: missing are ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
  sudo -v
fi
echo "Installing ${#missing[@]} Debian packages: ${missing[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log" "${status:-$log}"' EXIT
# Slim images lack the folder, and the Java packages' scripts fail without it. Debian's own cluster stays off: we start a private one.
"${as_root[@]}" mkdir -p /usr/share/man/man1 /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] ||
  echo 'create_main_cluster = false' | "${as_root[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
"${as_root[@]}" apt-get -q -o DPkg::Lock::Timeout=300 update >"$log" 2>&1 || { tail -20 "$log" >&2; echo "install: apt-get update failed: is the network up?" >&2; exit 1; }
# apt tells how far it is by its status lines: dlstatus or pmstatus, what, percent, text. sudo would close a descriptor that we open.
mkdir -p "$here/../../build"
status=$(mktemp -p "$here/../../build")
# shellcheck disable=SC2016 # Its own $0 and $@ are meant.
"${as_root[@]}" sh -c 'exec 3>"$0"; exec "$@"' "$status" env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o Dpkg::Use-Pty=0 \
  -o DPkg::Lock::Timeout=300 -o APT::Status-Fd=3 install --no-install-recommends "${missing[@]}" >"$log" 2>&1 &
installer=$!
trap 'kill "$installer" 2>/dev/null; rm -f "$log" "$status"; exit 130' INT TERM HUP
while kill -0 "$installer" 2>/dev/null; do
  sleep 1
  line=$(tail -n 1 "$status" | awk -F: '/^dlstatus/ { printf "  downloading %d %%", $3 } /^pmstatus/ { printf "  installing %d %%", $3 }')
  [ -n "$line" ] || continue
  if [ -t 2 ]; then printf '\r%s ' "$line" >&2; elif ((SECONDS % 20 == 0)); then echo "$line" >&2; fi
done
[ -t 2 ] && printf '\r\e[K' >&2
wait "$installer" || { tail -30 "$log" >&2; echo "install: apt-get install failed" >&2; exit 1; }
echo "  installed" >&2
