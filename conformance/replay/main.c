/* SPDX-License-Identifier: MIT */
/* Which recordings are played in which roles, and the report (TAP). See README.md for the reasons.
 *
 * usage: replay [BYTES [MASKS]]: how many bytes of each large payload are changed (0: all), and with how many
 * masks each. */
#include "answer.h"
#include "extra.h"
#include "extra_newer.h"
#include "half_evolved.h"
#include "recordings.h"
#include "replay.h"
#include "testbed/testbed_evolved.h"
#include "testbed/testbed_mistyped.h"
#include "testbed/testbed_newer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Enough that each kind of byte is met, and little enough for every build under sanitizers. */
#define SMALL_PAYLOAD  400u
#define SAMPLE_DEFAULT 192u
#define DIVIDE_ID      UINT64_C(0xfb68d9318f830875)
#define ECHO_BYTES_ID  UINT64_C(0x44056c7842fa336c)
#define ECHO_ID        UINT64_C(0x880bc4eee23574be)
#define CHECK_ID       UINT64_C(0x142128ca43254d6f)

/* A recording, by default played in both roles with the Testbed until the end of the stream. */
typedef struct plan {
    const char *name;
    bool not_client, not_server;
    bool server_connects;              /* the side that connected answers the calls */
    const choir_service *call, *serve; /* other than the Testbed */
    replay_end client_end;
    int client_status, server_status;
    uint64_t free_binding; /* as the server */
    bool free_schemas, free_service;
    uint32_t more;
} plan;

static const plan plans[] = {
    {.name = "sessions/handshake"},
    {.name = "sessions/handshake_not_resumable"},
    {.name = "sessions/echo"},
    {.name = "sessions/echo_bytes", .free_binding = ECHO_BYTES_ID},
    {.name = "sessions/echo_gnarly"},
    {.name = "sessions/echo_long"},
    {.name = "sessions/divide"},
    {.name = "sessions/lookup"},
    {.name = "sessions/scalars"},
    {.name = "sessions/pipelining"},
    {.name = "sessions/unknown_method", .call = &newer_service, .free_schemas = true},
    {.name = "sessions/invalid_payload", .call = &mistyped_service},
    {.name = "sessions/structs"},
    {.name = "sessions/enums"},
    {.name = "sessions/evolvable_v1"},
    {.name = "sessions/evolved", .serve = &evolved_service, .free_binding = ECHO_ID},
    {.name = "sessions/evolved_client", .call = &evolved_service},
    {.name = "sessions/subject_evolved",
     .serve = &evolved_service,
     .server_connects = true,
     .free_binding = ECHO_ID},
    {.name = "sessions/schema_message", .call = &half_evolved_service},
    {.name = "sessions/ping"},
    {.name = "sessions/ping_server"},
    {.name = "sessions/prologue_bad_version", .not_client = true, .server_status = CHOIR_ERR_PROLOGUE},
    {.name = "sessions/prologue_bad_mode",
     .not_client = true,
     .server_status = CHOIR_ERR_PROLOGUE,
     .more = 1},
    {.name = "sessions-rust/handshake"},
    {.name = "sessions-rust/handshake_metadata"},
    {.name = "sessions-rust/handshake_metadata_bytes", .more = 1},
    {.name = "sessions-rust/handshake_not_resumable", .free_service = true},
    {.name = "sessions-rust/handshake_not_resumable_wanted", .free_service = true},
    {.name = "sessions-rust/echo"},
    {.name = "sessions-rust/echo_bytes"},
    {.name = "sessions-rust/echo_gnarly"},
    {.name = "sessions-rust/echo_long"},
    {.name = "sessions-rust/large"},
    {.name = "sessions-rust/divide"},
    {.name = "sessions-rust/divide_error_first"},
    {.name = "sessions-rust/lookup"},
    {.name = "sessions-rust/scalars"},
    {.name = "sessions-rust/pipelining"},
    {.name = "sessions-rust/pipelining_out_of_order"},
    {.name = "sessions-rust/unknown_method", .call = &newer_service, .free_schemas = true},
    {.name = "sessions-rust/invalid_payload", .call = &mistyped_service, .free_binding = DIVIDE_ID},
    {.name = "sessions-rust/structs"},
    {.name = "sessions-rust/enums"},
    {.name = "sessions-rust/evolvable_v1"},
    {.name = "sessions-rust/evolved", .serve = &evolved_service},
    {.name = "sessions-rust/evolved_client", .call = &evolved_service},
    {.name = "sessions-rust/extra_types", .call = &extra_service, .serve = &extra_service},
    {.name = "sessions-rust/wrong_binding",
     .call = &newer_extra_service,
     .serve = &extra_service,
     .free_binding = CHECK_ID},
    {.name = "sessions-rust/ping"},
    {.name = "sessions-rust/ping_server"},
    {.name = "sessions-rust/ping_timeout",
     .client_end = REPLAY_SILENCE,
     .client_status = CHOIR_ERR_PEER_UNRESPONSIVE},
    {.name = "sessions-rust/prologue_bad_version",
     .not_client = true,
     .server_status = CHOIR_ERR_PROLOGUE,
     .more = 1},
    {.name = "sessions-rust/prologue_bad_mode",
     .not_client = true,
     .server_status = CHOIR_ERR_PROLOGUE,
     .more = 1},
};

static uint32_t tests, failures;

