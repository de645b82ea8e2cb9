#!/usr/bin/env bash
# Type-checks the workspace, tests included, for systems that are not this one; warnings are errors.
#
#   scripts/check-targets.sh [TARGET...]
#
# Without a target: all that FastPort supports and this machine can not run. The standard library
# of each is type-checked from source once; nothing is linked. From nothing it takes one to three
# minutes a target, and some seconds later on.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/windows-environment.sh"

targets=(
  x86_64-pc-windows-msvc
  aarch64-pc-windows-msvc
  aarch64-apple-darwin
  x86_64-unknown-freebsd
  aarch64-unknown-linux-gnu
)

main() {
  case "${1:-}" in
    -h | --help) usage && return 0 ;;
    '') ;;
    *) targets=("$@") ;;
  esac
  need_packages install rustc-web cargo-web rust-web-src
  mkdir -p "$home"
  local target
  for target in "${targets[@]}"; do
    build_library "$target" check
    (
      target_environment "$target" '-D warnings'
      # Beside cargo-windows.sh's builds: what is built for this machine is the same.
      export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$project/target}/windows
      say "checking $target"
      # *ring* is C, and there is no compiler for these: TLS is checked without it.
      "$cargo" check --quiet --locked --workspace --all-targets \
        --no-default-features --features fastport-cli/tls \
        --manifest-path "$project/Cargo.toml"
    )
  done
  say "${#targets[@]} targets pass"
}

main "$@"
