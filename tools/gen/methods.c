/* SPDX-License-Identifier: MIT */
/* Functions for each method. They are inline, so that a program links libchoir-net only if it uses what needs
 * it. */
#include "gen/gen.h"

/* A pointer to values that are not changed: of an array, to its elements. */
static const char *declare_pointer(gen *g, uint32_t type, const char *name) {
    uint32_t base = type;
    while (idl_type_at(g->file, base)->kind == CHOIR_KIND_ARRAY) base = idl_type_at(g->file, base)->elem;
    const char *declared = gen_declared(g, base);
    if (declared) return gen_format(g, "const %s *%s", gen_struct(g, declared), name);
    if (idl_type_at(g->file, base)->kind == CHOIR_KIND_BOX)
        return gen_declare(g, base, gen_format(g, "const *%s", name));
    return gen_format(g, "const %s", gen_declare(g, base, gen_format(g, "*%s", name)));
}

/* A value as a parameter: structs and arrays by pointer. */
static const char *declare_param(gen *g, uint32_t type, const char *name) {
    bool pointer = idl_type_at(g->file, type)->kind == CHOIR_KIND_ARRAY || gen_is_struct(g, type);
    return pointer ? declare_pointer(g, type, name) : gen_declare(g, type, name);
}

typedef struct method {
    gen *g;
    const char *prefix, *name, *index; /* testbed, echo, TESTBED_ECHO */
    const char *responder;             /* testbed_echo_responder */
    const idl_method *m;
    const choir_method *made;
    const char *args_type; /* NULL: no argument has a member in C */
} method;

/* The method's arguments as parameters, each with a newline in front. */
static const char *params(const method *x) {
    const choir_type *t = idl_type_at(x->g->file, x->made->args);
    const char *list = "";
    for (uint32_t i = t->first; x->args_type && i < t->first + t->count; i++) {
        uint32_t type = idl_field_at(x->g->file, i)->type;
        if (gen_is_empty(x->g, type)) continue;
        list = gen_format(x->g, "%s\n%s", list, declare_param(x->g, type, x->g->params[i]));
    }
    return list;
}

/* Puts the parameters together. Returns how the arguments are passed on. */
static const char *add_args(const method *x) {
    gen *g = x->g;
    const choir_type *t = idl_type_at(g->file, x->made->args);
    if (!x->args_type) return t->kind == CHOIR_KIND_UNIT ? "NULL" : "\"\"";
    const char *args = gen_own(g, x->m, "args");
    gen_add(&g->header, "    %s %s;\n", x->args_type, args);
    for (uint32_t i = t->first; i < t->first + t->count; i++) {
        uint32_t type = idl_field_at(g->file, i)->type;
        if (gen_is_empty(g, type)) continue;
        const char *member = gen_format(g, "%s.%s", args, g->members[i]), *name = g->params[i];
        if (idl_type_at(g->file, type)->kind == CHOIR_KIND_ARRAY)
            gen_add(&g->header, "    memcpy(%s, %s, sizeof %s);\n", member, name, member);
        else
            gen_add(&g->header, "    %s = %s%s;\n", member, gen_is_struct(g, type) ? "*" : "", name);
    }
    return gen_format(g, "&%s", args);
}

/* The statement for a condition, on one line if it has room. */
static void add_if(gen *g, const char *condition, const char *then) {
    const char *line = gen_format(g, "    if (%s) %s\n", condition, then);
    if (strlen(line) > GEN_COLUMNS + 1) line = gen_format(g, "    if (%s)\n        %s\n", condition, then);
    gen_add(&g->header, "%s", line);
}

/* `called`: what the client or session calls; with another service the index would mean another method. */
static void add_function(const method *x, const char *what, const char *before, const char *after,
                         const char *called, const char *call, const char *call_before,
                         const char *call_after) {
    gen *g = x->g;
    gen_add_list(&g->header, gen_format(g, "static inline int %s_%s_%s", x->prefix, what, x->name),
                 gen_format(g, "%s%s%s", before, params(x), after), " {\n");
    add_if(g, gen_format(g, "%s != &%s_service", called, x->prefix), "return CHOIR_ERR_INVALID;");
    const char *args = add_args(x);
    gen_add_list(&g->header, gen_format(g, "    return %s", call),
                 gen_format(g, "%s\n%s\n%s%s", call_before, x->index, args, call_after), ";\n}\n");
}

