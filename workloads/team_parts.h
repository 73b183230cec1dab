/* SPDX-License-Identifier: MIT
 *
 * team_parts.h: what the parts of a team (team_*.c) know of each other; nobody else includes it.
 *
 * After the meeting the sockets and everything that is not said to be shared belong to the team's thread. The calling thread asks it
 * for exchanges and the end through `ask`, under its lock; the marks of operations are written without a lock, by any thread.
 */
#ifndef VS_WORKLOADS_TEAM_PARTS_H
#define VS_WORKLOADS_TEAM_PARTS_H

#include <pthread.h>

#include "workloads/team.h"
#include "workloads/team_wire.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    VS_TEAM_VERSION = 1,
    VS_TEAM_MOST_RANKS = 1 << 16,
    VS_TEAM_FINGERPRINT = 4096,
    VS_TEAM_EXCHANGE = 16 << 20, /* bytes of all ranks */
    VS_TEAM_WHAT = 48,
    VS_TEAM_WHY = 512,
    VS_TEAM_MARKS = 1024, /* operations that may be under way at once and still be told apart */
    VS_TEAM_ROW_BYTES = 44 + 2 * VS_TEAM_WHAT
};

/* X(name, what a person reads) */
#define VS_TEAM_EXCHANGES(X) X(gather) X(share)
enum vs_team_exchange {
#define X(name) VS_TEAM_##name,
    VS_TEAM_EXCHANGES(X)
#undef X
        VS_TEAM_EXCHANGE_COUNT
};

/* Of two reasons that arrive together the later in this list is the cause of the other. */
enum vs_team_kind { VS_TEAM_NO_REASON, VS_TEAM_LATE, VS_TEAM_FAILED, VS_TEAM_ALIEN, VS_TEAM_GONE };

enum vs_team_state {
    VS_TEAM_SILENT,    /* nothing was heard from it */
    VS_TEAM_BETWEEN,   /* nothing is under way */
    VS_TEAM_OPERATION, /* waits in `at` */
    VS_TEAM_EXCHANGES, /* waits in this team's own exchange number at.index */
    VS_TEAM_LEFT,      /* said goodbye */
    VS_TEAM_LOST,      /* its connection ended */
    VS_TEAM_STATE_COUNT
};

struct vs_team_step {
    uint64_t step, index;
    char what[VS_TEAM_WHAT];
};

/* What a rank did last. */
struct vs_team_row {
    enum vs_team_state state;
    bool any_done;
    struct vs_team_step done, at; /* the last completed; the one it waits in */
    int64_t since_ns;             /* of this state, by this process' clock */
};

/* An operation that was begun. Written by any thread, each field by __atomic_*; turn: its number from 1, 0 while it is written. */
struct vs_team_mark {
    uint64_t turn, step, index;
    int64_t begun_ns;
    uint64_t what[VS_TEAM_WHAT / sizeof(uint64_t)]; /* a text, copied: who noted it may be gone when it is read */
};

struct vs_team_watch {
    uint64_t begun, done; /* how many; shared, __atomic_* */
    int64_t done_ns;      /* shared, __atomic_* */
    struct vs_team_mark mark[VS_TEAM_MARKS];
};

/* A rank's part of an exchange, as it came to rank 0. */
struct vs_team_share_part {
    bool here;
    uint32_t kind;
    uint64_t number, bytes;
    unsigned char *data; /* NULL where a share's part is empty */
};

struct vs_team_ask {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum { VS_TEAM_IDLE, VS_TEAM_POSTED, VS_TEAM_TAKEN, VS_TEAM_MET } state;
    enum vs_team_exchange kind;
    uint64_t number;
    size_t bytes;
    const void *mine;
    void *all;
    int64_t since_ns;
    bool closing, failing;
    char why[VS_TEAM_WHY];
};

struct vs_team {
    struct vs_team_place place;
    int64_t timeout_ns;
    void (*stop)(void *state);
    void *state;
    int wake; /* eventfd */
    pthread_t thread;
    bool stopped; /* shared, __atomic_* */
    struct vs_team_ask ask;
    struct vs_team_watch watch;

    struct vs_team_link *link;       /* [world]; rank 0 has one to each, the others one, to rank 0 */
    struct vs_team_row *row;         /* [world] */
    unsigned char *sent;             /* [world * VS_TEAM_ROW_BYTES]: each row as it was last sent */
    struct vs_team_share_part *part; /* [world], rank 0 */
    struct pollfd *polled;           /* [world + 1] */
    int64_t told_ns;                 /* rows were sent */

    enum vs_team_kind reason;
    int reason_rank;
    char why[VS_TEAM_WHY];
    int64_t decide_ns; /* when a reason ends the job, unless a better one comes */
    bool ended, said_bye;
    int64_t close_ns; /* the goodbye was said */
};

int64_t vs_team_now(void);
/* One line on stderr by one write: "rank R: ...". */
void vs_team_say(int rank, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A copy that can be printed: what is no printable ASCII becomes '?'. */
void vs_team_clean(char *to, size_t bytes, const void *from, size_t from_bytes);
/* Adds to a text of `bytes`; what does not fit is cut. Returns the new length. */
size_t vs_team_add(char *text, size_t bytes, size_t at, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* team_listen.c, team_join.c: the meeting. 0 or -errno, said. */
int vs_team_listen(struct vs_team *team, const char *fingerprint);
int vs_team_join(struct vs_team *team, const char *fingerprint);
/* team_hello.c. Of a hello, what does not fit ("rank 2 says 3 ranks, ..."); 0 when all does. */
int vs_team_hello_fits(const unsigned char *hello, size_t bytes, int world, const char *fingerprint, char *why,
                       size_t why_bytes);
/* Head of a hello: "vsteam", version, rank, world; the fingerprint follows. */
enum { VS_TEAM_HELLO_HEAD = 20 };
void vs_team_hello_head(unsigned char head[VS_TEAM_HELLO_HEAD], int rank, int world);
/* The rank a hello says, or -1: no hello of any version. */
int vs_team_hello_rank(const struct vs_team_message *message);

/* team_watch.c */
void vs_team_watch_row(struct vs_team *team, struct vs_team_row *row);
void vs_team_row_pack(unsigned char out[VS_TEAM_ROW_BYTES], int rank, const struct vs_team_row *row, int64_t now);
/* The rank, or -EPROTO. */
int vs_team_row_unpack(struct vs_team_row *row, const struct vs_team_message *message, int world, int64_t now);
/* "step 2, operation 17 (all_gather block05)". Returns text. */
const char *vs_team_step_text(const struct vs_team_row *row, const struct vs_team_step *step, char *text, size_t bytes);

/* team_loop.c: the thread, until the team is closed. */
void *vs_team_run(void *team);

/* team_exchange.c, on the thread. 0, or -errno: what came does not fit. */
void vs_team_exchange_begin(struct vs_team *team);
int vs_team_exchange_part(struct vs_team *team, int rank, const struct vs_team_message *message);
int vs_team_exchange_whole(struct vs_team *team, const struct vs_team_message *message);

/* team_end.c, on the thread. */
void vs_team_accuse(struct vs_team *team, enum vs_team_kind kind, int rank, const char *why);
void vs_team_decide(struct vs_team *team, int64_t now);
void vs_team_end_heard(struct vs_team *team, const struct vs_team_message *message);
void vs_team_report(struct vs_team *team, int64_t now);

#ifdef __cplusplus
}
#endif
#endif
