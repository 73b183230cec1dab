#!/bin/sh
# SPDX-License-Identifier: MIT
# What sharded training is worth, in one command. On a machine with 2, 4 or 8 GPUs (with one, what one can show):
#   bench/shard/run.sh [--quick] [--part NAME,...] [--time-budget SECONDS] [--gpus N] [--build build] [--commit HASH] OUT_DIR
# Parts: correct (norms, clipped gradients and weights at every number of ranks against float64 on one; faults are found), steps (DP modes
# over sharded vanilla, and beside a fork of Opacus under FSDP2), scaling (the same work per GPU on more GPUs), overlap (communication
# hidden behind compute, by recordings, and what recording costs), timing (immediate, deferred and overlapped norms), stages (norms of
# shards by tensor), drills (ranks killed, stopped, held up, started wrongly: nothing hangs). Each leaves PART.txt and PART.json in OUT_DIR
# when it ends, and SHOW.txt joins them. The same command again goes on where it stopped. --device cpu: all of it at the preset tiny,
# which shows that it works, not the numbers. Exit status: 0; 1 something is wrong or a target is missed; 3 something was not done.
exec "${PYTHON:-python3}" -B "$(dirname "$0")/run.py" "$@"
