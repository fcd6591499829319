#!/usr/bin/env bash
# Packs fuller one way and consumes what was packed; status 77, with the reason, where the tool is missing.
#   packages_test.sh debian|archive|conan|vcpkg|conda|spack SOURCE_FOLDER CXX
# FULLER_PACKAGES_PYTHON: a Python in which conan and rattler-build may be installed (default python3).
set -euo pipefail
kind=$1 source=$2 cxx=$3
here=$source/tests/packages
python=${FULLER_PACKAGES_PYTHON:-python3}
# CMake asks for make, which a machine that builds with Ninja need not have.
! command -v ninja >/dev/null || export CMAKE_GENERATOR=${CMAKE_GENERATOR:-Ninja}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
skip() { echo "skipped: $1"; exit 77; }
fail() { echo "$1" >&2; exit 1; }
needs() { command -v "$1" >/dev/null || skip "there is no $1"; }
quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; return 1; }; }
version=$(sed -n 's/.*version = "\([0-9.]*\)".*/\1/p' "$source/include/fuller/version.hpp")

# A consumer without CMake, by pkg-config: `consume PREFIX [pkg-config option...]`
consume() {
  local prefix=$1
  needs pkg-config
  export PKG_CONFIG_PATH=$prefix/share/pkgconfig
  [ "$(pkg-config "${@:2}" --modversion fuller)" = "$version" ] || fail "fuller.pc does not say $version"
  # shellcheck disable=SC2046
  "$cxx" -std=c++17 -Wall -Wextra -Werror "$source/tests/consumer/calibrate.cpp" $(pkg-config "${@:2}" --cflags --libs fuller) -o "$work/calibrate"
  "$work/calibrate"
}

case $kind in
  debian)
    needs dpkg-deb
    quietly "$source/scripts/package" "$work/packages"
    deb=$(echo "$work"/packages/libfuller-dev_*_all.deb)
    [ "$(dpkg-deb -f "$deb" Package Architecture | tr -d '\n')" = "Package: libfuller-devArchitecture: all" ] || fail "the package is not libfuller-dev of all architectures"
    dpkg-deb -x "$deb" "$work/root"
    consume "$work/root/usr" --define-variable=pcfiledir="$work/root/usr/share/pkgconfig"
    gzip -dc "$work/root/usr/share/doc/libfuller-dev/changelog.gz" | cmp - "$source/CHANGELOG.md"
    command -v lintian >/dev/null || skip "the package was made and consumed, but there is no lintian to look at it"
    lintian --allow-root --pedantic --display-info --fail-on error,warning,info,pedantic "$deb" >"$work/lintian" 2>&1 && [ ! -s "$work/lintian" ] || { cat "$work/lintian" >&2; exit 1; }
    echo "lintian has nothing to say." ;;
  archive)
    needs dpkg-deb
    export SOURCE_DATE_EPOCH=1700000000
    quietly "$source/scripts/package" "$work/packages"
    (cd "$work/packages" && sha256sum --quiet -c SHA256SUMS)
    quietly "$source/scripts/package" "$work/again"
    cmp "$work/packages/SHA256SUMS" "$work/again/SHA256SUMS" || fail "the same sources were packed into other bytes"
    echo x >>"$work/again/fuller-$version.tar.gz"
    ! (cd "$work/again" && sha256sum --status -c SHA256SUMS) || fail "a changed archive passes its checksum"
    tar -C "$work" -xf "$work/packages/fuller-$version.tar.gz"
    consume "$work/fuller-$version" --define-prefix
    for document in LICENSE CHANGELOG.md; do cmp "$work/fuller-$version/share/doc/fuller/$document" "$source/$document"; done
    diff -r "$work/fuller-$version/include/fuller" "$source/include/fuller" >/dev/null || fail "headers were left out, or added" ;;
  conan)
    conan=$(dirname "$(command -v "$python")")/conan
    [ -x "$conan" ] || conan=$(command -v conan) || skip "there is no conan (pip install conan)"
    export CONAN_HOME=$work/conan
    quietly "$conan" profile detect
    # No remote is asked: the header library needs none.
    quietly "$conan" create "$source/packaging/conan" --no-remote -c tools.cmake.cmake_layout:test_folder="$work/test"
    grep -q "fuller $version: 0.66" "$work/log" || { cat "$work/log"; fail "the consumer did not run"; }
    # With LibTorch, by a recipe that has the names of Conan Center's.
    if [ -e /usr/include/torch/csrc/api/include/torch/torch.h ]; then
      quietly "$conan" create "$here/conan_libtorch" --no-remote
      quietly "$conan" create "$source/packaging/conan" --no-remote -o "fuller/*:with_torch=True" -c tools.cmake.cmake_layout:test_folder="$work/test"
      grep -q "^weights 0\." "$work/log" || { cat "$work/log"; fail "the consumer with LibTorch did not run"; }
    else
      echo "without LibTorch, which is not in /usr"
    fi
    [ -z "$(git -C "$source" status --porcelain packaging 2>/dev/null | grep -v '^[AM]' | grep build)" ] || fail "conan left files in the sources" ;;
  vcpkg)
    needs cmake
    port=$source/packaging/vcpkg/ports/fuller
    quietly cmake "-DPORT_FOLDER=$port" "-DWORK=$work" -P "$here/vcpkg_helpers.cmake"
    for file in include/fuller/fuller.hpp share/fuller/fullerConfig.cmake share/fuller/fullerTargets.cmake share/fuller/copyright share/fuller/usage; do
      [ -e "$work/packages/$file" ] || fail "the port installs no $file"
    done
    quietly cmake -S "$source/tests/consumer" -B "$work/consumer" -DCONSUMER_TORCH=OFF "-DCMAKE_CXX_COMPILER=$cxx" "-Dfuller_DIR=$work/packages/share/fuller"
    quietly cmake --build "$work/consumer"
    "$work/consumer/calibrate" ;;
  conda)
    "$python" -c 'import rattler_build' 2>/dev/null || skip "$python has no rattler-build (pip install py-rattler-build)"
    "$python" "$here/conda_recipe.py" "$source" "$version" ;;
  spack)
    "$python" "$here/spack_package.py" "$source" "$version" ;;
  *) fail "no kind of package is called '$kind'" ;;
esac