static const char *text_of_flags(const gen *g, const idl_method *m) {
    (void)g;
    if (m->flags == (CHOIR_METHOD_IDEM | CHOIR_METHOD_PERSIST)) return "idem, persist";
    if (m->flags == CHOIR_METHOD_IDEM) return "idem: may run again for the same operation";
    if (m->flags == CHOIR_METHOD_PERSIST) return "persist: a running handler outlives its caller's cancel";
    return NULL;
}

static void add_calls(const method *x) {
    gen *g = x->g;
    gen_add(&g->header, "\n");
    gen_add_docs(&g->header, x->m->docs, 0, text_of_flags(g, x->m));
    const char *client = gen_own(g, x->m, "client"), *options = gen_own(g, x->m, "options"),
               *ret_call = gen_own(g, x->m, "ret_call"), *done = gen_own(g, x->m, "done"),
               *ctx = gen_own(g, x->m, "ctx"), *timeout = gen_own(g, x->m, "timeout"),
               *ret_done = gen_own(g, x->m, "ret_done"), *session = gen_own(g, x->m, "session"),
               *conn = gen_own(g, x->m, "conn"), *now = gen_own(g, x->m, "now");
    const char *of_client = gen_format(g, "choir_client_service(%s)", client);
    add_function(x, "client", gen_format(g, "choir_client *%s", client),
                 gen_format(g,
                            "\nconst choir_call_options *%s\nchoir_call_fn *%s\nvoid *%s\nchoir_call_id *%s",
                            options, done, ctx, ret_call),
                 of_client, "choir_client_call", client,
                 gen_format(g, "\n%s\n%s\n%s\n%s", options, done, ctx, ret_call));
    add_function(x, "wait", gen_format(g, "choir_client *%s", client),
                 gen_format(g, "\nchoir_duration %s\nconst choir_event **%s", timeout, ret_done), of_client,
                 "choir_client_wait_call", client, gen_format(g, "\n%s\n%s", timeout, ret_done));
    add_function(x, "call", gen_format(g, "choir_session *%s\nchoir_conn_id %s", session, conn),
                 gen_format(g, "\nconst choir_call_options *%s\nchoir_call_id *%s\nchoir_time %s", options,
                            ret_call, now),
                 gen_format(g, "choir_conn_service(%s, %s)", session, conn), "choir_call",
                 gen_format(g, "%s\n%s", session, conn),
                 gen_format(g, "\n%s\n%s\n%s", options, ret_call, now));
}

/* The value of an answered call: NULL if it ended in another way. */
static void add_value(const method *x, const char *what, uint32_t type, const char *outcome) {
    gen *g = x->g;
    if (idl_type_at(g->file, type)->kind == CHOIR_KIND_NEVER) return;
    const char *head = gen_format(g, "%s_%s_%s", x->prefix, what, x->name);
    const char *is = gen_format(g, "done\n&%s_service\n%s\n%s", x->prefix, x->index, outcome);
    if (gen_is_empty(g, type)) {
        gen_add(&g->header, "static inline bool %s(const choir_event *done) {\n", head);
        gen_add_list(&g->header, "    return choir_event_is", is, ";\n}\n");
        return;
    }
    gen_add(&g->header, "static inline %s(const choir_event *done) {\n", declare_pointer(g, type, head));
    gen_add_list(&g->header, "    bool is = choir_event_is", is, ";\n");
    gen_add(&g->header, "    if (!is) return NULL;\n");
    gen_add(&g->header, "    return CHOIR_CAST(%s, done->value);\n}\n", declare_pointer(g, type, ""));
}

