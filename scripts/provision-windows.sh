#!/usr/bin/env bash
# Makes a Debian 12 machine able to build FastPort for Windows (x86_64-pc-windows-gnu) and to run
# the result under Wine. Does only what is missing, and says so; two minutes from nothing.
#
#   scripts/provision-windows.sh [--dry-run]
#
#   --dry-run  say what would be done, and do nothing
#
# It installs Debian packages (Rust with the source of its library, mingw, Wine), for which it must
# be root, unless they are there. Everything else goes into one folder, which may be deleted at any
# time: FASTPORT_WINDOWS_HOME, by default fastport-windows in ~/.cache.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/windows-environment.sh"

packages=(
  rustc-web cargo-web rust-web-src rust-web-clippy
  gcc-mingw-w64-x86-64-win32 # the linker, and the system's import libraries
  wine64
  procps # pkill, by which tests send an interrupt into Wine
)

main() {
  local mode=install
  case "${1:-}" in
    '') ;;
    --dry-run) mode=dry ;;
    -h | --help) usage && return 0 ;;
    *) usage >&2 && return 2 ;;
  esac
  need_packages "$mode" "${packages[@]}"
  if [ "$mode" = dry ]; then
    echo "would make in $home, unless it is there: the standard library for $windows," \
      "a Wine prefix, a bcryptprimitives.dll in it"
    return 0
  fi
  mkdir -p "$home"
  # Two at a time would build into each other's folder.
  exec 9>"$home/lock"
  flock 9
  export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=$linker
  build_library "$windows" build
  make_prefix
  add_random_source
  say "ready in $home: rust $(rust_version), $("$wine" --version)"
}

make_prefix() {
  wine_environment
  if [ -f "$prefix/system.reg" ]; then
    return 0
  fi
  say "making the Wine prefix"
  mkdir -p "$prefix"
  timeout 120 "$wine" wineboot --init >/dev/null 2>&1 </dev/null
  timeout 60 "$wineserver" -w || true
}

# Rust's library takes random bytes from ProcessPrng, which Wine has only since 8.18. This one hands
# them on from RtlGenRandom.
add_random_source() {
  local library="$prefix/drive_c/windows/system32/bcryptprimitives.dll" build
  if [ -f "$library" ]; then
    return 0
  fi
  say "adding bcryptprimitives.dll"
  build=$(mktemp -d "$home/random.XXXXXX")
  cat >"$build/random.c" <<'C'
#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(BYTE *bytes, SIZE_T count)
{
    const SIZE_T most = 1 << 20;
    for (SIZE_T done = 0; done < count;) {
        SIZE_T step = count - done < most ? count - done : most;
        if (!RtlGenRandom(bytes + done, (ULONG)step))
            return FALSE;
        done += step;
    }
    return TRUE;
}
C
  "$linker" -O2 -s -shared -o "$build/bcryptprimitives.dll" "$build/random.c" -ladvapi32
  mv "$build/bcryptprimitives.dll" "$library"
  rm -rf "$build"
}

main "$@"
