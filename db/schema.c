/* SPDX-License-Identifier: MIT
 *
 * schema.c: holds the text of schema.sql, so that the binary needs no file at run time. It must never hold SQL of its own.
 *
 * Built from the root of the repository; its object depends on db/schema.sql.
 */
#include "schema.h"

__asm__(".section .rodata\n"
        ".global vs_schema_sql\n"
        ".type vs_schema_sql, @object\n"
        "vs_schema_sql:\n"
        ".incbin \"db/schema.sql\"\n"
        ".byte 0\n"
        ".size vs_schema_sql, . - vs_schema_sql\n"
        ".previous\n");
