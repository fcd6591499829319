#!/bin/sh
# Holds the diffs that docs/existing_trainer.md and examples/python/README.md show against the programs they are said to be of, and the
# latter's table against the tests it names.
#   diffs_test.sh SOURCE_FOLDER
set -eu
examples=$1/examples/07_into_a_trainer
page=$1/docs/existing_trainer.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
number=0
for changed in three_lines one_line; do
  number=$((number + 1))
  awk -v n="$number" '/^```diff$/ {inside = ++block == n; next} /^```$/ {inside = 0} inside' "$page" >"$work/shown"
  # All but the names of the files and the hunk of the comment on top.
  diff -U1 "$examples/plain.cpp" "$examples/$changed.cpp" | awk 'NR > 2 && /^@@/ {hunk++} hunk > 1' >"$work/real"
  diff -u "$work/shown" "$work/real" || { echo "$page: diff $number is not that of plain.cpp and $changed.cpp"; exit 1; }
done
python=$1/examples/python
awk '/^```diff$/ {inside = 1; next} /^```$/ {inside = 0} inside' "$python/README.md" >"$work/shown"
# All but the names of the files and the change of the text on top.
diff -U1 "$python/plain.py" "$python/three_lines.py" | sed -e 1,2d -e '/^[-+]"""/d' -e '/^ # SPDX/d' -e 's/^@@ -1,4 +1,5 @@$/@@ -3,2 +3,3 @@/' >"$work/real"
diff -u "$work/shown" "$work/real" || { echo "$python/README.md: the diff is not that of plain.py and three_lines.py"; exit 1; }
sed -n 's/^    def \(test_[a-z_0-9]*\)(.*/\1/p' "$python"/test_ranks.py "$python"/test_fuller.py | LC_ALL=C sort >"$work/there"
grep -oE '`test_[a-z_0-9]+`' "$python/README.md" | tr -d '`' | LC_ALL=C sort -u >"$work/named"
gone=$(LC_ALL=C comm -13 "$work/there" "$work/named")
[ -z "$gone" ] || { echo "$python/README.md names tests that are not there: $gone"; exit 1; }
awk '/^class /{inside = /class (Beside|Ranks)/} inside && sub(/^    def /, "") && /^test_/ {sub(/\(.*/, ""); print}' "$python"/test_ranks.py "$python"/test_fuller.py | LC_ALL=C sort >"$work/shown"
untold=$(LC_ALL=C comm -23 "$work/shown" "$work/named")
[ -z "$untold" ] || { echo "$python/README.md does not name $untold"; exit 1; }
echo "3 diffs are those of the programs, and $(wc -l <"$work/named") tests of the table are there."
