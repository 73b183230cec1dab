/* SPDX-License-Identifier: MIT
 *
 * replay.c: rows of a table into records.
 */
#include "replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS = 8, START = 1000 };

struct threads {
    unsigned number[VS_WRITER_THREADS]; /* of the table */
    unsigned count;
};

static void need(int ok, const char *what)
{
    if (ok) return;
    fprintf(stderr, "replay: %s\n", what);
    abort();
}

/* The writer's threads begin at 1. Its name is known before its first record, as in a real log. */
static unsigned thread_of(struct vs_log_writer *w, struct threads *t, const char *number, const char *name)
{
    unsigned wanted = (unsigned)strtoul(number, NULL, 10), i = 0;
    while (i < t->count && t->number[i] != wanted) i++;
    if (i == t->count) {
        need(t->count < VS_WRITER_THREADS, "too many threads");
        t->number[t->count++] = wanted;
        struct vs_rec_thread *r = vs_log_writer_add(w, i + 1, VS_K_THREAD, sizeof *r, 0, -1);
        r->thread = i + 1;
        r->tid = 5000 + i;
        snprintf(r->name, sizeof r->name, "%s", name ? name : "python3");
    }
    return i + 1;
}

static uint32_t operation(const char *name)
{
    static const char *const ops[VS_NCOLLECTIVES] = {
#define X(id, text) text,
        VS_COLLECTIVES(X)
#undef X
    };
    uint32_t op = 0;
    while (op < VS_NCOLLECTIVES && strcmp(ops[op], name) != 0) op++;
    need(op < VS_NCOLLECTIVES, name);
    return op;
}

static void collective(struct vs_log_writer *w, unsigned thread, char **field, uint64_t id)
{
    static int ranks;
    if (id == 1) ranks = 0;
    if (ranks != atoi(field[6])) {
        struct vs_rec_comm *m = vs_log_writer_add(w, thread, VS_K_COMM, sizeof *m, VS_COMM_CREATE, 0);
        *m = (struct vs_rec_comm){.h = m->h, .seq = vs_log_writer_seq(w), .comm = 0xc0, .nranks = atoi(field[6])};
        m->ts_ns = START + strtoull(field[1], NULL, 10);
        ranks = atoi(field[6]);
    }
    struct vs_rec_coll_begin *r = vs_log_writer_add(w, thread, VS_K_COLL_BEGIN, sizeof *r, 0, 0);
    *r = (struct vs_rec_coll_begin){.h = r->h, .seq = vs_log_writer_seq(w), .id = id, .comm = 0xc0, .redop = -1, .peer = -1};
    r->ts_ns = START + strtoull(field[1], NULL, 10);
    r->op = operation(field[2]);
    r->send_address = strtoull(field[3], NULL, 0);
    r->recv_address = strtoull(field[4], NULL, 0);
    r->bytes = strtoull(field[5], NULL, 10);
    r->count = r->bytes;
    r->dtype = 1;
}

static void workspace(struct vs_log_writer *w, unsigned thread, char **field)
{
    struct vs_rec_label *r = vs_log_writer_add(w, thread, VS_K_LABEL, sizeof *r, 0, 0);
    r->seq = vs_log_writer_seq(w);
    r->ts_ns = START + strtoull(field[1], NULL, 10);
    r->address = strtoull(field[2], NULL, 0);
    r->what = VS_LABEL_WORKSPACE;
}

static unsigned split(char *line, char **field)
{
    unsigned n = 0;
    line[strcspn(line, "\r\n")] = 0;
    for (char *at = line; at && n < FIELDS; n++) field[n] = strsep(&at, ",");
    return n;
}

void vs_replay(struct vs_log_writer *w, const char *path)
{
    struct threads threads = {{0}, 0};
    char line[512], command[512], *field[FIELDS];
    size_t n = strlen(path);
    uint64_t collectives = 0;
    bool packed = n > 3 && !strcmp(path + n - 3, ".gz");
    need(n < 400 && !strchr(path, '\''), path);
    snprintf(command, sizeof command, "gzip -dc '%s'", path);
    FILE *f = packed ? popen(command, "r") : fopen(path, "r");
    need(f && fgets(line, sizeof line, f), path);
    while (fgets(line, sizeof line, f)) {
        unsigned got = split(line, field);
        if (!strcmp(field[0], "#collective") && got == 8) {
            collective(w, thread_of(w, &threads, field[7], NULL), field, ++collectives);
        } else if (!strcmp(field[0], "#workspace") && got == 4) {
            workspace(w, thread_of(w, &threads, field[3], NULL), field);
        } else {
            need(got == 7, "a row without seven fields");
            vs_put_torch(w, thread_of(w, &threads, field[5], field[6]), 0, strtoull(field[1], NULL, 0),
                         strtoll(field[2], NULL, 10), strtoull(field[3], NULL, 10), strtoull(field[4], NULL, 10), 0,
                         START + strtoull(field[0], NULL, 10));
        }
    }
    need(packed ? !pclose(f) : !fclose(f), path);
}
