/* SPDX-License-Identifier: MIT
 *
 * team_wire.c: see team_wire.h. Must never wait, and never raise SIGPIPE.
 */
#include "workloads/team_wire.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD = 8, PIECE = 64 << 10 };

void vs_team_put32(unsigned char *to, uint32_t v)
{
    v = htole32(v);
    memcpy(to, &v, sizeof v);
}

void vs_team_put64(unsigned char *to, uint64_t v)
{
    v = htole64(v);
    memcpy(to, &v, sizeof v);
}

uint32_t vs_team_get32(const unsigned char *from)
{
    uint32_t v;
    memcpy(&v, from, sizeof v);
    return le32toh(v);
}

uint64_t vs_team_get64(const unsigned char *from)
{
    uint64_t v;
    memcpy(&v, from, sizeof v);
    return le64toh(v);
}

/* Room for `bytes` more behind what is there. */
static int reserve(struct vs_team_bytes *b, size_t bytes)
{
    if (b->at) {
        if (b->used > b->at) memmove(b->data, b->data + b->at, b->used - b->at);
        b->used -= b->at;
        b->at = 0;
    }
    if (b->size - b->used >= bytes) return 0;
    size_t size = b->size ? b->size : 512;
    while (size - b->used < bytes) size *= 2;
    unsigned char *data = realloc(b->data, size);
    if (!data) return -ENOMEM;
    b->data = data;
    b->size = size;
    return 0;
}

static void append(struct vs_team_bytes *b, const void *data, size_t bytes)
{
    if (bytes) memcpy(b->data + b->used, data, bytes);
    b->used += bytes;
}

int vs_team_link_put(struct vs_team_link *link, enum vs_team_frame type, const void *head, size_t head_bytes,
                     const void *rest, size_t rest_bytes)
{
    unsigned char start[HEAD];
    if (link->fd < 0) return -ENOTCONN;
    if (reserve(&link->out, HEAD + head_bytes + rest_bytes)) return -ENOMEM;
    vs_team_put32(start, (uint32_t)type);
    vs_team_put32(start + 4, (uint32_t)(head_bytes + rest_bytes));
    append(&link->out, start, HEAD);
    append(&link->out, head, head_bytes);
    append(&link->out, rest, rest_bytes);
    return 0;
}

bool vs_team_link_waits(const struct vs_team_link *link)
{
    return link->fd >= 0 && link->out.used > link->out.at;
}

int vs_team_link_flush(struct vs_team_link *link)
{
    while (vs_team_link_waits(link)) {
        struct vs_team_bytes *out = &link->out;
        ssize_t n = send(link->fd, out->data + out->at, out->used - out->at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) out->at += (size_t)n;
        else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return 0;
        else if (n < 0 && errno != EINTR) return -errno;
    }
    return 0;
}

int vs_team_link_read(struct vs_team_link *link, size_t limit)
{
    for (size_t got = 0; got < limit;) {
        size_t piece = limit - got < PIECE ? limit - got : PIECE;
        if (reserve(&link->in, piece)) return -ENOMEM;
        ssize_t n = recv(link->fd, link->in.data + link->in.used, piece, MSG_DONTWAIT);
        if (!n) return 1;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return 0;
        if (n < 0 && errno != EINTR) return -errno;
        if (n > 0) {
            link->in.used += (size_t)n;
            got += (size_t)n;
        }
    }
    return 0;
}

int vs_team_link_next(struct vs_team_link *link, size_t longest, struct vs_team_message *message)
{
    struct vs_team_bytes *in = &link->in;
    const unsigned char *data = in->data + in->at;
    if (in->used - in->at < HEAD) return 0;
    message->type = vs_team_get32(data);
    message->bytes = vs_team_get32(data + 4);
    message->data = data + HEAD;
    if (message->bytes > longest) return -EPROTO;
    if (in->used - in->at < HEAD + message->bytes) return 0;
    in->at += HEAD + message->bytes;
    return 1;
}

void vs_team_link_close(struct vs_team_link *link)
{
    if (link->fd >= 0) close(link->fd);
    free(link->in.data);
    free(link->out.data);
    *link = (struct vs_team_link){.fd = -1};
}
