#!/bin/sh
# Prints doc/drop-in.md: what programs and operators rely on and the tests that prove it, from
# doc/drop-in.tsv.  Fails and says so if a row names a test that is not in the tree, or if a trap of
# t/system/traps*.py has no row.
set -eu
cd "$1"
{
    for script in t/system/*.py; do
        module=${script##*/}
        echo "test ${module%.py}"
        sed -n "s|^def \([a-z0-9_]*\)(.*|test ${module%.py}.\1|p" "$script"
    done
    for program in t/unit/*/*.c; do
        module=${program#t/unit/}
        sed -n "s|^Test([a-z0-9_]*, \([a-z0-9_]*\)[,)].*|test ${module%.c}.\1|p" "$program"
    done
    for program in t/sim/*.c t/stress/*.c; do
        echo "test ${program%.c}"
    done
    for script in t/system/traps*.py; do
        module=${script##*/}
        sed -n '/^    tap.run((/,/))$/p' "$script" | tr -c 'a-z0-9_' '\n' | grep '_' |
            sed "s/^/trap ${module%.py}./"
    done
    sed 's/^/row /' doc/drop-in.tsv
} | ${AWK:-awk} '
    function fail(text) { print "doc/drop-in.tsv: " text > "/dev/stderr"; bad = 1 }

    # A name as the page shows it; "" if there is no such test.
    function shown(name,    later) {
        later = sub(/^pending:/, "", name)
        if (!later && !(name in tests)) {
            fail("there is no test " name)
        }
        named[name] = 1
        if (later) {
            pending_row = 1
        }
        return "`" name "`" (later ? " (being written)" : "")
    }

    $1 == "test" { tests[$2] = 1; next }
    $1 == "trap" { traps[$2] = 1; next }
    { sub(/^row /, "") }
    /^#/ || /^$/ { next }
    {
        if (split($0, cell, "\t") != 3) {
            fail("not three columns: " $0)
            next
        }
        rows++
        if (cell[1] != area) {
            area = cell[1]
            page = page "\n## " area "\n\n| what | proved by |\n|---|---|\n"
        }
        what = cell[2]
        gsub(/\|/, "\\|", what)
        if (cell[3] ~ /^not (yet|ours): /) {
            reason = cell[3]
            if (reason ~ /^not yet/) {
                absent++
                sub(/^not yet/, "**not there yet**", reason)
            } else {
                others++
                sub(/^not ours/, "not Magpie\047s", reason)
            }
            page = page "| " what " | " reason " |\n"
            next
        }
        n = split(cell[3], name, " ")
        pending_row = 0
        list = ""
        for (i = 1; i <= n; i++) {
            list = list (i > 1 ? ", " : "") shown(name[i])
        }
        pending += pending_row
        proved += !pending_row
        page = page "| " what " | " list " |\n"
    }
    END {
        if (!rows) {
            fail("no rows")
        }
        for (trap in traps) {
            if (!(trap in named)) {
                fail("no row names the trap " trap)
            }
        }
        print "# What a drop-in must do, and what proves it\n"
        print "Everything that programs and operators of memcached are known to rely on, from `doc/drop-in.tsv`. `module.name` is the"
        print "function of that name in `t/system/module.py`; `folder/module.name` is the Criterion test in `t/unit/folder/module.c`. What"
        print "differs on purpose stands in [compatibility.md](compatibility.md). Made by `make docs`, which fails if a test is not there.\n"
        printf "%d rows: %d proved, %d with tests of something that is being written, %d not there yet, %d not Magpie\047s.\n", rows, proved, pending, absent, others
        printf "%s", page
        exit bad
    }'
