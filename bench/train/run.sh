#!/bin/sh
# SPDX-License-Identifier: MIT
# What the training step and its recordings are worth, in one command. On a machine with a GPU and PyTorch:
#   bench/train/run.sh [--quick] [--part NAME,...] [--time-budget SECONDS] [--build build] [--commit HASH] OUT_DIR
# Parts: agree (every mode gives explicit's norms, gradients and weights), parity (PyTorch's loss and gradients), breakdown (every byte
# of a recording is where formulas and the program's own count say), post-mortem (what cannot fit says so, the rest runs), notes (the
# table of the notes beside ours), eager (time and peak beside eager PyTorch and a fork of Opacus). Each leaves PART.txt and PART.json
# in OUT_DIR when it ends, and SHOW.txt joins them. The same command again goes on where it stopped. --device cpu: all of it at the
# preset tiny, which shows that it works, not the numbers. Exit status: 0; 1 something is wrong; 3 something was not done (the time was
# over, or there is no PyTorch).
exec "${PYTHON:-python3}" -B "$(dirname "$0")/run.py" "$@"
