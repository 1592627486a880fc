/* SPDX-License-Identifier: MIT */
/* What fuzz targets share. A target is one file with LLVMFuzzerTestOneInput: it takes the bytes that choose
 * what is tried from the front of the input, tries it with the rest, and ends the process where a promise is
 * broken. It must do the same for the same input each time, keep nothing between inputs, and give back all
 * memory (fuzz_close looks).
 *
 * The same file is linked twice: with libFuzzer (-Dfuzz=true, ./dev fuzz) and with driver.c, which replays
 * the seeds as an ordinary test. Choices come from the input and never from a counter or a clock. */
#ifndef FUZZ_H
#define FUZZ_H

#include "base/env.h"
#include "base/outq.h"
#include "protocol/message.h"
#include "testing/alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct fuzz_block fuzz_block;

typedef struct fuzz_run {
    test_alloc alloc;
    choir_env *env;
    choir_bytes in;     /* what is left of the input */
    fuzz_block *blocks; /* of fuzz_memory */
} fuzz_run;

void fuzz_open(fuzz_run *f, const uint8_t *data, size_t size);
/* Everything that the env gave must have come back. Returns 0, what a target returns. */
int fuzz_close(fuzz_run *f);

/* From the front of the input; zeros and nothing at its end. */
uint8_t fuzz_u8(fuzz_run *f);
uint32_t fuzz_u16(fuzz_run *f);
choir_bytes fuzz_take(fuzz_run *f, size_t max);

/* Memory until fuzz_close, exactly as large, so that AddressSanitizer sees the first byte too many. */
void *fuzz_memory(fuzz_run *f, size_t size);
choir_bytes fuzz_copy(fuzz_run *f, choir_bytes bytes);
/* What was queued; the queue is empty afterwards. */
choir_bytes fuzz_drain(fuzz_run *f, choiri_outq *q);
bool fuzz_same(choir_bytes a, choir_bytes b);
static inline choir_bytes fuzz_bytes(choir_str s) {
    return (choir_bytes){(const uint8_t *)s.data, s.len};
}

/* All members are the same, but not where they lie. */
void fuzz_check_same_message(const choiri_message *a, const choiri_message *b);

/* A promise: FUZZ_CHECK(condition, format, ...). */
#define FUZZ_CHECK(kept, ...) ((kept) ? (void)0 : fuzz_fail(__FILE__, __LINE__, __VA_ARGS__))
_Noreturn void fuzz_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
