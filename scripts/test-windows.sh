#!/usr/bin/env bash
# Runs the tests on Windows (under Wine), after holding their names against those of this system:
# the same cases must be there, but for what tests/windows-skips.txt names with its reason.
#
#   scripts/test-windows.sh [--names-only]
#
# Needs scripts/provision-windows.sh to have run.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/windows-environment.sh"

packages=(
  fastport-buffer fastport-engine fastport-protocol fastport fastport-testkit fastport-admin fastport-cli
)
# What is built and run there. fastport-system has nothing on other systems to be held against.
windows_tests=(test --locked --package fastport-system "${packages[@]/#/--package=}")
list=$project/tests/windows-skips.txt
skips_max=5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

main() {
  local names_only=false
  case "${1:-}" in
    '') ;;
    --names-only) names_only=true ;;
    -h | --help) usage && return 0 ;;
    *) usage >&2 && return 2 ;;
  esac
  cd "$project"
  build windows scripts/cargo-windows.sh "${windows_tests[@]}"
  build here cargo test --locked
  local package
  for package in "${packages[@]}"; do
    names "$package" here
    names "$package" windows
    compare "$package"
  done
  check_list
  if [ "$names_only" = false ]; then
    run_tests
  fi
}

# Builds all test programs as they are run, with the examples that some start, here by the README's
# own command, and notes in $work/$1.programs the folder of each program's package and its path. One
# build for all packages: cargo unites the features of what it builds together, so one for each would
# compile most of the tree anew each time.
build() {
  local where=$1
  shift
  "$@" --no-run --message-format json-render-diagnostics >"$work/messages" || return
  sed -nE 's/^.*"manifest_path":"[^"]*\/crates\/([^"\/]+)\/Cargo\.toml".*"profile":\{[^}]*"test":true\}.*"executable":"([^"]+)".*$/\1 \2/p' \
    "$work/messages" >"$work/$where.programs"
}

# Writes the test names of package $1 to a file named after $2: the test program, a colon, and the
# case without the engine that it runs on.
names() {
  local package path
  : >"$work/$1.$2.all"
  while read -r package path; do
    if [ "$package" = "$1" ]; then
      run_program "$2" "$path" --list --format terse </dev/null |
        sed -n "s/\r\$//; s/: test\$//p" | sed "s/^/$(program_of "$1" "$path"):/" >>"$work/$1.$2.all"
    fi
  done <"$work/$2.programs"
  if [ ! -s "$work/$1.$2.all" ]; then
    say "$1: no cases were listed ($2)"
    return 1
  fi
  engineless <"$work/$1.$2.all" | sort -u >"$work/$1.$2"
}

# The name of a test program from its path; that of the crate itself is "lib".
program_of() {
  local name=${2##*/}
  name=${name%-*}
  if [ "$name" = "${1//-/_}" ]; then echo lib; else echo "$name"; fi
}

run_program() {
  local where=$1 path=$2
  shift 2
  if [ "$where" = windows ]; then
    scripts/cargo-windows.sh wine "$path" "$@"
  else
    "$path" "$@"
  fi
}

# Engines and ways of dispatch are modules at the front of a suite's cases. Those with faults above
# the engine are other cases, and fewer.
engineless() {
  sed -E 's/^((conformance|tls):)(faulty_)?(io_uring(_direct)?|poll|uring(_direct)?|iocp[a-z_]*)(_inline|_pool)?::/\1\3/'
}

# Every engine and every way of dispatch must have all the cases of its suite.
check_mounts() {
  local package=$1 all=$work/$1.windows.all mount count most
  sed -nE 's/^conformance:((io_uring|poll|uring|iocp[a-z_]*)(_inline|_pool)?)::.*/\1/p' "$all" |
    sort | uniq -c >"$work/mounts"
  most=$(awk '$1 > most {most = $1} END {print most + 0}' "$work/mounts")
  while read -r count mount; do
    if [ "$count" -ne "$most" ]; then
      say "$package: $mount has $count cases, another has $most"
      return 1
    fi
  done <"$work/mounts"
}

compare() {
  local package=$1 name lacking=0
  comm -23 "$work/$package.here" "$work/$package.windows" >"$work/missing"
  while read -r name; do
    if ! excused "$package" "$name"; then
      say "$package: $name does not exist on Windows, and tests/windows-skips.txt does not say why"
      lacking=$((lacking + 1))
    fi
  done <"$work/missing"
  say "$package: $(wc -l <"$work/$package.here") cases here, $(wc -l <"$work/$package.windows") on" \
    "Windows ($(wc -l <"$work/$package.windows.all") with every engine)"
  [ "$lacking" -eq 0 ] && check_mounts "$package"
}

# Whether the list says that tests with this name are about one kernel.
excused() {
  local kind package prefix reason
  while read -r kind package prefix reason; do
    if [ "$kind $package" = "kernel $1" ] && [[ $2 == "$prefix"* ]]; then
      return 0
    fi
  done <"$list"
  return 1
}

# Holds the list itself to what it says of itself.
check_list() {
  local kind package name reason count=0
  while read -r kind package name reason; do
    case "$kind" in
      '' | '#') continue ;;
      skip)
        count=$((count + 1))
        grep -q ":$name\$" "$work/$package.windows" ||
          { say "$list: no case $name in $package" && return 1; }
        ;;
      kernel)
        grep -q "^$name" "$work/$package.here" ||
          { say "$list: nothing begins with $name in $package" && return 1; }
        ;;
      *) say "$list: $kind is neither skip nor kernel" && return 1 ;;
    esac
    [ -n "$reason" ] || { say "$list: $name has no reason" && return 1; }
  done <"$list"
  [ "$count" -le $skips_max ] || { say "$list: $count skips, $skips_max at most" && return 1; }
  say "$count cases of at most $skips_max are skipped, see tests/windows-skips.txt"
}

run_tests() {
  local kind package name reason arguments=()
  while read -r kind package name reason; do
    if [ "$kind" = skip ]; then
      arguments+=(--skip "$name")
    fi
  done <"$list"
  scripts/cargo-windows.sh "${windows_tests[@]}" --lib --bins --tests -- "${arguments[@]}"
}

main "$@"
