/* SPDX-License-Identifier: MIT
 *
 * team_wire.h: frames over a socket that never blocks: a type, a length, bytes. It knows no rank and trusts no length beyond the limit
 * its caller gives.
 *
 * Ownership: vs_team_link_close frees the buffers and closes the socket. Threading: one thread. Errors: 0 or -errno.
 */
#ifndef VS_WORKLOADS_TEAM_WIRE_H
#define VS_WORKLOADS_TEAM_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum vs_team_frame {
    VS_TEAM_HELLO = 1, /* to rank 0: version, rank, world, fingerprint */
    VS_TEAM_WELCOME,   /* from rank 0: all have come */
    VS_TEAM_REFUSED,   /* from rank 0: an errno, why there is no job */
    VS_TEAM_ROW,       /* what a rank did last */
    VS_TEAM_ACCUSE,    /* to rank 0: a kind, why the job should end */
    VS_TEAM_END,       /* from rank 0: a kind, a rank, why the job ends */
    VS_TEAM_PART,      /* to rank 0: a rank's part of an exchange */
    VS_TEAM_WHOLE,     /* from rank 0: what the exchange gave */
    VS_TEAM_BYE        /* the end of the connection that follows is meant */
};

/* A queue of bytes: [at, used) are its contents. */
struct vs_team_bytes {
    unsigned char *data;
    size_t at, used, size;
};

struct vs_team_link {
    int fd; /* -1: none */
    struct vs_team_bytes in, out;
};

struct vs_team_message {
    unsigned type;
    size_t bytes;
    const unsigned char *data; /* until the next call with the link */
};

void vs_team_put32(unsigned char *to, uint32_t v);
void vs_team_put64(unsigned char *to, uint64_t v);
uint32_t vs_team_get32(const unsigned char *from);
uint64_t vs_team_get64(const unsigned char *from);

/* Queues a frame of two pieces; nothing is sent yet. A link without a socket takes none. */
int vs_team_link_put(struct vs_team_link *link, enum vs_team_frame type, const void *head, size_t head_bytes,
                     const void *rest, size_t rest_bytes);
/* Sends what the socket takes. 0 also when something is left. */
int vs_team_link_flush(struct vs_team_link *link);
bool vs_team_link_waits(const struct vs_team_link *link); /* something is left */
/* Reads what is there, `limit` bytes at most. 0; 1 the other side has ended the connection. */
int vs_team_link_read(struct vs_team_link *link, size_t limit);
/* 1 a message; 0 none is whole yet; -EPROTO it says it is longer than `longest`. */
int vs_team_link_next(struct vs_team_link *link, size_t longest, struct vs_team_message *message);
void vs_team_link_close(struct vs_team_link *link);

#ifdef __cplusplus
}
#endif
#endif
