/* SPDX-License-Identifier: MIT */
/* What a peer made with vox 0.4.0 in Rust does with values of another version of a type, for reports: it is
 * stricter than we are in some places, and does not notice a difference in others.
 *
 * Its plans compare the two announcements, as they are, with all that is distorted in them; and values are
 * then decoded by its own types. So both are looked at here. The rules are those of its sources
 * (vox-postcard, plan.rs and deserialize.rs), and each was tried out with them:
 *
 * * A field that it lacks is an error if `required` was announced, which an Option is too unless it has
 *   #[facet(default)]. In a variant with named fields nothing is required; what is then missing in a value
 *   is an error, but for Options and defaults.
 * * Nothing is translated inside a Box, or inside the named fields of a variant, whose types are not even
 *   compared: its own layout is read, whatever the peer's is.
 * * bytes are a list of u8, and any two lists that are both announced as bytes are the same; but a list of
 *   something else that only one version announces as bytes is another type.
 * * `never` is not anything.
 * * Comparing a type that contains itself ends the process.
 * * What it skips, it skips as announced: lists announced as bytes, Durations and channels are skipped
 *   wrongly. */
#ifndef CHOIRI_VOX_READER_H
#define CHOIRI_VOX_READER_H

#include "base/text.h"
#include "schema/extract.h"
#include "schema/recv_tracker.h"

typedef enum choiri_vox_reads {
    CHOIRI_VOX_UNKNOWN,  /* types too large for comparing */
    CHOIRI_VOX_READS,    /* every value */
    CHOIRI_VOX_PARTLY,   /* it refuses those with what the text names */
    CHOIRI_VOX_MISREADS, /* it takes them for something else, or stumbles over them */
    CHOIRI_VOX_REFUSES,  /* every value */
    CHOIRI_VOX_CRASHES
} choiri_vox_reads;

typedef struct choiri_vox_input {
    choir_env *env;
    const choiri_recv_tracker *tracker; /* what the writer announces */
    choir_bytes remote_root;
    const choiri_root *writer, *reader;
    const choiri_schema_set *announcement; /* of the reader */
    bool is_reader_new;                    /* for the texts */
} choiri_vox_input;

typedef struct choiri_vox_verdict {
    choiri_vox_reads reads;
    choiri_text text; /* the first reason for the worst; empty for UNKNOWN and READS */
    /* An array whose values no reader gets right, ours included, and why; empty: there is none. */
    choiri_text array;
} choiri_vox_verdict;

/* OK or ERR_NO_MEMORY. */
int choiri_vox_read(const choiri_vox_input *in, choiri_vox_verdict *ret);

#endif
