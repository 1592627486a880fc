/* SPDX-License-Identifier: MIT */
/* One byte of what we receive is changed: the session must end, or something must be seen, or the byte must
 * be one that may change. Never may a conversation go on as if nothing had happened without a reason that was
 * thought of before.
 *
 * The reasons are not asked of our decoders: sessions_to_c.py finds the bytes with readers of its own. */
#include "replay.h"

#include <stdio.h>

static const replay_link whole = {CHOIR_FRAMING_NONE, 0};

static uint32_t next_random(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

static const replay_free *find_reason(const replay_payload *p, uint32_t at) {
    for (uint32_t i = 0; i < p->free_len; i++)
        if (at >= p->free[i].at && at - p->free[i].at < p->free[i].len) return &p->free[i];
    return NULL;
}

static void complain(const replay_part *part, replay_change change, const char *what) {
    printf("# %s as the %s, payload %u, byte %u ^ %02x: %s\n", part->recording->name,
           part->client ? "client" : "server", change.payload, change.at, change.mask, what);
}

typedef struct flipper {
    replay_world *world;
    const replay_part *part;
    replay_run straight; /* nothing changed */
    replay_run *scratch;
    replay_flips *flips;
} flipper;

static void try_one(flipper *f, replay_change change) {
    replay_flips *n = f->flips;
    replay_play(f->world, f->part, whole, change, f->scratch);
    n->tried++;
    if (f->scratch->broken[0]) {
        complain(f->part, change, f->scratch->broken);
        n->silent++;
    } else if (replay_run_equals(&f->straight, f->scratch)) {
        const replay_free *reason = find_reason(&f->part->recording->payloads[change.payload], change.at);
        if (reason) {
            n->harmless[reason->why]++;
        } else {
            complain(f->part, change, "no effect");
            n->silent++;
        }
    } else if (f->scratch->status != f->straight.status) {
        n->ended++;
    } else if (!replay_sent_equals(&f->straight, f->scratch)) {
        n->sent++;
    } else {
        n->seen++;
    }
}

/* A mask for one byte: of several, the first eight change one bit each. Of one, half do. */
static uint8_t choose_mask(uint64_t *seed, uint32_t masks, uint32_t j) {
    uint32_t random = next_random(seed);
    if (masks > 1 && j < 8) return (uint8_t)(1u << j);
    if (random & 1) return (uint8_t)(1u << (random >> 1) % 8);
    return (uint8_t)(1 + (random >> 1) % 255);
}

void replay_flip(replay_world *w, const replay_part *part, replay_extent extent, replay_run *scratch,
                 replay_flips *ret) {
    flipper f = {.world = w, .part = part, .scratch = scratch, .flips = ret};
    uint64_t seed = 1;
    replay_play(w, part, whole, (replay_change){0, 0, 0}, &f.straight);
    for (uint32_t i = 0; i < part->recording->len; i++) {
        const replay_payload *p = &part->recording->payloads[i];
        if (p->from_client == part->client || !p->delivered) continue;
        bool all = p->len <= extent.small || extent.sample == 0;
        for (uint32_t k = 0; k < (all ? p->len : extent.sample); k++) {
            uint32_t at = all ? k : next_random(&seed) % p->len;
            for (uint32_t j = 0; j < extent.masks; j++)
                try_one(&f, (replay_change){i, at, choose_mask(&seed, extent.masks, j)});
        }
    }
    replay_run_deinit(&f.straight);
}
