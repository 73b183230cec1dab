#!/bin/sh
# SPDX-License-Identifier: MIT
#
# demo.sh: records the norms workload like any program, draws its charts and prints the summary. Environment: O, the
# object folder; DEMO_ARGS replaces the workload's arguments.
set -eu
O=${O:-build}
out=$O/demo
tool=$O/bin/vramscope
args=${DEMO_ARGS:-norms --device auto --T 512,1024,2048,4096 --d 1024 --p 1024 --B 2 --algo gram_full,gram --iterations 3 --check}
run() {
    echo "\$ $*"
    "$@"
}
mkdir -p "$out"
# shellcheck disable=SC2086 # the arguments are a list of words
run "$tool" run -o "$out/run.db" --force -- "$O/bin/vramscope-workload" $args
run "$tool" plot "$out/run.db" -o "$out/charts"
run "$tool" report "$out/run.db"
