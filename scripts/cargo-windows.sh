#!/usr/bin/env bash
# cargo for Windows (x86_64-pc-windows-gnu) on Linux: builds as usual, runs under Wine.
#
#   scripts/cargo-windows.sh build|check|clippy|test|run ... cargo's own arguments
#   scripts/cargo-windows.sh wine PROGRAM.exe ARGUMENTS...   runs a program
#   scripts/cargo-windows.sh stop                            ends every program that runs
#
# After scripts/provision-windows.sh. Builds go to target/windows, beside those of the host.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/windows-environment.sh"

main() {
  case "${1:-}" in
    '' | -h | --help) usage && return 0 ;;
  esac
  if [ ! -f "$(sysroot_of "$windows")/stamp" ] || [ ! -f "$prefix/system.reg" ]; then
    say "not set up: run scripts/provision-windows.sh first"
    return 2
  fi
  wine_environment
  case "$1" in
    wine) shift && serve && exec "$wine" "$@" ;;
    # Its status is 1 when nothing runs.
    stop) "$wineserver" -k || exit 0; exit 0 ;;
    test | run | bench) serve ;;
  esac
  target_environment "$windows" "${RUSTFLAGS:-}"
  export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=$linker
  export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=$wine
  export CC_x86_64_pc_windows_gnu=$linker AR_x86_64_pc_windows_gnu=$archiver
  export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$project/target}/windows
  exec "$cargo" "$@"
}

# Wine's server ends with the last program; one that waits a while saves a second at each start.
serve() {
  "$wineserver" -p15 >/dev/null 2>&1 </dev/null || true
}

main "$@"
