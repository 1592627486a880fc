/* SPDX-License-Identifier: MIT */
/* The inside of the value decoder, for what decodes only parts by descriptors alone: plans. */
#ifndef CHOIRI_DECODER_H
#define CHOIRI_DECODER_H

#include "value/path.h"
#include "value/value.h"

/* Most elements of a list whose elements take no bytes on the wire: nothing else bounds those. */
#define CHOIRI_DECODER_EMPTY_MAX 65536u

typedef struct choiri_decoder {
    choiri_reader *r;
    const choir_unit *u;
    choiri_arena *arena;
    const choir_type *failed; /* the innermost type that could not be read; NULL: none of ours */
    choiri_path path;         /* and where it was */
} choiri_decoder;

/* Not initialised as a whole: the path is a kilobyte that is rarely used. */
static inline void choiri_decoder_init(choiri_decoder *d, choiri_reader *r, const choir_unit *u,
                                       choiri_arena *arena) {
    d->r = r;
    d->u = u;
    d->arena = arena;
    d->failed = NULL;
    d->path.len = 0;
}
/* Decodes a value that is `depth` levels inside another one. false: the reader has the status. */
bool choiri_decoder_read(choiri_decoder *d, uint32_t type, void *out, uint32_t depth);
/* Memory of the arena, or NULL with the status in the reader. */
void *choiri_decoder_alloc(choiri_decoder *d, size_t size, size_t align);
/* A list's memory; *out is set. The count has been read. false as above. */
bool choiri_decoder_list(choiri_decoder *d, const choir_type *elem, uint64_t count, choir_list *out);
/* Memory for the pointee; the pointer is stored at `out`. NULL as above. */
void *choiri_decoder_box(choiri_decoder *d, const choir_type *box, void *out);
/* The option's tag; *out is all zero for none. false as above. */
bool choiri_decoder_option(choiri_decoder *d, const choir_type *option, void *out);
/* Says where and what. */
void choiri_decoder_explain(const choiri_decoder *d, choiri_text *text);

#endif
