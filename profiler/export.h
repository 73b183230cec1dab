/* SPDX-License-Identifier: MIT
 *
 * export.h: marks a symbol that other libraries bind to. Everything else is hidden. exports.map lists them all.
 */
#ifndef VS_PROFILER_EXPORT_H
#define VS_PROFILER_EXPORT_H

#define VS_EXPORT __attribute__((visibility("default")))
#define VS_HIDDEN __attribute__((visibility("hidden")))

/* On the path of every event: placed together, so that a program that does much else misses few pages and lines. */
#define VS_HOT __attribute__((hot))

#endif
