/* SPDX-License-Identifier: MIT */
/* Runs a target without libFuzzer: on each seed, on its truncations and on random mutations. The numbers are
 * fixed unless given, so that a failure can be had again; the input that ended the process is written to a
 * file, whatever ended it.
 *
 * usage: NAME [--mutations N] [--seed S] [--save FILE] FILE|FOLDER... */
#include "fuzz.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRUNCATIONS 1024u /* of a seed: all of those that are no longer, evenly spread ones of others */
#define LONGEST     65536u

typedef struct seed {
    char *name;
    choir_bytes bytes;
} seed;

static seed *seeds;
static size_t seeds_len;
static uint64_t state = 1;
static const char *save = "crash-input";
static const char *what; /* for texts: the seed */
static choir_bytes running;
static uint64_t runs;

/* Called by what ends the process: a signal, or a sanitizer. */
static void keep_input(void) {
    FILE *file = fopen(save, "wb");
    if (!file) return;
    fwrite(running.data, 1, running.len, file);
    fclose(file);
    fprintf(stderr, "input (%zu bytes, made from %s) is in %s; give that file alone to run it again\n",
            running.len, what, save);
}

static void on_signal(int number) {
    keep_input();
    signal(number, SIG_DFL);
    raise(number);
}

/* Of AddressSanitizer, when it is there. */
extern void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void run(const uint8_t *data, size_t len) {
    uint8_t *exact = malloc(len > 0 ? len : 1);
    if (!exact) abort();
    if (len > 0) memcpy(exact, data, len);
    running = (choir_bytes){exact, len};
    LLVMFuzzerTestOneInput(exact, len);
    runs++;
    free(exact);
}

/* ---- seeds ---- */

static void read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(LONGEST);
    seed *more = realloc(seeds, (seeds_len + 1) * sizeof *seeds);
    if (!file || !data || !more) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(2);
    }
    seeds = more;
    seeds[seeds_len++] = (seed){strdup(path), {data, fread(data, 1, LONGEST, file)}};
    fclose(file);
}

static void read_path(const char *path) {
    struct stat about;
    struct dirent **entries;
    if (stat(path, &about) != 0) return; /* a target without findings has no folder of them */
    if (!S_ISDIR(about.st_mode)) {
        read_file(path);
        return;
    }
    int count = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') read_path(name);
        free(entries[i]);
    }
    if (count >= 0) free(entries);
}

static void run_seed(const seed *s) {
    size_t step = 1 + s->bytes.len / TRUNCATIONS;
    what = s->name;
    run(s->bytes.data, s->bytes.len);
    for (size_t len = 0; len < s->bytes.len; len += step) run(s->bytes.data, len);
}

/* ---- mutations ---- */

static uint32_t pick(size_t below) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return below > 0 ? (uint32_t)((state >> 33) % below) : 0;
}

/* Puts `count` bytes of `from` at `at` in place of `gone` that are there. */
static size_t replace(uint8_t *data, size_t len, size_t at, size_t gone, const uint8_t *from, size_t count) {
    if (len - gone + count > LONGEST) return len;
    memmove(data + at + count, data + at + gone, len - at - gone);
    if (count > 0) memcpy(data + at, from, count);
    return len - gone + count;
}

static size_t mutate(uint8_t *data, size_t len) {
    static const uint8_t strange[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0xfe, 0x9f, 0xbf, 0x5f, 0x1b, '"', '{'};
    uint8_t bytes[16];
    size_t at = pick(len + 1), left = len - at, some = 1 + pick(sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)pick(256);
    switch (pick(6)) {
    case 0:
        if (left > 0) data[at] ^= (uint8_t)(1u << pick(8));
        return len;
    case 1:
        if (left > 0) data[at] = strange[pick(sizeof strange)];
        return len;
    case 2: return replace(data, len, at, 0, bytes, some);
    case 3: return replace(data, len, at, left < some ? left : some, NULL, 0);
    case 4: return replace(data, len, at, left < some ? left : some, bytes, left < some ? left : some);
    default: {
        choir_bytes other = seeds[pick(seeds_len)].bytes;
        size_t from = pick(other.len);
        return replace(data, len, at, pick(left + 1), other.data + from, pick(other.len - from + 1));
    }
    }
}

static void run_mutation(void) {
    static uint8_t data[LONGEST];
    const seed *s = &seeds[pick(seeds_len)];
    size_t len = s->bytes.len;
    what = s->name;
    memcpy(data, s->bytes.data, len);
    for (uint32_t n = 1 + pick(4); n > 0; n--) len = mutate(data, len);
    run(data, len);
}

int main(int argc, char **argv) {
    uint64_t mutations = 0;
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM, SIGTERM};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--mutations") == 0 && i + 1 < argc)
            mutations = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            state = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--save") == 0 && i + 1 < argc)
            save = argv[++i];
        else
            read_path(argv[i]);
    }
    if (seeds_len == 0) {
        fprintf(stderr, "usage: %s [--mutations N] [--seed S] [--save FILE] FILE|FOLDER...\n", argv[0]);
        return 2;
    }
    if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(keep_input);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) signal(signals[i], on_signal);
    printf("%zu seeds; %llu mutations with --seed %llu\n", seeds_len, (unsigned long long)mutations,
           (unsigned long long)state);
    if (mutations == 0 && seeds_len == 1) {
        what = seeds[0].name;
        run(seeds[0].bytes.data, seeds[0].bytes.len);
    } else {
        for (size_t i = 0; i < seeds_len; i++) run_seed(&seeds[i]);
        for (uint64_t i = 0; i < mutations; i++) run_mutation();
    }
    printf("%llu inputs\n", (unsigned long long)runs);
    for (size_t i = 0; i < seeds_len; i++) {
        free(seeds[i].name);
        free((void *)(uintptr_t)seeds[i].bytes.data);
    }
    free(seeds);
    return 0;
}
