#!/bin/sh
# The checklists of CONTRIBUTING.md are true: every file they name exists, every text they name stands in the file named before it,
# and what they say of every rule or gate law, with NAME and HEADER for its type and header, holds for each that is there.
#   checklists_test.sh SOURCE_FOLDER
set -eu
cd "$1"
page=CONTRIBUTING.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The rules or laws of a folder, as "type header": the structs that say what they need, or, of laws, what they are called.
made_in() {
  for header in "$1"/*.hpp; do
    awk -v header="$(basename "$header" .hpp)" '
      /^(struct|class) / {type = $2}
      /^  static constexpr Needs needs\{/ || (FILENAME ~ /gates\// && /^  static constexpr const char\* name/) {print type, header}' "$header"
  done
}

# One line for each thing that is asserted: section, file, text. An item is a line with a box and what is indented under it.
asserted() {
  awk '
    /^## / {inside = ($0 == "## Checklists")}
    !inside {next}
    /^### / {section = substr($0, 5); every = ""; item = 0}
    /^<!-- every: / {every = $3; next}
    /^- \[ \] / {item = 1; file = ""}
    /^$/ {item = 0}
    item {
      count = split($0, parts, "`")
      for (k = 2; k <= count; k += 2) {
        if (parts[k] !~ /^#include/ && (parts[k] ~ /\// || parts[k] ~ /^[A-Z]+\.md$/)) {
          file = parts[k]
          sub(/\/$/, "", file)
          print section "\037" every "\037" file "\037"
        } else if (file != "") {
          print section "\037" every "\037" file "\037" parts[k]
        }
      }
    }' "$1"
}

# A text "| X" is a row of a table that has X in it; a word must stand there as a word; all else is searched as it is.
stands_in() {
  case $2 in
    '| '*) grep -q "^|.*\`${2#| }[\`<]" "$1" ;;
    *[!A-Za-z_0-9]*) grep -qF -e "$2" "$1" ;;
    *) grep -qwF -e "$2" "$1" ;;
  esac
}

hold() {  # complaints about FILE and TEXT of SECTION
  if [ ! -e "$2" ]; then
    echo "$page, $1: there is no $2"
  elif [ -n "$3" ] && [ -f "$2" ] && ! stands_in "$2" "$3"; then
    echo "$page, $1: $2 has no '$3'"
  elif [ -n "$3" ] && [ -d "$2" ] && ! grep -rqF -e "$3" "$2"; then
    echo "$page, $1: nothing in $2 has '$3'"
  fi
}

complaints() {
  asserted "$1" >"$work/asserted"
  while IFS=$(printf '\037') read -r section every file text; do
    case $file$text in
      *NAME*|*HEADER*)
        if [ -z "$every" ]; then
          echo "$page, $section: NAME or HEADER without a folder they are of"
          continue
        fi
        made_in "$every" >"$work/made"
        [ -s "$work/made" ] || echo "$page, $section: there is none in $every"
        while read -r type header; do
          put_in() { printf '%s' "$1" | sed "s/NAME/$type/g; s/HEADER/$header/g"; }
          hold "$section" "$(put_in "$file")" "$(put_in "$text")"
        done <"$work/made" ;;
      *) hold "$section" "$file" "$text" ;;
    esac
  done <"$work/asserted"
}

count=$(asserted "$page" | wc -l)
[ "$count" -gt 60 ] || { echo "only $count assertions were found in $page"; exit 1; }
if [ -n "$(complaints "$page")" ]; then
  complaints "$page"
  exit 1
fi

# The test itself: a list in which one name is wrong must be complained about, once in each of the ways.
expect() {  # WORDS SED_SCRIPT
  sed "$2" "$page" >"$work/wrong.md"
  ! cmp -s "$page" "$work/wrong.md" || { echo "the test's own '$2' changes nothing"; exit 1; }
  complaints "$work/wrong.md" >"$work/said"
  grep -qF -e "$1" "$work/said" || { echo "$2 was not seen; said:"; cat "$work/said"; exit 1; }
}
expect "there is no include/fuller/calibrators/rules.hpp" 's,calibrators/rule\.hpp,calibrators/rules.hpp,'
expect "rule.hpp has no 'is_rules'" 's,is_rule`,is_rules`,'
expect "calls.hpp has no 'DWAs'" '/cuda\/calls\.hpp`: `NAME`/s,NAME,NAMEs,'
expect "there is no include/fuller/calibrators/dwa.cpp" 's,HEADER\.hpp`: `struct,HEADER.cpp`: `struct,'
expect "calibrators.md has no '| DWAs'" '/row `| NAME`/s,| NAME`,| NAMEs`,'
expect "NAME or HEADER without a folder" '/^<!-- every/d'
echo "$count assertions of the checklists hold."
