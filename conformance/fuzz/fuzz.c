/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fuzz_block {
    fuzz_block *next;
    void *data;
};

void fuzz_fail(const char *file, int line, const char *format, ...) {
    va_list args;
    fprintf(stderr, "%s:%d: ", file, line);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

void fuzz_open(fuzz_run *f, const uint8_t *data, size_t size) {
    memset(f, 0, sizeof *f);
    f->in = (choir_bytes){data, size};
    f->env = test_env(&f->alloc);
}

int fuzz_close(fuzz_run *f) {
    choir_env_free(f->env);
    FUZZ_CHECK(f->alloc.blocks == 0, "%llu blocks with %llu bytes were not given back",
               (unsigned long long)f->alloc.blocks, (unsigned long long)f->alloc.bytes);
    while (f->blocks) {
        fuzz_block *block = f->blocks;
        f->blocks = block->next;
        free(block->data);
        free(block);
    }
    return 0;
}

uint8_t fuzz_u8(fuzz_run *f) {
    choir_bytes b = fuzz_take(f, 1);
    return b.len > 0 ? b.data[0] : 0;
}

uint32_t fuzz_u16(fuzz_run *f) {
    uint32_t low = fuzz_u8(f);
    return low | (uint32_t)fuzz_u8(f) << 8;
}

choir_bytes fuzz_take(fuzz_run *f, size_t max) {
    choir_bytes ret = {f->in.data, max < f->in.len ? max : f->in.len};
    if (ret.len > 0) f->in = (choir_bytes){f->in.data + ret.len, f->in.len - ret.len};
    return ret;
}

void *fuzz_memory(fuzz_run *f, size_t size) {
    fuzz_block *block = malloc(sizeof *block);
    void *data = malloc(size > 0 ? size : 1);
    if (!block || !data) abort();
    *block = (fuzz_block){f->blocks, data};
    f->blocks = block;
    return data;
}

choir_bytes fuzz_copy(fuzz_run *f, choir_bytes bytes) {
    uint8_t *data = fuzz_memory(f, bytes.len);
    if (bytes.len > 0) memcpy(data, bytes.data, bytes.len);
    return (choir_bytes){data, bytes.len};
}

choir_bytes fuzz_drain(fuzz_run *f, choiri_outq *q) {
    size_t len = (size_t)q->bytes;
    uint8_t *data = fuzz_memory(f, len);
    choiri_outq_copy(q, 0, data, len);
    choiri_outq_deinit(q);
    return (choir_bytes){data, len};
}

bool fuzz_same(choir_bytes a, choir_bytes b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

void fuzz_check_same_message(const choiri_message *a, const choiri_message *b) {
    FUZZ_CHECK(a->conn == b->conn && a->kind == b->kind && a->body == b->body &&
                   a->direction == b->direction && a->additional == b->additional && a->id == b->id &&
                   a->method == b->method,
               "another number");
    FUZZ_CHECK(a->settings.parity == b->settings.parity &&
                   a->settings.max_concurrent_requests == b->settings.max_concurrent_requests,
               "other settings");
    FUZZ_CHECK(a->metadata.count == b->metadata.count && fuzz_same(a->metadata.entries, b->metadata.entries),
               "other metadata");
    FUZZ_CHECK(fuzz_same(a->payload, b->payload), "another payload");
    FUZZ_CHECK(fuzz_same(a->schemas, b->schemas), "other schemas");
    FUZZ_CHECK(fuzz_same(fuzz_bytes(a->description), fuzz_bytes(b->description)), "another description");
}
