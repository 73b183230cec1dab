/* SPDX-License-Identifier: MIT
 *
 * human.c: units and quoting for people. Must never allocate.
 */
#include "human.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../exporters/visible.h"

char *vs_human_bytes(int64_t bytes, char out[VS_HUMAN])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)bytes / 1024;
    unsigned u = 0;
    if (bytes > -1024 && bytes < 1024) {
        snprintf(out, VS_HUMAN, "%" PRId64 " B", bytes);
        return out;
    }
    while ((value >= 1023.95 || value <= -1023.95) && u < 4) {
        value /= 1024;
        u++;
    }
    snprintf(out, VS_HUMAN, "%.1f %s", value, units[u]);
    return out;
}

char *vs_human_time(int64_t ns, char out[VS_HUMAN])
{
    double s = (double)ns / 1e9;
    if (ns < 1000 && ns > -1000)
        snprintf(out, VS_HUMAN, "%" PRId64 " ns", ns);
    else if (s < 1e-3)
        snprintf(out, VS_HUMAN, "%.1f us", s * 1e6);
    else if (s < 1)
        snprintf(out, VS_HUMAN, "%.1f ms", s * 1e3);
    else if (s < 600)
        snprintf(out, VS_HUMAN, "%.2f s", s);
    else
        snprintf(out, VS_HUMAN, "%d h %02d min", (int)(s / 3600), (int)(s / 60) % 60);
    return out;
}

char *vs_human_count(int64_t count, char out[VS_HUMAN])
{
    if (count < 10000000)
        snprintf(out, VS_HUMAN, "%" PRId64, count);
    else
        snprintf(out, VS_HUMAN, "%.1f M", (double)count / 1e6);
    return out;
}

char *vs_human_path(const char *path, char *out, size_t out_bytes)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=+:,@%";
    size_t used = 0, i;
    char quoted[4200];
    if (*path && strspn(path, plain) == strlen(path)) {
        snprintf(out, out_bytes, "%s", path);
        return out;
    }
    quoted[used++] = '\'';
    for (i = 0; path[i] && used < sizeof quoted - 8; i++) {
        if (path[i] == '\'') {
            memcpy(quoted + used, "'\\''", 4);
            used += 4;
        } else
            quoted[used++] = path[i];
    }
    quoted[used++] = '\'';
    vs_visible(quoted, used, 0, out, out_bytes);
    return out;
}
