/* SPDX-License-Identifier: MIT */
/* choir call: one call, JSON in and JSON out. */
#include "tool.h"

#include "choir/dynamic.h"
#include "infer.h"

#include <string.h>

/* Memory for the arguments or the result: more than any message holds. */
#define ARENA_MAX    ((size_t)1 << 30)
#define METADATA_MAX 64u
#define URL_MAX      300u

static const char help[] =
    "usage: choir call [OPTION]... ADDRESS SERVICE.METHOD [JSON]...\n"
    "       choir call [--types FILE] --list\n"
    "\n"
    "Calls a method and prints its result as one line of JSON. Each argument of the method is one JSON text.\n"
    "\n" TOOL_ADDRESSES "\n"
    "  --types FILE          an interface file that has the method (Rust traits and types)\n"
    "  --timeout SECONDS     give up after this time, connecting included; 0 is never (30)\n"
    "  --metadata KEY=VALUE  send this string beside the call; may be given 64 times\n"
    "  --codec CODEC         speak postcard or msgpack (postcard)\n"
    "  --verbose             say on standard error what happens and how long it takes\n"
    "  --log[=LEVEL]         log what the library does: error, warning, info (without LEVEL) or debug\n"
    "  --list                print the methods that are known, with their types\n"
    "  --help                print this\n"
    "\n"
    "Any method of any peer can be called: its result is read by the types that the peer announces. What the caller\n"
    "sends it has to announce itself. For methods that are neither built in (--list) nor in FILE, the types of\n"
    "arguments are taken from how they are written: a string, true, false, 7u32, -1i64, 2.5, [1u8,2u8], and\n"
    "structs with their name, Point{\"x\":1i32,\"y\":2i32}. All else needs --types.\n"
    "\n"
    "Examples\n"
    "  choir call localhost:7711 Testbed.echo '\"hello\"'\n"
    "  choir call localhost:7711 Testbed.divide -7 2\n"
    "  choir call localhost:7711 Clock.set_alarm 7u8 '\"coffee\"'\n"
    "  choir call localhost:7711 --types clock.rs Clock.set_alarm 7 '\"coffee\"'\n"
    "\n"
    "Exit status\n"
    "  0  answered; the result is on standard output\n"
    "  1  answered with the method's own error, which is on standard error as JSON\n"
    "  2  wrong usage: options, address, method or arguments; nothing was sent\n"
    "  3  could not connect, the session failed, or an interface file cannot be read or has an error\n"
    "  4  the call ended without an answer of the method: unknown method, invalid payload, cancelled, timed out, ...\n";

/* What the command line says. */
typedef struct request {
    char url[URL_MAX];
    const char *types_path;
    char **operands; /* address, method, arguments */
    size_t operands_len;
    choir_metadata_entry metadata[METADATA_MAX];
    size_t metadata_len;
    choir_duration timeout; /* 0 is none */
    uint32_t log_level, codec;
    bool verbose, list;
} request;

typedef struct call {
    const request *request;
    const choir_service *service; /* NULL: its types are not known yet */
    uint32_t method;
    idl *types;        /* --types */
    inferred inferred; /* when nobody knows the types */
    tool tool;
    choir_client *client;
    choir_arena *arena;
    choir_time start, deadline;
    bool done;
    int exit_status;
} call;

/* ---- the command line ---- */

enum { TIMEOUT, METADATA, VERBOSE, LOG, LIST, TYPES, CODEC };
static const tool_option known[] = {
    [TIMEOUT] = {"timeout", TOOL_VALUE}, [METADATA] = {"metadata", TOOL_VALUE},
    [VERBOSE] = {"verbose", TOOL_FLAG},  [LOG] = {"log", TOOL_MAYBE},
    [LIST] = {"list", TOOL_FLAG},        [TYPES] = {"types", TOOL_VALUE},
    [CODEC] = {"codec", TOOL_VALUE},     {NULL, 0}};

