# What the scripts for Windows and other targets share; sourced by them, does nothing by itself.
#
#   FASTPORT_WINDOWS_HOME  where toolchain parts and the Wine prefix are kept
#                          (default: fastport-windows in $XDG_CACHE_HOME or ~/.cache)
# shellcheck shell=bash disable=SC2034

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
home=${FASTPORT_WINDOWS_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/fastport-windows}
prefix=$home/prefix
windows=x86_64-pc-windows-gnu
linker=x86_64-w64-mingw32-gcc
archiver=x86_64-w64-mingw32-ar

# Debian's Rust, since it comes with the source of the library, from which targets are built that
# have no package. rustup's toolchain is used for everything else and is not touched.
rustc=/usr/bin/rustc
cargo=/usr/bin/cargo
wine=/usr/lib/wine/wine64
wineserver=/usr/lib/wine/wineserver64

# The oldest Rust that the workspace takes.
rust_wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$project/Cargo.toml")

# The scripts read what cargo says.
unset CARGO_TERM_QUIET

say() {
  printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2
}

# Prints the comment at the head of the script that calls it.
usage() {
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
}

# Whether version $1 is at least $2.
at_least() {
  [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}

rust_version() {
  [ -x "$rustc" ] && "$rustc" --version | cut -d ' ' -f 2
}

# Wine without a display, without its log, and without an offer to download what nobody needs.
wine_environment() {
  export WINEPREFIX=$prefix WINEARCH=win64 WINEDEBUG=${WINEDEBUG:--all}
  export WINEDLLOVERRIDES='mscoree=;mshtml=;winemenubuilder.exe='
  unset DISPLAY WAYLAND_DISPLAY
}

# Where the library of a target is kept.
sysroot_of() {
  echo "$home/sysroot-$1"
}

# Installs Debian packages ($2 and on) when one is missing, or when Rust is too old; $1 is "dry" to
# only say so. A user who is not root is told the command.
need_packages() {
  local mode=$1 package missing=()
  shift
  for package in "$@"; do
    if [ "$(dpkg-query -Wf '${db:Status-Status}' "$package" 2>/dev/null || true)" != installed ]; then
      missing+=("$package")
    fi
  done
  if [ ${#missing[@]} -eq 0 ] && at_least "$(rust_version || echo 0)" "$rust_wanted"; then
    return 0
  fi
  # All of them: those that are there may be too old.
  local install="apt-get install -y --no-install-recommends $*"
  if [ "$mode" = dry ]; then
    echo "would run: apt-get update && $install"
    return 0
  fi
  if [ "$(id -u)" -ne 0 ]; then
    say "packages are missing or too old; run this first: sudo sh -c 'apt-get update && $install'"
    return 1
  fi
  say "installing $*"
  # The lists of a fresh image may name a Rust that is too old; the security suite has a newer one.
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive $install -qq >&2
  if ! at_least "$(rust_version || echo 0)" "$rust_wanted"; then
    say "Debian's Rust is $(rust_version), and $rust_wanted is needed: add the security suite"
    return 1
  fi
}

# Builds the standard library of target $1 from source, once: $2 is "build" for one that can be
# linked, "check" for one that is good for type checks only.
#
# RUSTC_BOOTSTRAP is set for this build alone: crates that look for a nightly compiler would find
# one.
build_library() {
  local target=$1 how=$2 sysroot seed stamp artifact profile=dev built=debug
  sysroot=$(sysroot_of "$target")
  stamp="$("$rustc" -vV | sha256sum | cut -c 1-16)-$how-3"
  if [ "$(cat "$sysroot/stamp" 2>/dev/null || true)" = "$stamp" ]; then
    return 0
  fi
  say "building the standard library for $target"
  # Only what runs need be fast.
  if [ "$how" = build ]; then
    profile=release built=release
  fi
  rm -rf "$sysroot"
  mkdir -p "$sysroot/lib/rustlib/$target/lib"
  seed=$(mktemp -d "$home/library.XXXXXX")
  mkdir "$seed/src"
  echo '#![no_std]' >"$seed/src/lib.rs"
  cat >"$seed/Cargo.toml" <<'TOML'
[package]
name = "library-seed"
edition = "2024"

[profile.release]
debug = "line-tables-only"

[workspace]
TOML
  (
    cd "$seed" || return 1
    # With bitcode, since the release profile optimises across crates.
    unset CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS RUSTC_WRAPPER RUSTUP_TOOLCHAIN
    export RUSTC=$rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes CARGO_TARGET_DIR=$seed/target
    "$cargo" "$how" --quiet --profile "$profile" --target "$target" \
      -Z build-std=std,panic_unwind,proc_macro,test >&2
  )
  for artifact in "$seed/target/$target/$built/deps/"*.r{lib,meta}; do
    case "${artifact##*/}" in
      liblibrary_seed-* | '*'*) ;;
      *) cp "$artifact" "$sysroot/lib/rustlib/$target/lib/" ;;
    esac
  done
  if [ "$how" = build ]; then
    rm -f "$sysroot/lib/rustlib/$target/lib/"*.rmeta
  fi
  echo "$stamp" >"$sysroot/stamp"
  rm -rf "$seed"
}

# Makes cargo build for target $1 with the library that `build_library` made, with the flags $2.
# Build scripts and procedural macros are the host's and take no notice.
target_environment() {
  local target=$1 flags=$2 variable
  variable=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$target")_RUSTFLAGS
  unset RUSTC_BOOTSTRAP RUSTUP_TOOLCHAIN CARGO_ENCODED_RUSTFLAGS RUSTFLAGS
  # Debian's cargo finds Debian's clippy-driver.
  export RUSTC=$rustc RUSTDOC=/usr/bin/rustdoc CARGO=$cargo PATH=/usr/bin:$PATH
  export CARGO_BUILD_TARGET=$target
  export "$variable=--sysroot=$(sysroot_of "$target") $flags"
  RUSTDOCFLAGS="--sysroot=$(sysroot_of "$target") ${RUSTDOCFLAGS:-}"
  export RUSTDOCFLAGS
}