__attribute__((format(printf, 2, 3))) static void report(bool ok, const char *format, ...) {
    va_list args;
    va_start(args, format);
    printf("%s %u - ", ok ? "ok" : "not ok", ++tests);
    vprintf(format, args);
    printf("\n");
    va_end(args);
    if (!ok) failures++;
}

static const replay_recording *find(const char *name) {
    for (size_t i = 0; i < recordings_len; i++)
        if (strcmp(recordings[i].name, name) == 0) return &recordings[i];
    return NULL;
}

/* What the recorded server calls itself decides whether ours has something to call. */
static const choir_service *server_calls(const replay_recording *r, bool client) {
    static const char testbed[] = "Testbed";
    const replay_payload *p = replay_find_hello(r, client);
    replay_hello h;
    if (!p || !replay_hello_read(replay_bytes(p), &h) || h.entries_len == 0) return NULL;
    choir_bytes name = h.entries[h.entries_len - 1].bytes;
    return name.len == strlen(testbed) && memcmp(name.data, testbed, name.len) == 0 ? replay_testbed : NULL;
}

static replay_part part_of(const plan *how, const replay_recording *r, bool client) {
    int status = client ? how->client_status : how->server_status;
    replay_part part = {.recording = r, .client = client, .status = status ? status : CHOIR_ERR_LINK_LOST};
    part.calls = client != how->server_connects;
    if (part.calls) {
        part.call = how->call ? how->call : replay_testbed;
        part.end = how->client_end;
    } else {
        part.call = server_calls(r, client);
        part.serve = how->serve ? how->serve : replay_testbed;
        part.free_binding = how->free_binding;
        part.free_schemas = how->free_schemas;
        part.free_service = how->free_service;
        part.more = how->more;
    }
    return part;
}

/* The same conversation, however the link hands it over. */
static void play_all_links(replay_world *w, const replay_part *part, replay_run *runs) {
    static const replay_link links[] = {
        {CHOIR_FRAMING_NONE, 0}, {CHOIR_FRAMING_U32LE, 0}, {CHOIR_FRAMING_U32LE, 7}};
    bool ok = true;
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        replay_run *run = &runs[i > 0];
        replay_play(w, part, links[i], (replay_change){0, 0, 0}, run);
        if (i == 0)
            ok = replay_compare(part, run, false);
        else
            ok = replay_run_equals(&runs[0], run) && ok;
    }
    report(ok, "%s as the %s", part->recording->name, part->client ? "client" : "server");
}

static void play(replay_world *w, const plan *how, replay_extent extent, replay_run *runs,
                 replay_flips *flips) {
    const replay_recording *r = find(how->name);
    for (int client = 1; client >= 0; client--) {
        if (client ? how->not_client : how->not_server) continue;
        if (!r) {
            report(false, "%s: no such recording", how->name);
            return;
        }
        replay_part part = part_of(how, r, client);
        play_all_links(w, &part, runs);
        uint64_t tried = 0;
        bool sharp = replay_compare_is_sharp(&part, &runs[0], &tried);
        report(sharp, "%s as the %s: %llu other expectations are noticed", r->name,
               client ? "client" : "server", (unsigned long long)tried);
        uint64_t silent = flips->silent;
        tried = flips->tried;
        replay_flip(w, &part, extent, &runs[0], flips);
        report(flips->silent == silent, "%s as the %s: %llu bytes changed", r->name,
               client ? "client" : "server", (unsigned long long)(flips->tried - tried));
    }
}

static void check_all_planned(void) {
    bool ok = true;
    for (size_t i = 0; i < recordings_len; i++) {
        size_t k = 0;
        while (k < sizeof plans / sizeof *plans && strcmp(plans[k].name, recordings[i].name) != 0) k++;
        if (k < sizeof plans / sizeof *plans) continue;
        printf("# %s is not played\n", recordings[i].name);
        ok = false;
    }
    report(ok, "every recording is played");
}

static void print_flips(const replay_flips *f) {
    printf("# %8llu bytes changed\n", (unsigned long long)f->tried);
    printf("# %8llu ended the session with an error\n", (unsigned long long)f->ended);
    printf("# %8llu made us send something else\n", (unsigned long long)f->sent);
    printf("# %8llu made the host see something else\n", (unsigned long long)f->seen);
    for (size_t i = 0; i < replay_reasons_len; i++)
        printf("# %8llu had no effect: %s\n", (unsigned long long)f->harmless[i], replay_reasons[i]);
    printf("# %8llu had no effect without a reason\n", (unsigned long long)f->silent);
}

int main(int argc, char **argv) {
    static replay_run runs[2];
    static replay_world world;
    static uint64_t harmless[sizeof replay_reasons / sizeof *replay_reasons];
    replay_flips flips = {.harmless = harmless};
    replay_extent extent = {SMALL_PAYLOAD, SAMPLE_DEFAULT, 1};
    if (argc > 1) extent.sample = (uint32_t)strtoul(argv[1], NULL, 10);
    if (argc > 2) extent.masks = (uint32_t)strtoul(argv[2], NULL, 10);
    world.env = test_env(&world.alloc);
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) play(&world, &plans[i], extent, runs, &flips);
    check_all_planned();
    print_flips(&flips);
    replay_run_deinit(&runs[0]);
    replay_run_deinit(&runs[1]);
    choir_env_free(world.env);
    report(world.alloc.bytes == 0 && world.alloc.blocks == 0, "nothing is left allocated");
    printf("1..%u\n# %u passed, %u failed\n", tests, tests - failures, failures);
    return failures > 0;
}