static int add_metadata(request *r, const char *pair) {
    const char *equals = strchr(pair, '=');
    if (!equals || equals == pair)
        return tool_usage(&tool_call, "--metadata needs KEY=VALUE, not \"%s\"", pair);
    if (r->metadata_len == METADATA_MAX) return tool_usage(&tool_call, "at most %u --metadata", METADATA_MAX);
    r->metadata[r->metadata_len++] = (choir_metadata_entry){
        .key = {pair, (size_t)(equals - pair)},
        .type = CHOIR_METADATA_STRING,
        .bytes = {(const uint8_t *)equals + 1, strlen(equals + 1)},
    };
    return TOOL_OK;
}

static int take_option(request *r, int which, char *value) {
    switch (which) {
    case TIMEOUT:
        if (tool_seconds(value, &r->timeout)) return TOOL_OK;
        return tool_usage(&tool_call, "--timeout needs seconds, such as 2.5, not \"%s\"", value);
    case METADATA: return add_metadata(r, value);
    case VERBOSE: r->verbose = true; return TOOL_OK;
    case LOG:
        if (tool_level(value, &r->log_level)) return TOOL_OK;
        return tool_usage(&tool_call, "there is no log level \"%s\"", value);
    case LIST: r->list = true; return TOOL_OK;
    case TYPES: r->types_path = value; return TOOL_OK;
    case CODEC:
        if (tool_codec(value, &r->codec)) return TOOL_OK;
        return tool_usage(&tool_call, "--codec is postcard or msgpack, not \"%s\"", value);
    default: r->operands[r->operands_len++] = value; return TOOL_OK;
    }
}

static int parse(request *r, int argc, char **argv) {
    tool_options o = {.command = &tool_call, .known = known, .argc = argc, .argv = argv};
    /* The operands are gathered where the arguments were: there are never more of them. */
    r->operands = argv;
    for (int which; (which = tool_next(&o)) != TOOL_END;) {
        if (which == TOOL_BAD) return TOOL_USAGE;
        int status = take_option(r, which, o.value);
        if (status != TOOL_OK) return status;
    }
    if (r->list) return TOOL_OK;
    if (r->operands_len < 2) return tool_usage(&tool_call, "an address and a method are needed");
    return tool_url(&tool_call, r->operands[0], r->url, sizeof r->url);
}

/* ---- arguments ---- */

static int bad_argument(const request *r, size_t index, choir_str why) {
    const char *json = r->operands[2 + index];
    /* Most often the shell has taken the quotes. */
    bool is_word =
        ((*json >= 'a' && *json <= 'z') || (*json >= 'A' && *json <= 'Z')) && !strpbrk(json, "{\"");
    tool_say("argument %zu of %s: %.*s: %s", index + 1, r->operands[1], (int)why.len, why.data, json);
    if (is_word) tool_hint("each argument is a JSON text; a string keeps its quotes: '\"%s\"'", json);
    return TOOL_USAGE;
}

/* Makes the service of a method that is not known, and plain JSON of its arguments. */
static int infer_service(call *c) {
    const request *r = c->request;
    const char *name = r->operands[1], *dot = strchr(name, '.');
    char why[2200];
    size_t bad, count = r->operands_len - 2;
    if (!infer_arguments(r->operands + 2, count, &c->inferred, &bad, why, sizeof why)) {
        choir_str text = {why, strlen(why)};
        if (bad < count)
            bad_argument(r, bad, text);
        else
            tool_say("the arguments do not go together: %s", why);
        tool_hint(
            "the types of this method are not known here; --types FILE says which interface file has them");
        return TOOL_USAGE;
    }
    const choir_service *types = idl_service(c->inferred.types, 0);
    int status = choir_service_make(choir_loop_env(c->tool.loop), (choir_str){name, (size_t)(dot - name)},
                                    (choir_str){dot + 1, strlen(dot + 1)}, types->unit,
                                    types->methods[0].args, &c->service, why, sizeof why);
    if (status == CHOIR_ERR_NO_MEMORY) return tool_failed(status, CHOIR_STR(""));
    return status == CHOIR_OK ? TOOL_OK : tool_usage(&tool_call, "%s: %s", name, why);
}

