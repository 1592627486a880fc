/* SPDX-License-Identifier: MIT */
/* Interface files: the Rust subset that vox services are written in, read into descriptors (choir/type.h) for
 * this machine's C layout.
 *
 * One call reads a file and either makes everything or says what is wrong: an interface file is small, is
 * read by tools only, and a second error is often a consequence of the first. What is made is owned by the
 * `idl` and constant. A tool that runs out of memory ends with a message, so nothing here reports that.
 *
 * Bounds: 8 MiB of text, types, modules and values nested 64 deep, 65,536 types; time is linear in the
 * text. */
#ifndef IDL_H
#define IDL_H

#include "choir/type.h"

#include <stdio.h>

#define IDL_FILE_MAX  ((size_t)8 << 20)
#define IDL_DEPTH_MAX 64u
#define IDL_TYPES_MAX 65536u

typedef struct idl idl;

/* What is wrong: "FILE:LINE:COLUMN: error: ..." with the line itself and what is allowed. */
typedef struct idl_error {
    uint32_t line, column; /* from 1; 0: the file as a whole */
    char text[2048];
} idl_error;

/* Reads the text of an interface file, which is borrowed for the call; `file_name` is for messages. False:
 * ret_error is filled and *ret_idl untouched. Returns owned (free with idl_free). */
bool idl_parse(const char *text, size_t len, const char *file_name, idl **ret_idl, idl_error *ret_error);
/* The same from a file. */
bool idl_read(const char *path, idl **ret_idl, idl_error *ret_error);
void idl_free(idl *file);

/* The traits of the file in order. All share one unit. Returns borrowed (valid until idl_free). */
uint32_t idl_services_len(const idl *file);
const choir_service *idl_service(const idl *file, uint32_t index);
/* By name, as in Testbed; NULL: there is none. */
const choir_service *idl_find(const idl *file, choir_str name);
const choir_unit *idl_unit(const idl *file);

/* Fills in what is announced about each method (choir_unit.schemas, announcements, ...). Without it that is
 * computed when the service is first used. */
bool idl_announce(idl *file, idl_error *ret_error);
/* After that: the type id of what is announced, by choir_method.args_announcement or
 * response_announcement. */
uint64_t idl_announced_id(const idl *file, uint32_t announcement);
/* And all of the reference: ids of generic declarations have those of their type arguments behind them in
 * angle brackets. */
void idl_print_root(FILE *out, const idl *file, uint32_t announcement);

/* Callers of one version with servers of the other. */
typedef struct idl_diff_way {
    uint32_t methods;    /* that both have, and for old callers those that were removed */
    uint32_t broken;     /* of these: cannot be called */
    uint32_t partial;    /* can be called, but not with every value or every answer */
    uint32_t vox_broken; /* can be called, but not if who reads is made with vox in Rust */
    uint32_t added;      /* for new callers */
} idl_diff_way;

enum { IDL_OLD_CALLERS, IDL_NEW_CALLERS, IDL_CALLERS };

typedef struct idl_diff_counts {
    /* Old callers call new servers, and miss what was removed. New callers call old servers, and what was
     * added breaks nothing: no call of it ever worked, and its callers learn that it was never run. */
    idl_diff_way callers[IDL_CALLERS];
} idl_diff_counts;

/* Prints each method of both with what has become of it: same, compatible, one-way, breaking, added, removed;
 * who can call whom, or why not; and what vox in Rust makes of it where that is something else. At the end a
 * line for each direction. */
bool idl_diff(const idl *before, const idl *after, FILE *out, idl_diff_counts *ret_counts,
              idl_error *ret_error);

#endif