static void add_reply(const method *x, const char *what, uint32_t type, const char *call) {
    gen *g = x->g;
    const choir_type *t = idl_type_at(g->file, type);
    if (t->kind == CHOIR_KIND_NEVER) return;
    const char *param = gen_is_empty(g, type) ? "" : gen_format(g, "\n%s", declare_param(g, type, "value"));
    bool pointer = t->kind == CHOIR_KIND_ARRAY || gen_is_struct(g, type);
    gen_add_list(&g->header, gen_format(g, "static inline int %s_%s_%s", x->prefix, what, x->name),
                 gen_format(g, "%s to%s", x->responder, param), " {\n");
    gen_add_list(&g->header, "    bool is = choir_responder_is",
                 gen_format(g, "to.any\n&%s_service\n%s", x->prefix, x->index), ";\n");
    gen_add(&g->header, "    return is ? %s(to.any, %s) : CHOIR_ERR_INVALID;\n}\n", call,
            gen_is_empty(g, type) ? (t->kind == CHOIR_KIND_UNIT ? "NULL" : "\"\"")
            : pointer             ? "value"
                                  : "&value");
}

/* What the handler of a method looks like. */
static void add_handler(const method *x) {
    gen *g = x->g;
    gen_add_docs(&g->header, x->m->docs, 4, text_of_flags(g, x->m));
    const char *args = x->args_type ? gen_format(g, "\nconst %s *args", gen_struct(g, x->args_type)) : "";
    const char *member = gen_handler(g, x->m);
    gen_add_list(
        &g->header, gen_format(g, "    void (*%s)", member),
        gen_format(g, "void *ctx\n%s to%s\nconst choir_event *request", gen_struct(g, x->responder), args),
        ";\n");
}

/* ---- a service ---- */

static void each_method(gen *g, uint32_t service, void (*add)(const method *x)) {
    const char *prefix = gen_service_prefix(g, service);
    const choir_method *made = idl_service(g->file, service)->methods;
    for (const idl_method *m = gen_trait(g, service)->methods; m; m = m->next, made++) {
        method x = {.g = g, .prefix = prefix, .name = gen_method(g, m), .m = m, .made = made};
        x.index = gen_upper(g, gen_format(g, "%s_%s", prefix, x.name));
        x.responder = gen_responder(g, prefix, m);
        x.args_type = m->args_len > 0 && !gen_is_empty(g, made->args) ? g->names[made->args] : NULL;
        add(&x);
    }
}

static void add_index(const method *x) {
    gen_add(&x->g->header, "    %s,\n", x->index);
}

static void add_responder(const method *x) {
    gen_add(&x->g->header, "typedef struct %s {\n    choir_responder any;\n} %s;\n", x->responder,
            x->responder);
}

static void add_args_struct(const method *x) {
    if (x->args_type) gen_add_args(x->g, x->made->args);
}

static void add_values(const method *x) {
    bool nothing_ok = idl_type_at(x->g->file, x->made->ok)->kind == CHOIR_KIND_NEVER;
    bool nothing_err = idl_type_at(x->g->file, x->made->err)->kind == CHOIR_KIND_NEVER;
    if (!nothing_ok || !nothing_err) gen_add(&x->g->header, "\n");
    add_value(x, "ok", x->made->ok, "CHOIR_OUTCOME_OK");
    add_value(x, "err", x->made->err, "CHOIR_OUTCOME_USER_ERROR");
    add_reply(x, "reply", x->made->ok, "choir_respond");
    add_reply(x, "fail", x->made->err, "choir_respond_error");
}

