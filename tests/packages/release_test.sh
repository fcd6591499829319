#!/usr/bin/env bash
# scripts/release on copies of the tree: a rehearsal changes nothing, a release changes every file that names the version, and what
# cannot be released is refused and left as it was. Status 77 where a tool is missing.
#   release_test.sh SOURCE_FOLDER CXX
set -euo pipefail
source=$1 cxx=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for tool in git python3 dpkg-deb cmake; do command -v "$tool" >/dev/null || { echo "skipped: there is no $tool"; exit 77; }; done
export GIT_AUTHOR_NAME=test GIT_AUTHOR_EMAIL=test@fuller.invalid GIT_COMMITTER_NAME=test GIT_COMMITTER_EMAIL=test@fuller.invalid
"$source/scripts/release" --agreed

# A repository of its own, of the tree as it is, whether committed or not.
copy=$work/copy
mkdir "$copy"
(cd "$source" && tar --exclude=__pycache__ -cf - include scripts tests bench docs examples cmake packaging CMakeLists.txt .clang-format *.md CITATION.cff LICENSE) | tar -xf - -C "$copy"
cd "$copy"
git init --quiet .
git add -A
git commit --quiet -m "as it is"
old=$(sed -n 's/.*version = "\([0-9.]*\)".*/\1/p' include/fuller/version.hpp)
new=$(awk -F. '{print $1 "." $2 + 1 ".0"}' <<<"$old")
before=$(git rev-parse HEAD)

unchanged() { [ "$(git rev-parse HEAD)" = "$before" ] && [ -z "$(git status --porcelain)" ] && [ -z "$(git tag)" ] || { echo "$1 changed the repository"; git status --short; exit 1; }; }
refused() {  # WORDS ARGUMENT...
  if scripts/release "${@:2}" >"$work/said" 2>&1 || ! grep -qF -e "$1" "$work/said"; then
    echo "scripts/release ${*:2} was not refused with '$1'; said:"
    cat "$work/said"
    exit 1
  fi
}

scripts/release "$new" --dry-run --date 2030-01-02 >"$work/said"
unchanged "--dry-run"
for text in "## [$new] - 2030-01-02" "version = \"$new\"" "libfuller-dev_$new-1_all.deb" "fuller-$new.tar.gz"; do
  grep -qF -e "$text" "$work/said" || { echo "--dry-run does not show '$text':"; cat "$work/said"; exit 1; }
done

refused "is not after" "$old"
refused "is no version" "$new-beta"
refused "is no date" "$new" --date tomorrow
refused "ended with 1" "$new" --checks false
unchanged "a release whose checks failed"
echo >>LICENSE
refused "not committed" "$new" --checks true
git checkout --quiet LICENSE
sed -i "s/^version: .*/version: 9.9.9/" CITATION.cff
git commit --quiet -am "one file astray"
refused "CITATION.cff has no" "$new" --checks true
refused "CITATION.cff has no" --agreed
git reset --quiet --hard "$before"
unchanged "what was refused"

# What the checks see is what is committed.
scripts/release "$new" --date 2030-01-02 --packages "$work/packages" --checks "scripts/release --agreed | grep -q 'name $new'" >"$work/said" || { cat "$work/said"; exit 1; }
[ "$(git tag)" = "v$new" ] && [ "$(git rev-parse "v$new^{commit}")" = "$(git rev-parse HEAD)" ] && [ -z "$(git status --porcelain)" ] || { echo "no release was made"; git status --short; exit 1; }
(cd "$work/packages" && sha256sum --quiet -c SHA256SUMS)
left=$(git grep -lF -e "$old" -- include cmake packaging scripts CMakeLists.txt CITATION.cff README.md docs/building.md tests/consumer || true)
[ -z "$left" ] || { echo "$old is still in $left"; exit 1; }
"$cxx" -std=c++17 -Iinclude tests/consumer/calibrate.cpp -o "$work/calibrate"
[ "$("$work/calibrate" | cut -d: -f1)" = "fuller $new" ] || { echo "the headers do not say $new"; exit 1; }
refused "nothing under [Unreleased]" "$(awk -F. '{print $1 + 1 ".0.0"}' <<<"$old")" --checks true
echo "$old was released as $new, in a copy."
