#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/run.sh RUNNER SUITE...: each suite in a process of its own, as many at a time as there are cores, the longest first. Says how each
# ended, all that one said that did not pass, and the sum. Exit status: 0; 1 a test failed, a runner died, or not all was run.
set -u
runner=$1
shift
said=$(mktemp -d) || exit 1
trap 'rm -rf "$said"' EXIT
trap 'kill $!; exit 1' HUP INT TERM
for suite in core norms_workload python suite ingest_damage cupti train ingest_store; do
    case " $* " in *" $suite "*) echo "$suite" ;; esac
done >"$said/.order"
printf '%s\n' "$@" >>"$said/.order"
# The runner's status is 2 where it has nothing to run: all of the suite's tests are of another kind.
# shellcheck disable=SC2016 # expanded by the inner shell
awk '!seen[$0]++' "$said/.order" | xargs -P "$(nproc)" -n 1 sh -c '
    "$1" "$3" >"$2/$3" 2>&1
    status=$?
    [ $status = 2 ] && rm "$2/$3" && exit 0
    sum=$(grep "Checks: " "$2/$3" | tail -1)
    printf "%-24s %s\n" "$3" "${sum:-died, status $status}"
    [ $status = 0 ] && [ "$sum" ] || mv "$2/$3" "$2/$3.failed"' sh "$runner" "$said" &
wait $! || echo "not every suite was run" >"$said/run.failed"
for failed in "$said"/*.failed; do
    [ -e "$failed" ] && printf '\n' && cat "$failed"
done
cat "$said"/* 2>/dev/null | awk -v died="$(find "$said" -name '*.failed' | wc -l)" '
    /Checks: [0-9]+, Failures: / { gsub(",", ""); checks += $3; bad += $5 + $7 }
    END { printf "%d checks, %d failed; suites that did not pass: %d\n", checks, bad, died; exit died || !checks }'
