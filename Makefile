# vramscope: build. `make help` lists the targets.
V ?= 0
O ?= build
CC ?= gcc
CFLAGS_ALL = -std=gnu11 -O2 -g -Wall -Wextra -Wshadow -Wvla -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Werror -fno-strict-aliasing $(CFLAGS)
.DELETE_ON_ERROR:
