#!/bin/bash
# SPDX-License-Identifier: MIT
#
# lint.sh: what a reviewer should not have to look for. Each check prints what is wrong; the last line says how many
# failed. Needs a finished build in O (it reads the library). Environment: O, CC, CUDA_INC.
set -u
O=${O:-build}
CC=${CC:-gcc}
failed=0
fail() { # fail <check> <text>: text empty = the check passed
    if [ -n "$2" ]; then
        printf 'lint: %s\n' "$1"
        while IFS= read -r line; do printf '  %s\n' "$line"; done <<<"$2"
        failed=$((failed + 1))
    fi
}
includes=(-I.)
for dir in ${CUDA_INC:-}; do includes+=(-isystem "$dir"); done

# ---- directions of includes: the only edges of the design ----
may_include() { # folder -> the folders it may include from, as a pattern over the resolved path
    case $1 in
    workloads) echo '^(workloads|kernels)/' ;;
    kernels) echo '^kernels/' ;;
    profiler) echo '^(profiler/|db/record\.h$)' ;;
    cli) echo '^(cli|db|exporters|viz)/' ;;
    exporters) echo '^(exporters|db)/' ;;
    viz) echo '^(viz|db)/' ;;
    db) echo '^db/' ;;
    esac
}
directions() {
    for folder in workloads kernels profiler cli exporters viz db; do
        pattern=$(may_include "$folder")
        grep -HnE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"' "$folder"/*.[ch] "$folder"/*.cu "$folder"/*.cuh "$folder"/*.cpp 2>/dev/null |
            while IFS= read -r line; do
                path=${line#*\"}
                path=${path%%\"*}
                case $path in
                ../*) path=${path#../} ;;
                */*) ;;
                *) path=$folder/$path ;;
                esac
                [[ $path =~ $pattern ]] || echo "$line"
            done
    done
    grep -Hn 'sqlite3\.h' profiler/*.[ch] kernels/*.[ch] workloads/*.[ch]
    grep -HnE '#[[:space:]]*include[[:space:]]*<(cuda|cupti|nvtx3|nccl|cublas)' db/*.[ch] cli/*.[ch] exporters/*.[ch] viz/*.[ch]
}
fail 'includes against the directions of the design' "$(directions 2>/dev/null)"

# ---- every file: license first, purpose, and a length one can read ----
files=$(git ls-files -co --exclude-standard -- '*.c' '*.h' '*.cu' '*.cuh' '*.cpp' '*.sh' '.ci/*' Makefile | grep -v '^\.probe/')
heads() { # record.h is one vocabulary, kept in one file
    for file in $files; do
        [ -f "$file" ] || continue
        head -2 "$file" | grep -q 'SPDX-License-Identifier: MIT' || echo "$file: no SPDX line at its head"
        lines=$(wc -l <"$file")
        [ "$lines" -le 400 ] || [ "$file" = db/record.h ] || echo "$file: $lines lines; split it by noun at 400"
    done
}
fail 'heads and lengths of files' "$(heads)"

# ---- every header compiles alone ----
alone() { # in both languages; the headers of tests serve C alone
    local c="$CC -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-unused-function -fsyntax-only -x c"
    local cxx="${CXX:-g++} -std=c++17 -Wall -Werror -Wno-unused-function -fsyntax-only -x c++"
    printf '%s\n' {profiler,cli,db,exporters,viz,kernels,workloads,tests}/*.h | grep -v '\*' |
        xargs -P2 -I{} sh -c "
            $c ${includes[*]} -DVS_BUILD_DIR='\"\"' -DVS_SOURCE_DIR='\"\"' -include {} /dev/null || echo '{}: not C11'
            case {} in tests/*) ;; *) $cxx ${includes[*]} -include {} /dev/null || echo '{}: not C++17' ;; esac" 2>&1
}
fail 'headers that do not compile alone' "$(alone)"

# ---- clang-tidy ----
tidy() {
    printf '%s\n' {profiler,cli,db,exporters,viz,kernels,workloads}/*.c |
        xargs -P2 -I{} clang-tidy -quiet {} -- -std=gnu11 -D_GNU_SOURCE "${includes[@]}" 2>/dev/null | grep -E '(error|warning):'
}
if command -v clang-tidy >/dev/null; then
    fail 'clang-tidy' "$(tidy)"
else
    fail 'clang-tidy' 'it is not installed'
fi

# ---- scripts ----
if command -v shellcheck >/dev/null; then
    fail 'shellcheck' "$(shellcheck tools/*.sh .ci/run 2>&1)"
else
    fail 'shellcheck' 'it is not installed'
fi

# ---- the library: what it exports, what it needs ----
library=$O/lib/libvramscope.so
exports() {
    diff <(sed -e 's@/\*.*\*/@@' profiler/exports.map | sed -n '/global:/,/local:/p' | grep -oE '[A-Za-z_][A-Za-z0-9_]*;' | tr -d ';' | sort -u) \
        <(nm -D --defined-only "$library" | awk '{ print $NF }' | sed 's/@.*//' | sort -u) |
        sed -n 's/^< \(.*\)/documented but not exported: \1/p; s/^> \(.*\)/exported but not documented: \1/p'
}
fail 'exports of the library against profiler/exports.map' "$(exports)"
fail 'SQLite in the library' "$(nm "$library" | grep -i sqlite)"
fail 'libraries that the recorder needs besides libc' \
    "$(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -vE '^(libc\.so\.6|libdl\.so\.2|libpthread\.so\.0|ld-linux-.*)$')"

[ "$failed" = 0 ] && echo 'lint: all checks passed' || echo "lint: $failed checks failed"
[ "$failed" = 0 ]
