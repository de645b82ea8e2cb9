#!/usr/bin/env bash
# A server behind a bad network: packets lost by nftables, and delayed and reordered by a link in
# user space between two network namespaces. `fastport bench --verify` checks every byte.
#
#   scripts/faults-network.sh [PROGRAM]     by default target/release/fastport
#
# Needs root, iproute2 and, for the loss, nftables; says what it skips, and why. Everything that it
# makes is in namespaces of its own, which it removes.
set -euo pipefail
cd "$(dirname "$0")/.."

program=$(realpath "${1:-target/release/fastport}")
one="fastport-one-$$"
two="fastport-two-$$"
output=$(mktemp)
children=()
failures=0

cleanup() {
  local child
  for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
  wait
  ip netns delete "$one" 2>/dev/null || true
  ip netns delete "$two" 2>/dev/null || true
  rm -f "$output"
}

# Waits until the output has a line that begins with the words.
await() {
  local try
  for try in $(seq 100); do
    grep -q "^$1" "$output" && return
    sleep 0.1
  done
  echo "no '$1' after $try tries" >&2
  return 1
}

# Serves in the first namespace and loads it from the second, on one engine.
ordeal() {
  local name=$1 engine=$2 address=10.66.0.1
  : >"$output"
  ip netns exec "$one" "$program" server --listen "$address:6628" --engine "$engine" \
    --profile trusted >"$output" 2>/dev/null &
  local server=$!
  children+=("$server")
  await "listening on"
  local result=ok
  ip netns exec "$two" "$program" bench --connect "$address:6628" --sessions 20 \
    --payload-min 64 --payload-max 16384 --inflight 4 --iterations 200 --raw --verify \
    --timeout 60s --max-loss 0 >/dev/null 2>&1 || result=FAILED
  kill -TERM "$server"
  wait "$server" || result="FAILED at the drain"
  echo "$name, $engine: $result"
  [ "$result" = ok ] || failures=$((failures + 1))
}

if [ "$(id -u)" -ne 0 ] || ! command -v ip >/dev/null; then
  echo "skipped: network namespaces take root and iproute2"
  exit 0
fi
trap cleanup EXIT
if ! ip netns add "$one" || ! ip netns add "$two"; then
  echo "skipped: network namespaces are not permitted here"
  exit 0
fi
# The server's engine looks whether it works, over its own loopback.
ip -n "$one" link set lo up

# Links the two namespaces; the link before, if there is one, goes.
link() {
  local before=${link:-}
  if [ -n "$before" ]; then
    kill "$before"
    wait "$before" 2>/dev/null || true
  fi
  : >"$output"
  python3 scripts/link.py "$one" "$two" "$@" >"$output" &
  link=$!
  children+=("$link")
  await linked
}

if ! command -v nft >/dev/null; then
  echo "skipped: losing packets takes nftables"
else
  link
  ip netns exec "$one" nft -f - <<'RULES'
table inet faults {
  chain lose {
    type filter hook input priority 0;
    iifname != "lo" numgen random mod 100 < 3 drop
  }
}
RULES
  for engine in io_uring poll; do
    ordeal "3 % of what the server receives is lost" "$engine"
  done
  ip netns exec "$one" nft delete table inet faults
fi

link --delay-ms 20 --jitter-ms 10 --loss 0.5
for engine in io_uring poll; do
  ordeal "20 ms late, give or take 10 ms, in any order, 0.5 % lost" "$engine"
done
exit $((failures > 0))
