/* SPDX-License-Identifier: MIT
 *
 * log_reader.c: walks a run folder, maps nothing, checks everything. Must never share code with db/.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "log_reader.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct log *current;

static int push(struct log *l, const struct vs_rec *rec, uint32_t pid, uint32_t thread)
{
    if (l->count % 1024 == 0) {
        struct logged *more = realloc(l->at, (l->count + 1024) * sizeof *more);
        if (!more)
            return -1;
        l->at = more;
    }
    l->at[l->count++] = (struct logged){rec, pid, thread};
    return 0;
}

static int check_ok(void *data, size_t bytes, uint32_t *check)
{
    uint32_t said = *check, real;
    *check = 0;
    real = vs_check(data, bytes);
    *check = said;
    return said == real;
}

static void read_frame(struct log *l, const struct vs_frame *f, unsigned char *p, uint32_t pid)
{
    unsigned char *end = p + f->bytes;
    uint32_t thread = f->thread;
    while (p < end) {
        struct vs_rec *r = (struct vs_rec *)p;
        size_t bytes = (size_t)r->size8 * 8;
        if (!bytes || bytes > (size_t)(end - p) || !r->kind || r->kind >= VS_NKINDS || !check_ok(r, bytes, &r->check)) {
            l->damaged++;
            return;
        }
        if (r->kind == VS_K_SWITCH)
            thread = ((struct vs_rec_switch *)r)->thread;
        push(l, r, pid, thread);
        p += bytes;
    }
}

static void read_log(struct log *l, unsigned char *data, size_t size)
{
    struct vs_log_head *head = (struct vs_log_head *)data;
    size_t at = sizeof *head;
    if (size < sizeof *head || head->magic != VS_LOG_MAGIC || !check_ok(head, sizeof *head, &head->check)) {
        l->damaged++;
        return;
    }
    l->processes++;
    while (at + sizeof(struct vs_frame) <= size) {
        struct vs_frame *f = (struct vs_frame *)(data + at);
        if (f->magic != VS_FRAME_MAGIC || !check_ok(f, sizeof *f, &f->check) || f->bytes > size - at - sizeof *f) {
            l->damaged++;
            return;
        }
        read_frame(l, f, data + at + sizeof *f, head->pid);
        at += sizeof *f + f->bytes;
    }
}

static int visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    unsigned char *data;
    FILE *f;
    if (type != FTW_F || strcmp(path + ftw->base, VS_LOG_NAME) || current->processes >= 64)
        return 0;
    f = fopen(path, "rb");
    data = malloc((size_t)st->st_size + 8);
    current->files[current->processes] = data;
    if (f && data && fread(data, 1, (size_t)st->st_size, f) == (size_t)st->st_size)
        read_log(current, data, (size_t)st->st_size);
    else
        current->damaged++;
    if (f)
        fclose(f);
    return 0;
}

struct log *log_open(const char *run_folder)
{
    current = calloc(1, sizeof *current);
    if (current && nftw(run_folder, visit, 16, FTW_PHYS)) {
        log_close(current);
        return NULL;
    }
    return current;
}

void log_close(struct log *l)
{
    unsigned i;
    if (!l)
        return;
    for (i = 0; i < 64; i++)
        free(l->files[i]);
    free(l->at);
    free(l);
}

size_t log_count(const struct log *l, enum vs_kind kind)
{
    size_t i, n = 0;
    for (i = 0; i < l->count; i++)
        n += l->at[i].rec->kind == kind;
    return n;
}

const void *log_nth(const struct log *l, enum vs_kind kind, size_t n)
{
    size_t i;
    for (i = 0; i < l->count; i++)
        if (l->at[i].rec->kind == kind && !n--)
            return l->at[i].rec;
    return NULL;
}

uint64_t log_lost(const struct log *l, enum vs_source source, enum vs_loss loss)
{
    uint64_t sum = 0;
    size_t i;
    for (i = 0; i < l->count; i++)
        if (l->at[i].rec->kind == VS_K_END)
            sum += ((const struct vs_rec_end *)l->at[i].rec)->lost[source][loss];
    return sum;
}

const char *log_meta(const struct log *l, const char *key)
{
    static char value[2048];
    size_t i;
    value[0] = 0;
    for (i = 0; i < l->count; i++) {
        const struct vs_rec_meta *m = (const struct vs_rec_meta *)l->at[i].rec;
        if (m->h.kind == VS_K_META && m->key_bytes == strlen(key) && !memcmp(m->text, key, m->key_bytes))
            snprintf(value, sizeof value, "%.*s", (int)m->value_bytes, m->text + m->key_bytes + 1);
    }
    return value;
}
