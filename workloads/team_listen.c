/* SPDX-License-Identifier: MIT
 *
 * team_listen.c: the meeting as rank 0 sees it: it listens until every rank has said hello, or until the time is over. Whoever else
 * connects (a port scanner, a browser, somebody silent) is let go, and neither ends the meeting nor holds it up. A rank that does not
 * fit ends it: then all that come within a moment are told why.
 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "workloads/team_parts.h"

enum { STRANGERS = 64, MOMENT_MS = 1000, READ = 8192, NAMED = 8 };

struct meeting {
    struct vs_team *team;
    const char *fingerprint;
    int listener, present; /* of the others; once the meeting has failed: who has been told */
    struct vs_team_link stranger[STRANGERS];
    int strangers; /* oldest first */
    struct pollfd *polled;
    int status; /* 0: still on, or met */
    char why[VS_TEAM_WHY + 256];
    int64_t until;
};

static void refuse(struct meeting *m, struct vs_team_link *link)
{
    unsigned char status[4];
    vs_team_put32(status, (uint32_t)-m->status);
    vs_team_link_put(link, VS_TEAM_REFUSED, status, sizeof status, m->why, strlen(m->why));
    vs_team_link_flush(link);
}

/* The first reason counts; who is there is told, who comes later is told then. */
static void fail(struct meeting *m, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void fail(struct meeting *m, int status, const char *format, ...)
{
    int64_t moment = MOMENT_MS * 1000000LL;
    va_list list;
    if (m->status) return;
    m->status = status;
    va_start(list, format);
    vsnprintf(m->why, sizeof m->why, format, list);
    va_end(list);
    m->until = vs_team_now() + (moment < m->team->timeout_ns ? moment : m->team->timeout_ns);
    for (int r = 1; r < m->team->place.world; r++)
        if (m->team->link[r].fd >= 0) refuse(m, &m->team->link[r]);
}

/* ---- listening ---- */

/* A name of this host that means the loopback here (as /etc/hosts may have it) means something else to other hosts. */
static bool here_only(const char *address)
{
    struct in6_addr any;
    return !strcmp(address, "localhost") || inet_pton(AF_INET, address, &any) == 1 ||
           inet_pton(AF_INET6, address, &any) == 1;
}

static bool is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET) return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

static int listen_at(const struct sockaddr *address, socklen_t bytes)
{
    int one = 1, fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), status;
    if (fd < 0) return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one); /* a job that ended a moment ago keeps no port */
    if (!bind(fd, address, bytes) && !listen(fd, 1024)) return fd;
    status = -errno;
    close(fd);
    return status;
}

/* Any address of this host, where the job's own is none of them (a forwarded one). */
static int listen_anywhere(int port)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = listen_at((struct sockaddr *)&six, sizeof six); /* takes IPv4 as well */
    return fd >= 0 || fd == -EADDRINUSE ? fd : listen_at((struct sockaddr *)&four, sizeof four);
}

static int start_listening(const struct vs_team_place *place)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL, *a;
    char port[16];
    int status, fd = -EADDRNOTAVAIL;
    snprintf(port, sizeof port, "%d", place->port);
    if ((status = getaddrinfo(place->address, port, &hints, &list))) {
        vs_team_say(0, "MASTER_ADDR '%s' is no address: %s", place->address, gai_strerror(status));
        return -EINVAL;
    }
    for (a = list; a && (fd == -EADDRNOTAVAIL || fd == -EAFNOSUPPORT); a = a->ai_next)
        fd = is_loopback(a->ai_addr) && !here_only(place->address) ? listen_anywhere(place->port)
                                                                   : listen_at(a->ai_addr, a->ai_addrlen);
    freeaddrinfo(list);
    if (fd == -EADDRNOTAVAIL) fd = listen_anywhere(place->port);
    if (fd == -EADDRINUSE)
        vs_team_say(0,
                    "port %d of %s is in use by another program, maybe another job: choose a port that is free (--port "
                    "or MASTER_PORT)",
                    place->port, place->address);
    else if (fd < 0) vs_team_say(0, "cannot listen at %s, port %d: %s", place->address, place->port, strerror(-fd));
    return fd;
}

/* ---- who comes ---- */

static void drop_stranger(struct meeting *m, int i, bool close_it)
{
    if (close_it) vs_team_link_close(&m->stranger[i]);
    m->strangers--;
    memmove(&m->stranger[i], &m->stranger[i + 1], (size_t)(m->strangers - i) * sizeof *m->stranger);
}

