/* SPDX-License-Identifier: MIT
 *
 * schema.h: the texts of schema.sql and experiment.sql, zero-terminated, and the version number of the layout that the first describes.
 */
#ifndef VS_DB_SCHEMA_H
#define VS_DB_SCHEMA_H

#define VS_SCHEMA_VERSION 1 /* meta.format_version; a reader refuses another one */

extern const char vs_schema_sql[], vs_experiment_sql[];

#endif