void gen_add_service(gen *g, uint32_t service) {
    const idl_decl *d = gen_trait(g, service);
    const char *prefix = gen_service_prefix(g, service), *upper = gen_upper(g, prefix);
    gen_text *h = &g->header;
    gen_add(h, "\n/* ---- %.*s ---- */\n\n", (int)d->name.text.len, d->name.text.data);
    gen_add_docs(h, d->docs, 0, NULL);
    gen_add(h, "extern const choir_service %s_service;\n\n/* Its methods, in order. */\nenum {\n", prefix);
    each_method(g, service, add_index);
    gen_add(h, "    %s_METHODS,\n};\n\n/* ---- arguments ---- */\n", upper);
    each_method(g, service, add_args_struct);
    gen_add(
        h,
        "\n/* ---- responders ----\n *\n"
        " * NAME_responder names a request of one method, so that a compiler refuses the answer of another. Its member\n"
        " * `any` is what functions for all methods take: choir_respond_invalid, choir_respond_drop,\n"
        " * choir_responder_session. */\n");
    each_method(g, service, add_responder);
    gen_add(
        h,
        "\n/* ---- calls ----\n *\n"
        " * client_NAME calls and goes on; `done` gets the end of the call, `options` and `ret_call` may be NULL:\n"
        " * choir_client_call. wait_NAME waits for the end: choir_client_wait_call. call_NAME is for sessions without\n"
        " * libchoir-net: choir_call. Arguments are borrowed for the call. All answer ERR_INVALID when the client or session\n"
        " * was made for another service. */\n");
    each_method(g, service, add_calls);
    gen_add(
        h,
        "\n/* ---- ends of calls, answers ----\n *\n"
        " * ok_NAME is the result of a call that was answered, err_NAME the error that the method answered with; NULL\n"
        " * if the call ended in another way, or was one of another method. They are borrowed from the event. reply_NAME\n"
        " * answers a request with a result, fail_NAME with the method's error; the value is borrowed for the call:\n"
        " * choir_respond. A request of another method, which only a cast leads to, is ERR_INVALID and still waits. */\n");
    each_method(g, service, add_values);
    gen_add(
        h,
        "\n/* ---- handlers ----\n *\n"
        " * Each answers `to`, now or later, or drops it; the arguments live until then (choir_handler). Callers of a\n"
        " * method without a handler are told that it is unknown. */\ntypedef struct %s_handlers {\n"
        "    size_t size; /* sizeof this struct */\n",
        prefix);
    each_method(g, service, add_handler);
    gen_add(h, "} %s_handlers;\n\n", prefix);
    gen_add(
        h,
        "/* Calls the handler for a request; false: there is none. Without a request it only tells: choir_dispatch. */\n");
    gen_add_list(
        h, gen_format(g, "bool %s_dispatch", prefix),
        "const void *handlers\nuint32_t method\nvoid *ctx\nchoir_responder to\nconst void *args\nconst choir_event *request",
        ";\n\n");
    gen_add(
        h,
        "/* Has a server serve %.*s, too: `handlers` are borrowed as long as it lives, `ctx` is given to them. */\n",
        (int)d->name.text.len, d->name.text.data);
    gen_add_list(
        h, gen_format(g, "static inline void %s_serve", prefix),
        gen_format(g, "choir_server_options *options\nconst %s_handlers *handlers\nvoid *ctx", prefix),
        " {\n");
    gen_add(
        h,
        "    const void *to = handlers && handlers->size > 0 ? handlers : NULL; /* else choir_listen complains */\n");
    gen_add_list(h, "    choir_server_options_serve",
                 gen_format(g, "options\n&%s_service\n%s_dispatch\nto\nctx", prefix, prefix), ";\n}\n");
}

static void add_case(const method *x) {
    gen *g = x->g;
    const char *member = gen_handler(g, x->m);
    gen_add(&g->source, "    case %s:\n        if (!HAS(%s_handlers, %s)) return false;\n", x->index,
            x->prefix, member);
    const char *args = x->args_type ? "args, " : "";
    const char *line = gen_format(g, "        if (request) (h->%s)(ctx, (%s){to}, %srequest);\n", member,
                                  x->responder, args);
    if (strlen(line) <= GEN_COLUMNS + 1) {
        gen_add(&g->source, "%s", line);
    } else {
        gen_add(&g->source, "        if (request)\n");
        gen_add_list(&g->source, gen_format(g, "            (h->%s)", member),
                     gen_format(g, "ctx\n(%s){to}\n%srequest", x->responder, x->args_type ? "args\n" : ""),
                     ";\n");
    }
    gen_add(&g->source, "        return true;\n");
}

void gen_add_dispatcher(gen *g, uint32_t service) {
    const char *prefix = gen_service_prefix(g, service);
    gen_add(&g->source, "\n");
    gen_add_list(
        &g->source, gen_format(g, "bool %s_dispatch", prefix),
        "const void *handlers\nuint32_t method\nvoid *ctx\nchoir_responder to\nconst void *args\nconst choir_event *request",
        " {\n");
    gen_add(
        &g->source,
        "    const %s_handlers *h = handlers;\n    (void)h, (void)ctx, (void)to, (void)args, (void)request;\n",
        prefix);
    gen_add(&g->source, "    switch (method) {\n");
    each_method(g, service, add_case);
    gen_add(&g->source, "    default: return false;\n    }\n}\n");
}
