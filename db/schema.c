/* SPDX-License-Identifier: MIT
 *
 * schema.c: holds the texts of schema.sql and experiment.sql, so that the binary needs no file at run time. It must never hold SQL of its
 * own.
 *
 * Built from the root of the repository; its object depends on both files.
 */
#include "schema.h"

#define TEXT(name, file)                                                                                               \
    __asm__(".section .rodata\n"                                                                                       \
            ".global " name "\n"                                                                                       \
            ".type " name ", @object\n" name ":\n"                                                                     \
            ".incbin \"" file "\"\n"                                                                                    \
            ".byte 0\n"                                                                                                \
            ".size " name ", . - " name "\n"                                                                           \
            ".previous\n")

TEXT("vs_schema_sql", "db/schema.sql");
TEXT("vs_experiment_sql", "db/experiment.sql");
