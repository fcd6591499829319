#!/bin/sh
# Holds the diffs that docs/existing_trainer.md shows against the programs they are said to be of.
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
echo "2 diffs are those of the programs."
