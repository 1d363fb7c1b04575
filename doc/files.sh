#!/bin/sh
# Prints doc/files.md: the first line of every header, which says what its module is for.
set -eu
cd "$1/src"
cat <<'EOF'
# Files

What every module is for: the first line of its header. Made by `make docs`; who may use whom stands in `src/LAYERS`.
EOF
for folder in base vocab proto store cluster node admin disk net daemon ctl bench; do
    set -- "$folder"/*.h
    [ -e "$1" ] || continue
    printf '\n## %s/\n\n| header | what it is for |\n|---|---|\n' "$folder"
    for header; do
        # "name.h - what for" in the second line; it may run on until a full stop or an empty line.
        awk -v name="${header##*/}" '
            NR == 1 { next }
            /^ \*\/?$/ { exit }
            { sub(/^ \* ?/, ""); sub(/ \*\/$/, ""); text = text (text == "" ? "" : " ") $0 }
            text ~ /\.$/ { exit }
            END {
                sub(/^[a-z0-9_]+\.h - /, "", text)
                gsub(/\|/, "\\|", text)
                printf "| `%s` | %s |\n", name, text
            }' "$header"
    done
done