/* Ends of channels deeper inside have no JSON either, which is said when they are read. */
static bool takes_channels(const choir_unit *u, const choir_type *args) {
    for (uint32_t i = 0; args->kind == CHOIR_KIND_TUPLE && i < args->count; i++) {
        uint32_t kind = u->types[u->fields[args->first + i].type].kind;
        if (kind == CHOIR_KIND_TX || kind == CHOIR_KIND_RX) return true;
    }
    return false;
}

static int print_signature(const call *c) {
    fputs("  ", stderr);
    tool_print_signature(stderr, c->service, c->method);
    fputc('\n', stderr);
    return TOOL_USAGE;
}

/* Reads the JSON texts into the struct of the arguments. */
static int read_arguments(call *c, void **ret_args) {
    const request *r = c->request;
    char *const *texts = c->inferred.json ? c->inferred.json : r->operands + 2;
    const choir_unit *u = c->service->unit;
    const choir_type *args = &u->types[c->service->methods[c->method].args];
    size_t count = args->kind == CHOIR_KIND_TUPLE ? args->count : 0, given = r->operands_len - 2;
    if (takes_channels(u, args)) {
        tool_say("%s takes an end of a channel, which cannot be given on the command line:", r->operands[1]);
        return print_signature(c);
    }
    if (count != given) {
        tool_say("%s takes %zu argument%s, not %zu:", r->operands[1], count, count == 1 ? "" : "s", given);
        return print_signature(c);
    }
    char *values = choir_arena_alloc(c->arena, args->size > 0 ? args->size : 1, args->align);
    if (!values) return tool_failed(CHOIR_ERR_NO_MEMORY, CHOIR_STR(""));
    memset(values, 0, args->size);
    for (size_t i = 0; i < count; i++) {
        const choir_field *f = &u->fields[args->first + i];
        choir_str json = {texts[i], strlen(texts[i])}, why = {"", 0};
        if (choir_value_from_json(u, f->type, json, c->arena, values + f->offset, &why) != CHOIR_OK)
            return bad_argument(r, i, why);
    }
    *ret_args = values;
    return TOOL_OK;
}

/* ---- the answer ---- */

/* What this command can do about it, beyond what choir_explain says. */
static const char *hint_of(const call *c, const choir_event *done) {
    if (done->outcome == CHOIR_OUTCOME_TIMED_OUT)
        return "the peer was told to stop; --timeout allows more time";
    if (done->outcome == CHOIR_OUTCOME_SEND_FAILED && done->status == CHOIR_ERR_TIMED_OUT)
        return "--timeout allows more time";
    if (done->outcome != CHOIR_OUTCOME_INVALID_PAYLOAD) return NULL;
    if (c->inferred.json)
        return "the types that were written, or those that the peer announced, are not right; --types FILE says which "
               "interface file has them";
    return "the arguments make no sense to it, or its version of the method has other types (choir call --list prints "
           "those known here)";
}

static int print_value(call *c, const choir_event *done, FILE *out, const char *before) {
    choir_str json;
    int status = choir_value_to_json(done->unit, done->type, done->value ? done->value : "", c->arena, &json);
    if (status != CHOIR_OK) {
        tool_say("the answer cannot be written as JSON: %s", choir_status_text(status));
        return TOOL_NO_ANSWER;
    }
    fputs(before, out);
    fwrite(json.data, 1, json.len, out);
    fputc('\n', out);
    fflush(out); /* the session is still to be closed */
    return TOOL_OK;
}

static int print_outcome(const call *c, const choir_event *done) {
    char line[1200];
    const char *hint = hint_of(c, done);
    tool_say("%s", choir_explain(c->client, CHOIR_OK, done, line, sizeof line));
    if (hint) tool_hint("%s", hint);
    return choir_status_is_fatal(done->status) ? TOOL_FAILED : TOOL_NO_ANSWER; /* with its session */
}

