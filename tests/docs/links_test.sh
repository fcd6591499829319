#!/bin/sh
# Every relative link of the documents leads to a file that is there, and, where it names a heading, to one that the file has.
#   links_test.sh SOURCE_FOLDER
set -eu
cd "$1"
dead=0
count=0
slugs() {  # as the well-known hosts make them: lower case, no punctuation, spaces to hyphens
  sed -n -E 's/^#+ +//p' "$1" | tr '[:upper:]' '[:lower:]' | sed -E 's/`//g; s/[^a-z0-9 _-]//g; s/ /-/g'
}
for page in README.md CONTRIBUTING.md CHANGELOG.md docs/*.md docs/adr/*.md examples/README.md examples/*/*.md; do
  folder=$(dirname "$page")
  for link in $(grep -oE '\]\([^) ]+\)' "$page" | sed -E 's/^\]\(//; s/\)$//' | grep -vE '^[a-z]+:'); do
    count=$((count + 1))
    file=${link%%#*}
    [ -n "$file" ] && target=$folder/$file || target=$page
    if [ ! -e "$target" ]; then
      echo "$page: there is no $link" && dead=1
    elif [ "$link" != "$file" ] && ! slugs "$target" | grep -qx -- "${link#*#}"; then
      echo "$page: $target has no heading ${link#*#}" && dead=1
    fi
  done
done
[ "$count" -gt 20 ] || { echo "only $count links were found"; exit 1; }
[ "$dead" -eq 0 ] && echo "$count links lead somewhere."
