#!/bin/sh
# What the pages quote of measurements is what the files of results say, and a page that does not is noticed.
#   results_test.sh SOURCE_FOLDER
set -eu
cd "$1"
command -v python3 >/dev/null || { echo "skipped: there is no python3"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
kinds='two_garments\|every\|ranks_bench\|ranks_model\|checkpoints\|steps\|peaks\|peers\|targets\|bevfusion_peers'
pages=$(grep -l "^<!-- \($kinds\) " docs/*.md) || { echo "skipped: no page quotes results"; exit 77; }
for page in $pages; do
  scripts/quote_results --check "$page"
  # One digit of a table's row, changed.
  sed "/^<!-- \($kinds\) /,/^<!-- \/\($kinds\)/ s/^\(| .* | \)[0-9]/\1?/" "$page" >"$work/page.md"
  ! cmp -s "$page" "$work/page.md" || { echo "$page quotes no table"; exit 1; }
  if scripts/quote_results --check "$work/page.md" 2>/dev/null; then
    echo "a page that quotes another figure was not noticed"
    exit 1
  fi
done
echo "quoted as measured: $pages"
