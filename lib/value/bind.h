/* SPDX-License-Identifier: MIT */
/* Ends of channels in values: where the binder of a reader or writer is asked, for every codec. */
#ifndef CHOIRI_BIND_H
#define CHOIRI_BIND_H

#include "base/text.h"
#include "value/unit.h"
#include "wire/reader.h"
#include "wire/writer.h"

/* Stores the handle for a number that was read; without a binder the number. false: the reader has the
 * binder's status. */
bool choiri_bind(choiri_reader *r, const choir_unit *u, uint32_t type, uint64_t number, void *ret_handle);
/* The number to write for a handle. false: the writer has the binder's status. */
bool choiri_unbind(choiri_writer *w, const choir_unit *u, uint32_t type, const void *handle,
                   uint64_t *ret_number);
/* Says that an end of this type was refused, if that is what this failure is; else false. */
bool choiri_bind_explain(const choir_unit *u, const choir_type *t, int status, choiri_text *text);

#endif
