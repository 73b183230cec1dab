/* SPDX-License-Identifier: MIT
 *
 * team_join.c: the meeting as the other ranks see it: they try to reach rank 0 until it is there, say who they are and wait until all
 * have come. What answers may be no rank 0.
 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "workloads/team_parts.h"

/* Rank 0 says why it gives up; it may have begun to wait just before this rank came. */
enum { LAST_WORD_MS = 1000, FIRST_PAUSE_MS = 10, LONGEST_PAUSE_MS = 250, READ = 8192, LONGEST = 4096 };

struct join {
    struct vs_team *team;
    const char *fingerprint;
    int64_t until;
    char trouble[160]; /* with the last try */
};

static bool wait_for(int fd, short events, int64_t until)
{
    struct pollfd p = {.fd = fd, .events = events};
    for (;;) {
        int64_t left = until - vs_team_now();
        int n = poll(&p, 1, left > 0 ? (int)(left / 1000000) + 1 : 0);
        if (n > 0 || left <= 0) return n > 0;
    }
}

static void pause_ms(int ms)
{
    struct timespec t = {.tv_nsec = ms * 1000000L};
    nanosleep(&t, NULL);
}

/* While nobody listens at a port that the system also gives to those who connect, a try may meet itself. */
static bool is_itself(int fd)
{
    struct sockaddr_storage a = {0}, b = {0};
    socklen_t a_bytes = sizeof a, b_bytes = sizeof b;
    if (getsockname(fd, (struct sockaddr *)&a, &a_bytes) || getpeername(fd, (struct sockaddr *)&b, &b_bytes))
        return false;
    return a_bytes == b_bytes && !memcmp(&a, &b, a_bytes);
}

static int connect_to(struct join *j, const struct addrinfo *a)
{
    struct vs_team_link *link = j->team->link;
    int error = 0, one = 1;
    socklen_t bytes = sizeof error;
    link->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (link->fd < 0) error = errno;
    else if (connect(link->fd, a->ai_addr, a->ai_addrlen)) error = errno;
    if (error == EINPROGRESS || error == EINTR) {
        error = ETIMEDOUT;
        if (wait_for(link->fd, POLLOUT, j->until)) getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
    }
    if (!error && is_itself(link->fd)) error = ECONNREFUSED;
    if (!error) {
        setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        return 0;
    }
    snprintf(j->trouble, sizeof j->trouble, "%s", strerror(error));
    vs_team_link_close(link);
    return -error;
}

static int reach(struct join *j)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    char port[16];
    int status = -ECONNREFUSED;
    snprintf(port, sizeof port, "%d", j->team->place.port);
    int unknown =
        getaddrinfo(j->team->place.address, port, &hints, &list); /* a name may become known while hosts start */
    if (unknown) snprintf(j->trouble, sizeof j->trouble, "%s", gai_strerror(unknown));
    for (const struct addrinfo *a = list; a && status && vs_team_now() < j->until; a = a->ai_next)
        status = connect_to(j, a);
    if (list) freeaddrinfo(list);
    return status;
}

/* What rank 0 says is for people; of its numbers only these are taken. */
static int refused(struct join *j, const struct vs_team_message *m)
{
    char why[VS_TEAM_WHY + 256];
    int status = m->bytes >= 4 ? -(int)vs_team_get32(m->data) : -EPROTO;
    if (m->bytes < 4) return -EPROTO;
    vs_team_clean(why, sizeof why, m->data + 4, m->bytes - 4);
    vs_team_say(j->team->place.rank, "%s", why);
    return status == -ETIMEDOUT || status == -ECONNRESET ? status : -EPROTO;
}

/* 0 all have come; -EAGAIN the connection ended without a word, which rank 0 does not do; other: said. */
static int say_hello(struct join *j)
{
    struct vs_team *team = j->team;
    struct vs_team_link *link = team->link;
    struct vs_team_message m;
    unsigned char head[VS_TEAM_HELLO_HEAD];
    int64_t until = vs_team_now() + team->timeout_ns + LAST_WORD_MS * 1000000LL;
    int ended = 0, status;
    *j->trouble = 0;
    vs_team_hello_head(head, team->place.rank, team->place.world);
    if (vs_team_link_put(link, VS_TEAM_HELLO, head, sizeof head, j->fingerprint, strlen(j->fingerprint)))
        return -ENOMEM;
    while (!(status = vs_team_link_next(link, LONGEST, &m)) && !ended) {
        short out = vs_team_link_waits(link) ? POLLOUT : 0;
        if (!wait_for(link->fd, (short)(POLLIN | out), until)) {
            snprintf(j->trouble, sizeof j->trouble, "something answers there, and says nothing");
            return -ETIMEDOUT;
        }
        if (vs_team_link_flush(link)) link->out.at = link->out.used; /* what it said before it ended is read first */
        ended = vs_team_link_read(link, READ);
    }
    if (status == 1 && m.type == VS_TEAM_WELCOME && !m.bytes) return 0;
    if (status == 1 && m.type == VS_TEAM_REFUSED && m.bytes >= 4) return refused(j, &m);
    if (!status && link->in.used == link->in.at) {
        snprintf(j->trouble, sizeof j->trouble, "what answers there ends the connection");
        return -EAGAIN;
    }
    vs_team_say(team->place.rank,
                "what answers at %s, port %d, is not rank 0 of this job: choose another port (--port or MASTER_PORT)",
                team->place.address, team->place.port);
    return -EPROTO;
}

int vs_team_join(struct vs_team *team, const char *fingerprint)
{
    struct join j = {.team = team, .fingerprint = fingerprint, .until = vs_team_now() + team->timeout_ns};
    int status = -EAGAIN, pause = FIRST_PAUSE_MS;
    while (status == -EAGAIN && vs_team_now() < j.until) {
        if (!reach(&j) && (status = say_hello(&j)) != -EAGAIN) break;
        vs_team_link_close(team->link);
        pause_ms(pause);
        pause = pause * 2 < LONGEST_PAUSE_MS ? pause * 2 : LONGEST_PAUSE_MS;
    }
    if (status != -EAGAIN && status != -ETIMEDOUT) return status;
    if (status == -EAGAIN || *j.trouble)
        vs_team_say(team->place.rank, "rank 0 was not reached at %s, port %d, within %.1f s: %s", team->place.address,
                    team->place.port, (double)team->timeout_ns / 1e9, j.trouble);
    return -ETIMEDOUT;
}
