/* SPDX-License-Identifier: MIT
 *
 * mortem.h: a process that died, as view post_mortem tells it, and the parts of the section POST-MORTEM. Must never name a
 * cause that the numbers do not show.
 *
 * Ownership: nothing. Threading: none. Errors: stick in the sheet. A number that is not known is VS_UNKNOWN.
 */
#ifndef VS_CLI_MORTEM_H
#define VS_CLI_MORTEM_H

#include <stdint.h>

#include "human.h"
#include "sheet.h"

#define VS_UNKNOWN INT64_MIN

struct vs_death {
    int64_t process, rank, pid, start_ns, real_ns;
    int64_t device; /* -1: host */
    int64_t ts_ns;  /* of the failure; killed: the last sign of life */
    int64_t gone_ns, last_event_ns;
    int64_t asked, free, total, allocated, reserved, refusals;
    int64_t exit_status, range, phase;
    int failed;        /* an allocation; else it was killed */
    int torch, killed; /* PyTorch's allocator said so; it did not end in order */
    char place[VS_CELL], source[VS_CELL], library[VS_CELL];

    /* of a failure */
    int64_t cached, largest_cached; /* PyTorch's, unused: in all, and in one piece */
    int64_t fits, missing;
};

/* A line of items, as many lines as they need. */
struct vs_flow {
    struct vs_sheet *sheet;
    const char *label; /* of the first line */
    char text[512];
    int columns, lines, most; /* most: lines; what comes then is left out */
};
void vs_flow_add(struct vs_flow *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
void vs_flow_end(struct vs_flow *f);

#define VS_ENDED 96
char *vs_mortem_end(int killed, int64_t status, char out[VS_ENDED]); /* "was killed by signal 9 (Killed)" */
char *vs_mortem_bytes(int64_t bytes, char out[VS_HUMAN]);
/* A query about one death: ?2 process, ?3 device (-1: host), ?4 its moment. */
sqlite3_stmt *vs_mortem_query(struct vs_sheet *s, const struct vs_death *d, const char *sql);
int64_t vs_mortem_number(struct vs_sheet *s, const struct vs_death *d,
                         const char *sql); /* VS_UNKNOWN: NULL or no row */

/* What whole iterations left behind. */
struct vs_leftover {
    int64_t last, iterations; /* the last whole one, and how many before it it is compared with */
    int64_t bytes;            /* more live after the last */
    int steady;               /* each of them added to it */
    char category[VS_CELL];   /* that grew most; "": none */
    int64_t category_bytes;
};
void vs_mortem_leftover(struct vs_sheet *s, const struct vs_death *d, struct vs_leftover *out);

void vs_mortem_account(struct vs_sheet *s, const struct vs_death *d);
void vs_mortem_owners(struct vs_sheet *s, const struct vs_death *d);
void vs_mortem_largest(struct vs_sheet *s, const struct vs_death *d);
void vs_mortem_growth(struct vs_sheet *s, const struct vs_death *d);
void vs_mortem_host(struct vs_sheet *s, const struct vs_death *d);
void vs_mortem_advice(struct vs_sheet *s, const struct vs_death *d);

#endif
