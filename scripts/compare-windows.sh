#!/usr/bin/env bash
# FastPort beside a tokio and a compio server, all of them Windows programs under the same Wine:
# alternating rounds, one load generator (this system's), medians and ratios of messages a second.
#
#   scripts/compare-windows.sh [ROUNDS] [fastport bench's own arguments...]
#
# By default 5 rounds of 1,000 sessions with 64 bytes, one in flight. Each server has one worker.
# Only the ratios mean something: Wine's speed is not that of Windows.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/windows-environment.sh"

rounds=${1:-5}
load=("${@:2}")
if [ ${#load[@]} -eq 0 ]; then
  load=(--sessions 1000 --payload-min 64 --payload-max 64 --iterations 50000)
fi
targets=${CARGO_TARGET_DIR:-$project/target}
programs=$targets/windows/$windows/release
servers=(fastport peer-tokio peer-tokio-per-thread peer-compio)
work=$(mktemp -d)
server=
trap 'stop_server; rm -rf "$work"' EXIT

main() {
  case "${1:-}" in
    -h | --help) usage && return 0 ;;
  esac
  cd "$project"
  cargo build --quiet --release --locked --package fastport-cli
  scripts/cargo-windows.sh build --quiet --release --locked --package fastport-cli
  scripts/cargo-windows.sh build --quiet --release --locked --manifest-path bench/Cargo.toml \
    --bin peer-tokio --bin peer-compio
  local round name order=("${servers[@]}")
  for round in $(seq "$rounds"); do
    # Each round in the other direction: what comes first is not always the same.
    mapfile -t order < <(printf '%s\n' "${order[@]}" | tac)
    for name in "${order[@]}"; do
      measure "$name" >>"$work/$name"
      say "round $round: $name $(tail -n 1 "$work/$name") messages/s"
    done
  done
  echo "| server | messages/s, median of $rounds | lowest to highest | fastport's ratio, median of rounds |"
  echo "|---|---|---|---|"
  for name in "${servers[@]}"; do
    echo "| $name | $(median <"$work/$name") | $(sort -n "$work/$name" | sed -n '1p;$p' | paste -sd ' ' |
      sed 's/ / to /') | $(paste "$work/fastport" "$work/$name" | awk '{print $1 / $2}' | median) |"
  done
}

measure() {
  local address
  case "$1" in
    fastport) start_server fastport.exe server --workers 1 --dispatch inline --log warn ;;
    peer-tokio-per-thread) start_server peer-tokio.exe --flavor per-thread ;;
    *) start_server "$1.exe" ;;
  esac
  address=$(awk '/^listening on/ {print $3; exit}' "$work/output" | tr -d '\r')
  timeout 120 "$targets/release/fastport" bench --connect "$address" --raw --warmup 5 \
    "${load[@]}" --json >"$work/figures" 2>/dev/null </dev/null
  stop_server
  if [ "$(number connection_losses)" -ne 0 ] ||
    [ "$(number measured_responses)" -ne "$(number measured_requests)" ]; then
    say "$1 lost messages or sessions"
    return 1
  fi
  number packets_per_sec
}

# A number from the load generator's JSON, without its fraction.
number() {
  sed -nE "s/.*\"$1\": *([0-9]+).*/\1/p" "$work/figures" | head -n 1
}

start_server() {
  : >"$work/output"
  scripts/cargo-windows.sh wine "$programs/$1" "${@:2}" --listen 127.0.0.1:0 >"$work/output" 2>/dev/null </dev/null &
  server=$!
  local try
  for try in $(seq 100); do
    if grep -q '^listening on' "$work/output"; then return 0; fi
    sleep 0.1
  done
  say "no server after $try tries" && return 1
}

stop_server() {
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=
  fi
}

median() {
  sort -n | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'
}

main "$@"
