#!/bin/sh
# scripts/new_rule, in a copy of the tree: it touches the files that the checklist of CONTRIBUTING.md names and no other, what it
# writes compiles, its test fails with words, and passes once the mathematics is there.
#   new_rule_test.sh SOURCE_FOLDER COMPILER INCLUDE_FOLDERS MAIN_OBJECT     (folders and objects apart by colons)
set -eu
source=$1
compiler=$2
includes=$(printf '%s' "$3" | tr ':' '\n' | sed '/^$/d; s/^/-isystem /' | tr '\n' ' ')
main=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for copy in before after; do
  mkdir "$work/$copy"
  (cd "$source" && tar -cf - include scripts tests bench docs examples cmake CMakeLists.txt .clang-format README.md CONTRIBUTING.md CHANGELOG.md) |
    tar -xf - -C "$work/$copy"
done
cd "$work/after"
scripts/new_rule Probe_Grad >"$work/said"

# Which files it touched, and which the checklist's lines with NAME or HEADER name.
diff -rq "$work/before" "$work/after" | sed -E "s,^Only in $work/after/([^:]*): ,\1/,; s,^Files $work/before/([^ ]*) .*,\1," | LC_ALL=C sort -u >"$work/touched"
awk '/^### / {inside = ($0 == "### Add a task rule")} inside && /NAME|HEADER|calibrators_unit|its `Options`/' CONTRIBUTING.md |
  grep -oE '`[^`]*/[^`]*`|`README.md`' | tr -d '`' | grep -vE '^#|^scripts/|/$|rule\.hpp$|resume_test' | sed 's/HEADER/probe_grad/' >"$work/named"
echo tests/unit/probe_grad_test.cpp >>"$work/named"
LC_ALL=C sort -u "$work/named" -o "$work/named"
diff -u "$work/named" "$work/touched" || { echo "scripts/new_rule does not touch what the checklist (-) names"; exit 1; }
tests/docs/checklists_test.sh . || exit 1

refused() {  # WORDS NAME
  if scripts/new_rule "$2" >"$work/said" 2>&1 || ! grep -q "$1" "$work/said"; then
    echo "scripts/new_rule $2 was to be refused with '$1'; said:"
    cat "$work/said"
    exit 1
  fi
}
refused "is there already" Probe_Grad
refused "is there already" DWA
refused "is no name of a type" probe-grad
refused "a type named Evidence" Evidence

flags="-std=c++17 -O0 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -Iinclude -Itests $includes"
build_and_run() {  # HEADER
  # shellcheck disable=SC2086
  "$compiler" $flags "tests/unit/$1_test.cpp" $(printf '%s' "$main" | tr ':' ' ') -o "$work/test" && "$work/test" >"$work/said" 2>&1
}
# check HEADER PARAMETERS WEIGHT BY_HAND: fails with words as it was written, passes with some mathematics.
check() {
  echo "#include <fuller/calibrators/$1.hpp>" >"$work/alone.cpp"
  # shellcheck disable=SC2086
  "$compiler" $flags -fsyntax-only "$work/alone.cpp"
  if build_and_run "$1"; then
    echo "$1: the new rule's test passes without its mathematics"
    exit 1
  fi
  [ "$(grep -c 'the mathematics is missing' "$work/said")" -ge 2 ] || { echo "$1: the new rule's test fails without words:"; cat "$work/said"; exit 1; }
  sed -i "s,/\*\($2\)\*/,\1,g; s,return detail::quiet_nan,return $3," "include/fuller/calibrators/$1.hpp"
  sed -i "s/by_hand = {};/by_hand = {$4};/" "tests/unit/$1_test.cpp"
  build_and_run "$1" || { echo "$1: the new rule's test fails with its mathematics:"; cat "$work/said"; exit 1; }
}
# The weights 1 / |g_i| of gradients 1 and 2 long, and 1 / L_i of losses of 0.5 and 2.
check probe_grad '[aKG]' '1 / std::sqrt(G[a * K + a])' '1, 0.5'

scripts/new_rule --losses-only Probe_Loss >"$work/said"
tests/docs/checklists_test.sh . || exit 1
grep -q 'needs{false, true}' include/fuller/calibrators/probe_loss.hpp || { echo "--losses-only wrote a rule that needs gradients"; exit 1; }
check probe_loss '[a-z]*' '1 / evidence.losses[i]' '2, 0.5'
echo "$(wc -l <"$work/touched") files touched, as the checklist says; the test fails until the mathematics is there."
