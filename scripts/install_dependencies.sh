#!/usr/bin/env bash
# Installs what fuller is built with from Debian's packages. Does nothing where they are there.
#
#   scripts/install_dependencies.sh [build] [images] [analysis] [browser] [docs] [memory]
#     build      compiler, CMake, LibTorch, Eigen, and what tests, examples and benchmarks use (always)
#     images     Fashion-MNIST, for the examples
#     analysis   clang-format, clang-tidy, lintian, pkg-config, ctags and Python's venv, for .ci/run
#     docs       Sphinx and Doxygen, for scripts/docs
#     memory     valgrind, for scripts/nightly
#     browser    chromium, in which the page of an experiment is looked at, for .ci/run
set -euo pipefail

packages=(g++ cmake ninja-build ccache libtorch-dev libgloo-dev libopenblas0-pthread libeigen3-dev catch2 libbenchmark-dev
          zlib1g-dev libpng-dev libjpeg-dev nlohmann-json3-dev libcli11-dev libtomlplusplus-dev libsimdjson-dev)
for group in "$@"; do
  case $group in
    build) ;;
    images) packages+=(dataset-fashion-mnist) ;;
    analysis) packages+=(clang-14 clang-format-14 clang-tidy-14 lintian pkg-config python3-venv universal-ctags) ;;
    browser) packages+=(chromium) ;;
    memory) packages+=(valgrind) ;;
    docs) packages+=(doxygen python3-sphinx python3-myst-parser furo) ;;
    *) echo "install_dependencies.sh: no group '$group'" >&2; exit 2 ;;
  esac
done

if ! command -v dpkg-query >/dev/null; then
  echo "This is no Debian; please install the equivalents of: ${packages[*]}" >&2
  exit 1
fi
missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "Packages: all there."
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "Please run as root: apt-get install ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "Installing ${missing[*]} ..."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >"$log" 2>&1 </dev/null; }
# Package lists may be absent or old: fetch them first, and again only if that is what failed.
apt update && apt install -y --no-install-recommends "${missing[@]}" || { cat "$log" >&2; exit 1; }
echo "Installed."
