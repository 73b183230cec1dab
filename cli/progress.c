/* SPDX-License-Identifier: MIT
 *
 * progress.c: one line on the terminal while a long ingest runs. Must never write to anything but a terminal.
 */
#include <stdio.h>
#include <unistd.h>

#include "../db/ingest.h"
#include "folder.h"
#include "human.h"

static int shown;

static void show(void *arg, const struct vs_ingest_progress *p)
{
    char done[VS_HUMAN], total[VS_HUMAN], records[VS_HUMAN];
    (void)arg;
    fprintf(stderr, "\rvramscope: reading the log: %s of %s, %s records, %u process%s\033[K",
            vs_human_bytes((int64_t)p->bytes_done, done), vs_human_bytes((int64_t)p->bytes_total, total),
            vs_human_count((int64_t)p->records, records), p->processes, p->processes == 1 ? "" : "es");
    shown = 1;
}

void vs_progress_begin(struct vs_ingest *in)
{
    if (isatty(STDERR_FILENO)) vs_ingest_on_progress(in, show, NULL);
}

void vs_progress_end(void)
{
    if (shown) fputs("\r\033[K", stderr);
    shown = 0;
}