static void on_done(void *ctx, const choir_event *done) {
    call *c = ctx;
    const request *r = c->request;
    c->done = true;
    choir_loop_stop(c->tool.loop);
    choir_arena_reset(c->arena); /* the arguments were encoded when the call was made */
    if (r->verbose)
        tool_say("%s: %s after %.3f ms", r->operands[1], choir_outcome_text(done->outcome),
                 tool_ms(choir_loop_now(c->tool.loop) - c->start));
    if (done->outcome == CHOIR_OUTCOME_OK) {
        c->exit_status = print_value(c, done, stdout, "");
    } else if (done->outcome == CHOIR_OUTCOME_USER_ERROR) {
        c->exit_status = print_value(c, done, stderr, "error: ");
        if (c->exit_status == TOOL_OK) c->exit_status = TOOL_USER_ERROR;
    } else {
        c->exit_status = print_outcome(c, done);
    }
}

/* ---- the call ---- */

static int connect_and_call(call *c, const void *args) {
    const request *r = c->request;
    choir_client_options options;
    choir_call_options how;
    choir_session_options session;
    choir_session_options_init(&session);
    session.codec = r->codec;
    choir_client_options_init(&options);
    options.session = &session;
    options.service = c->service;
    if (r->timeout > 0 && r->timeout < options.connect_timeout) options.connect_timeout = r->timeout;
    c->start = choir_loop_now(c->tool.loop);
    int status = tool_connect(&c->tool, &tool_call, r->url, &options, &c->client);
    if (status != TOOL_OK) return status;
    choir_time now = choir_loop_now(c->tool.loop);
    if (r->verbose) tool_say("connected to %s after %.3f ms", r->url, tool_ms(now - c->start));
    choir_call_options_init(&how);
    if (r->timeout > 0) how.deadline = c->start + r->timeout;
    how.metadata = r->metadata;
    how.metadata_len = r->metadata_len;
    c->start = now;
    status = choir_client_call(c->client, c->method, args, &how, on_done, c, NULL);
    if (status != CHOIR_OK) {
        choir_str why = choir_loop_error(c->tool.loop);
        tool_say("the call cannot be sent: %.*s", (int)why.len, why.data);
        return TOOL_NO_ANSWER;
    }
    while (!c->done) {
        if (choir_loop_run(c->tool.loop) != CHOIR_OK)
            return tool_failed(CHOIR_ERR_IO, choir_loop_error(c->tool.loop));
    }
    /* What the peer is still to be told, such as a Cancel, leaves with the orderly end. */
    choir_client_close(c->client);
    choir_loop_run(c->tool.loop);
    return c->exit_status;
}

/* Finds out what is called, reads the arguments and calls. */
static int find_and_call(call *c) {
    void *args = NULL;
    int status = tool_find_method(&tool_call, c->request->operands[1], c->types, &c->service, &c->method);
    if (status == TOOL_OK && !c->service) status = infer_service(c);
    if (status == TOOL_OK) status = read_arguments(c, &args);
    return status == TOOL_OK ? connect_and_call(c, args) : status;
}

static int call_method(call *c) {
    const request *r = c->request;
    if (!tool_init(&c->tool, r->log_level)) return TOOL_FAILED;
    int status = choir_arena_new(choir_loop_env(c->tool.loop), ARENA_MAX, &c->arena);
    status = status == CHOIR_OK ? find_and_call(c) : tool_failed(status, CHOIR_STR(""));
    choir_client_free(c->client);
    choir_arena_free(c->arena);
    tool_deinit(&c->tool);
    infer_free(&c->inferred);
    return status;
}

static int run(int argc, char **argv) {
    static request r = {.timeout = 30 * CHOIR_SECOND, .log_level = TOOL_SILENT};
    call c = {.request = &r};
    int status = parse(&r, argc, argv);
    if (status != TOOL_OK) return status;
    if (r.types_path && !tool_read_types(r.types_path, &c.types)) return TOOL_FAILED;
    if (r.list)
        tool_list_methods(stdout, c.types);
    else
        status = call_method(&c);
    idl_free(c.types);
    return status;
}

const tool_command tool_call = {"call", "call a method: JSON in, JSON out", help, run};