static void take_in(struct meeting *m)
{
    int fd, one = 1;
    while ((fd = accept4(m->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (m->strangers == STRANGERS) drop_stranger(m, 0, true);
        m->stranger[m->strangers++] = (struct vs_team_link){.fd = fd};
    }
    if (errno == EMFILE || errno == ENFILE)
        fail(m, -errno, "rank 0 cannot take more connections: %s (see ulimit -n)", strerror(errno));
}

/* A whole hello came. The link becomes the rank's, or is told why not. */
static void greet(struct meeting *m, int i, int rank, const struct vs_team_message *hello)
{
    struct vs_team *team = m->team;
    char why[VS_TEAM_WHY + 256];
    if (vs_team_hello_fits(hello->data, hello->bytes, team->place.world, m->fingerprint, why, sizeof why))
        fail(m, -EPROTO, "%s", why);
    else if (rank >= team->place.world || !rank || team->link[rank].fd >= 0)
        fail(m, -EPROTO, "rank %d came twice: two programs have that rank", rank);
    if (m->status) refuse(m, &m->stranger[i]);
    bool keep = rank > 0 && rank < team->place.world && team->link[rank].fd < 0;
    if (keep) team->link[rank] = m->stranger[i];
    drop_stranger(m, i, !keep);
    m->present++;
}

static void listen_to_stranger(struct meeting *m, int i)
{
    struct vs_team_message hello;
    int ended = vs_team_link_read(&m->stranger[i], READ);
    int status = vs_team_link_next(&m->stranger[i], VS_TEAM_HELLO_HEAD + VS_TEAM_FINGERPRINT, &hello);
    int rank = status == 1 ? vs_team_hello_rank(&hello) : -1;
    if (rank >= 0) greet(m, i, rank, &hello);
    else if (status || ended) drop_stranger(m, i, true);
}

static void listen_to_rank(struct meeting *m, int rank)
{
    struct vs_team_link *link = &m->team->link[rank];
    if (vs_team_link_read(link, READ)) fail(m, -ECONNRESET, "rank %d is gone before all had come", rank);
    else if (link->in.used > link->in.at) fail(m, -EPROTO, "rank %d sent what no rank of this program sends", rank);
}

static void listen_once(struct meeting *m)
{
    int64_t left = m->until - vs_team_now();
    int world = m->team->place.world, strangers = m->strangers;
    /* Without descriptors nobody can be taken in: not to be asked again at once. */
    bool full = m->status == -EMFILE || m->status == -ENFILE;
    m->polled[0] = (struct pollfd){.fd = full ? -1 : m->listener, .events = POLLIN};
    for (int r = 1; r < world; r++)
        m->polled[r] = (struct pollfd){.fd = m->status ? -1 : m->team->link[r].fd, .events = POLLIN};
    for (int i = 0; i < strangers; i++)
        m->polled[world + i] = (struct pollfd){.fd = m->stranger[i].fd, .events = POLLIN};
    if (poll(m->polled, (nfds_t)(world + strangers), left > 0 ? (int)(left / 1000000) + 1 : 0) <= 0) return;
    for (int i = strangers - 1; i >= 0; i--)
        if (m->polled[world + i].revents) listen_to_stranger(m, i);
    for (int r = 1; r < world; r++)
        if (m->polled[r].revents) listen_to_rank(m, r);
    if (m->polled[0].revents) take_in(m);
}

static void time_is_over(struct meeting *m)
{
    char list[128];
    const struct vs_team_place *p = &m->team->place;
    int named = 0, missing = p->world - 1 - m->present;
    size_t at = 0;
    list[0] = 0;
    for (int r = 1; r < p->world && named < NAMED; r++)
        if (m->team->link[r].fd < 0) at = vs_team_add(list, sizeof list, at, "%s%d", named++ ? ", " : "", r);
    if (missing > named) vs_team_add(list, sizeof list, at, " and %d more", missing - named);
    fail(m, -ETIMEDOUT, "%s %s did not come to %s, port %d, within %.1f s", missing > 1 ? "ranks" : "rank", list,
         p->address, p->port, (double)m->team->timeout_ns / 1e9);
}

int vs_team_listen(struct vs_team *team, const char *fingerprint)
{
    int world = team->place.world;
    struct meeting *m = calloc(1, sizeof *m);
    struct pollfd *polled = calloc((size_t)world + STRANGERS, sizeof *polled);
    int status = -ENOMEM;
    if (!m || !polled) goto out;
    *m = (struct meeting){
        .team = team, .fingerprint = fingerprint, .polled = polled, .until = vs_team_now() + team->timeout_ns};
    if ((status = m->listener = start_listening(&team->place)) < 0) goto out;
    while (m->present < world - 1) {
        if (vs_team_now() < m->until) listen_once(m);
        else if (m->status) break;
        else time_is_over(m);
    }
    for (int r = 1; r < world && !m->status; r++) {
        vs_team_link_put(&team->link[r], VS_TEAM_WELCOME, NULL, 0, NULL, 0);
        vs_team_link_flush(&team->link[r]);
    }
    if (m->status) vs_team_say(0, "%s", m->why);
    while (m->strangers) drop_stranger(m, 0, true);
    close(m->listener);
    status = m->status;
out:
    free(polled);
    free(m);
    return status;
}
