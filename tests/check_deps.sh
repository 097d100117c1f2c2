#!/usr/bin/env bash
#
# Says which files include what they may not, and which functions the core calls that it may not.
#
#   tests/check_deps.sh [BUILD_DIR...]    the builds whose objects are looked at (every build/*)
#
# Silent and exit code 0 when all is well; else one line per violation and 1. Without a build only the includes are
# checked, with a note on stderr.
#
# Rooms, and what each may include besides itself ("libc" are the headers of the C library and of POSIX, "c" those that
# cannot reach the world outside: no files, clocks, sockets or environment):
#
#   manager/core     wire/message.h and base err, map, heap, time        c
#   manager/app      core, wire, base                                    libc
#   manager/io       app, wire, base                                     libc, libuv and one other library per file pair
#   manager, worker  their own, wire, base                               libc (worker: as io)
#   balancer         its own, wire, base                                 libc (as io)
#   proto/wire       base                                                c, json-c (not in headers)
#   proto/base       itself                                              libc
#   main.c of each program sees everything; nobody includes a .c file.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

violations=$(mktemp)
trap 'rm -f "$violations"' EXIT
trap 'echo "check_deps: failed itself at line $LINENO" >&2' ERR

check_includes() {
    local rooms=() room
    for room in proto manager worker balancer tests; do
        if [ -d "$room" ]; then rooms+=("$room"); fi
    done
    { find "${rooms[@]}" -name '*.[ch]' | sort | xargs -r grep -HnE '^[ \t]*#[ \t]*include' || true; } | awk '
    function room_of(path) {
        if (match(path, /^(proto\/(base|wire)|manager\/(core|app|io))\//)) return substr(path, 1, RLENGTH - 1)
        sub(/\/.*/, "", path)
        return path
    }
    function exists(path,    unused, there) {
        there = (getline unused < path) >= 0
        close(path)
        return there
    }
    function library_of(header) {
        if (header ~ /^(assert|ctype|errno|float|inttypes|limits|math|stdalign|stdarg|stdbool|stddef|stdint|stdlib|stdnoreturn|string)\.h$/)
            return "c"
        if (header ~ /^(dirent|fcntl|getopt|locale|netdb|poll|pthread|signal|stdatomic|stdio|strings|time|unistd|ifaddrs|malloc)\.h$/ ||
            header ~ /^(arpa|net|netinet|sys|linux)\//)
            return "libc"
        if (header ~ /^uv(\/|\.h$)/) return "libuv"
        if (header ~ /^libwebsockets(\/|\.h$)/) return "libwebsockets"
        if (header ~ /^hiredis\//) return "hiredis"
        if (header ~ /^json-c\// || header == "json.h") return "json-c"
        if (header ~ /^curl\//) return "libcurl"
        if (header == "zlib.h") return "zlib"
        return "unknown"
    }
    # May a file of this room include that header of ours?
    function may(room, header,    target) {
        target = room_of(header)
        if (target == room && room != "manager") return 1
        if (room == "manager/core")
            return header ~ /^proto\/(wire\/message|base\/(err|map|heap|time))\.h$/
        if (room == "manager/app") return target ~ /^(manager\/core|proto\/.*)$/
        if (room == "manager/io") return target ~ /^(manager\/app|proto\/.*)$/
        if (room == "manager") return header ~ /^manager\/[a-z_0-9]+\.h$/ || target ~ /^proto\//
        if (room == "worker" || room == "balancer") return target ~ /^proto\//
        if (room == "proto/wire") return target == "proto/base"
        return 0
    }
    function complain(text) { print path ":" line ": " text }
    {
        split($0, at, ":"); path = at[1]; line = at[2]
        directive = substr($0, length(path) + length(line) + 3)
        if (!match(directive, /["<][^">]+[">]/)) { complain("an include that this check cannot read"); next }
        header = substr(directive, RSTART + 1, RLENGTH - 2)
        ours = substr(directive, RSTART, 1) == "\""
        room = room_of(path)
        if (header ~ /\.c$/) complain("includes the source file " header)
        if (ours && !exists(header))
            complain("\"" header "\" is not a path from the root of the repository")
        if (room == "tests" || path ~ /^(manager|worker|balancer)\/main\.c$/) next
        if (ours) {
            if (!may(room, header)) complain(room " may not include " header)
            next
        }
        library = library_of(header)
        if (library == "unknown") complain("<" header "> belongs to no library that this check knows")
        else if (library == "libc" && room == "manager/core") complain("the core may not include <" header ">")
        else if (library == "libc" || library == "c") next
        else if (room == "proto/wire" && library == "json-c" && path ~ /\.c$/) next # and never in a header
        else if (room !~ /^(manager\/io|worker|balancer)$/) complain(room " may not use " library)
        else if (library != "libuv") {
            pair = path
            sub(/\.[ch]$/, "", pair)
            if (pair in other && other[pair] != library)
                complain(pair " uses " other[pair] " already; one library besides libuv per file pair, not " library " too")
            other[pair] = library
        }
    }' >>"$violations"
}

# What the pure core may leave undefined, besides what it defines itself. Whatever is not here is refused: a clock, the
# environment, randomness, files and sockets among it.
allowed_symbols='
    ^mem(cpy|move|set|cmp|chr)$ ^str(len|cmp|ncmp|chr|nlen|dup|ndup)$ ^(malloc|calloc|realloc|free|qsort|bsearch)$
    ^(abort|__assert_fail)$ ^bcmp$
    ^hb_(map|heap)_[a-z0-9_]+$ ^hb_err_text$ ^hb_text_(of|equal)$ ^hb_(status|health|announced|reason)_text$
    ^hb_edge_channel$ ^hb_(id|name)_valid$
    ^__(asan|ubsan|tsan|sanitizer|gcov|llvm|sancov)_ ^__(start|stop)___sancov_ ^__stack_chk_fail$ ^_GLOBAL_OFFSET_TABLE_$ ^__mem(cpy|move|set)_chk$'

check_symbols() {
    local build object objects found=
    for build in "$@"; do
        mapfile -t objects < <(find "$build/manager/CMakeFiles/hb_core.dir" -name '*.o' 2>/dev/null | sort)
        [ ${#objects[@]} -gt 0 ] || continue
        found=1
        for object in "${objects[@]}"; do
            nm --undefined-only --format=posix "$object" | awk '{ print $1 }' |
                { grep -vE "$(xargs <<<"$allowed_symbols" | tr ' ' '|')" || true; } |
                { grep -vxF -f <(nm --defined-only --extern-only --format=posix "${objects[@]}" | awk 'NF > 1 { print $1 }') || true; } |
                sed "s|^|${object#./}: the core may not use |"
        done >>"$violations"
    done
    [ -n "$found" ] || echo "check_deps: no build with the core's objects in $*: only includes were checked" >&2
}

check_includes
if [ $# -eq 0 ]; then set -- build/*; fi
check_symbols "$@"

cat "$violations"
if [ -s "$violations" ]; then exit 1; fi
