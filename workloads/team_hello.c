/* SPDX-License-Identifier: MIT
 *
 * team_hello.c: the first words of a connection, and whether who says them belongs to the job. They may come from anybody.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "workloads/team_parts.h"

enum { DIFFERENCES = 3, WORD = 80 };
static const char magic[8] = "vsteam\n";

void vs_team_hello_head(unsigned char head[VS_TEAM_HELLO_HEAD], int rank, int world)
{
    memcpy(head, magic, sizeof magic);
    vs_team_put32(head + 8, VS_TEAM_VERSION);
    vs_team_put32(head + 12, (uint32_t)rank);
    vs_team_put32(head + 16, (uint32_t)world);
}

int vs_team_hello_rank(const struct vs_team_message *message)
{
    if (message->type != VS_TEAM_HELLO || message->bytes < VS_TEAM_HELLO_HEAD ||
        memcmp(message->data, magic, sizeof magic) != 0)
        return -1;
    uint32_t rank = vs_team_get32(message->data + 12);
    return rank < VS_TEAM_MOST_RANKS ? (int)rank : -1;
}

struct word {
    const char *at;
    size_t bytes; /* 0: there is none */
};

static struct word next(const char **at, const char *end)
{
    struct word w;
    while (*at < end && **at == ' ') ++*at;
    w.at = *at;
    while (*at < end && **at != ' ') ++*at;
    w.bytes = (size_t)(*at - w.at);
    return w;
}

static const char *shown(struct word w, char text[WORD])
{
    vs_team_clean(text + 1, WORD - 2, w.at, w.bytes);
    if (!w.bytes) return "nothing";
    text[0] = '\'';
    return strcat(text, "'");
}

static void tell_difference(const char *theirs, size_t bytes, const char *ours, int rank, char *why, size_t why_bytes)
{
    const char *theirs_end = theirs + bytes, *ours_end = ours + strlen(ours);
    char a_text[WORD], b_text[WORD], last_text[WORD];
    struct word last = {0};
    size_t at = vs_team_add(why, why_bytes, 0, "rank %d was not started like rank 0", rank);
    for (int told = 0; told <= DIFFERENCES;) {
        struct word a = next(&theirs, theirs_end), b = next(&ours, ours_end), before = last;
        if (!a.bytes && !b.bytes) return;
        last = b;
        if (a.bytes == b.bytes && !memcmp(a.at, b.at, a.bytes)) continue;
        if (told++ == DIFFERENCES) {
            vs_team_add(why, why_bytes, at, ", and more");
            return;
        }
        at = vs_team_add(why, why_bytes, at, "%s", told > 1 ? ", " : ": ");
        if (before.bytes) at = vs_team_add(why, why_bytes, at, "after %s ", shown(before, last_text));
        at = vs_team_add(why, why_bytes, at, "rank %d has %s, rank 0 %s", rank, shown(a, a_text), shown(b, b_text));
    }
}

int vs_team_hello_fits(const unsigned char *hello, size_t bytes, int world, const char *fingerprint, char *why,
                       size_t why_bytes)
{
    uint32_t version = vs_team_get32(hello + 8), rank = vs_team_get32(hello + 12), says = vs_team_get32(hello + 16);
    const char *theirs = (const char *)hello + VS_TEAM_HELLO_HEAD;
    bytes -= VS_TEAM_HELLO_HEAD;
    if (version != VS_TEAM_VERSION) {
        snprintf(why, why_bytes, "rank %u is another version of this program than rank 0", rank);
        return -EPROTO;
    }
    if (says != (uint32_t)world) {
        snprintf(why, why_bytes, "rank %u says %u ranks, rank 0 says %d: start all with the same number", rank, says,
                 world);
        return -EPROTO;
    }
    if (bytes == strlen(fingerprint) && !memcmp(theirs, fingerprint, bytes)) return 0;
    tell_difference(theirs, bytes, fingerprint, (int)rank, why, why_bytes);
    return -EPROTO;
}
