/* SPDX-License-Identifier: MIT */
/* Metadata lists in postcard form, which is also how they are kept: reading, and what encoders of messages
 * need of the writer beyond wire/writer.h. */
#ifndef CHOIRI_METADATA_H
#define CHOIRI_METADATA_H

#include "choir/metadata.h"
#include "wire/reader.h"
#include "wire/writer.h"

/* Reads a list and checks every entry. */
bool choiri_read_metadata(choiri_reader *r, choir_metadata *ret);

/* Is this entry allowed: its type, its reserved member, text that is UTF-8? */
bool choiri_metadata_entry_is_valid(const choir_metadata_entry *e);

/* The entries without their count: the call encoder adds one of its own. An entry that is not allowed (type,
 * reserved, text that is not UTF-8) fails the writer with ERR_INVALID. */
void choiri_write_entries(choiri_writer *w, const choir_metadata_entry *entries, size_t count);

#endif
