#!/bin/sh
# SPDX-License-Identifier: MIT
# Is what a recording says about memory what the programs themselves know? On a machine with GPUs and PyTorch:
#   bench/truth/run.sh [--programs "gpt llama"] [--gpus 1|2] [--jobs N] [--keep no|gz|yes] [--no-lines] OUT_DIR
# Every program of programs/ (or those named) is recorded by build/bin/vramscope and compared with what it wrote about itself
# (programs/truth.py): check_categories.py, check_account.py, check_lines.py. OUT_DIR keeps, per program, their words (NAME.check.txt), the
# program's (NAME.log), its truth and its allocator events. Exit status 1: something failed.
exec python3 -B "$(dirname "$0")/run.py" "$@"
