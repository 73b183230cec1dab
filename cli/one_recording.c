/* SPDX-License-Identifier: MIT
 *
 * one_recording.c: see one_recording.h.
 */
#include "one_recording.h"

#include <stdlib.h>

#include "command.h"
#include "folder.h"
#include "option.h"

int vs_one_recording_open(const struct vs_command *self, const struct vs_operands *operands, const char *rank,
                          struct vs_one_recording *out)
{
    struct vs_error e;
    char *end = NULL;
    out->db = NULL;
    out->rank = -1;
    if (operands->count != 1) return vs_usage(self, "%s needs one database or log folder", self->name);
    if (rank) {
        out->rank = strtol(rank, &end, 10);
        if (!*rank || *end || out->rank < 0) return vs_usage(self, "--rank needs a number, not '%s'", rank);
    }
    return vs_recording_open(operands->text[0], &out->db, out->path, sizeof out->path, &e) ? vs_complain("%s", e.text)
                                                                                           : -1;
}
