#!/usr/bin/env bash
# Starts a server with 4 GB of address space and 1024 descriptors, attacks it with test/hostile for DURATION, and checks that
# it survives.
# Usage: test/hostile.sh [DURATION [-seed N]]. STEGA names the program; by default it is built. It exits with 0 if the server
# withstands the attack.
set -euo pipefail
duration=${1:-10m}
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
server=
end() {
  trap - EXIT
  [ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server" || true; }
  rm -rf "$dir"
}
trap end EXIT
trap 'exit 1' INT TERM

stega=${STEGA:-$dir/stega}
[ -n "${STEGA:-}" ] || go build -o "$stega" .
go build -o "$dir/hostile" ./test/hostile
export STEGA_DATA=$dir/data
prlimit --as=4000000000 --nofile=1024 "$stega" up --demo --addr 127.0.0.1:0 >"$dir/log" 2>&1 &
server=$!
until grep -q 'stega is ready on' "$dir/log"; do
  kill -0 "$server" || { cat "$dir/log"; exit 1; }
  sleep 0.1
done
url=$(sed -n 's/.*stega is ready on \([^ ,]*\).*/\1/p' "$dir/log" | head -1)
token() { "$stega" --direct --url "$url" token create "$@" -q; }
status=0
"$dir/hostile" -url "$url" -token "$(token hostile)" -write-token "$(token writer --scope write)" -good-token "$(token good)" \
  -duration "$duration" "${@:2}" || status=$?
if kill -0 "$server" 2>/dev/null && [ -r "/proc/$server/status" ]; then
  echo "the server runs; its memory: $(awk '/^(VmHWM|VmRSS)/ { print $1, $2, $3 }' "/proc/$server/status" | xargs)"
else
  echo 'the server has ended; the end of its log:'
  status=1
fi
if grep -n -m 5 'panic' "$dir/log"; then status=1; fi
[ "$status" = 0 ] || tail -n 40 "$dir/log"
exit "$status"
