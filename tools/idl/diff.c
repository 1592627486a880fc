/* SPDX-License-Identifier: MIT */
/* Two versions of an interface file: which programs can call which, by the plans that they would make. */
#include "idl/internal.h"

#include "schema/compat.h"

#include <string.h>

typedef struct diff {
    FILE *out;
    idl_diff_counts counts;
    bool has_title;
    choir_str service;
} diff;

static const char *word(choiri_verdict v) {
    static const char *const words[] = {"same",     "compatible", "one-way", "one-way",
                                        "breaking", "added",      "removed"};
    return words[v];
}

/* Why one direction is not read, or not always. */
static void print_way(diff *d, const char *what, const char *who, const choiri_compat_way *w) {
    if (w->reads < CHOIRI_READS_PARTLY) return;
    fprintf(d->out, "      %s, %s: ", what, who);
    if (w->reads == CHOIRI_READS_PARTLY) fputs("all but ", d->out);
    fprintf(d->out, "%.*s\n", (int)w->text.len, w->text.data);
}

static void count(diff *d, choiri_verdict v) {
    d->counts.methods++;
    if (v == CHOIRI_COMPAT_NEW_CALLS || v == CHOIRI_COMPAT_OLD_CALLS) d->counts.one_way++;
    if (v == CHOIRI_COMPAT_BREAKING || v == CHOIRI_COMPAT_REMOVED) d->counts.breaking++;
}

static bool print_method(void *ctx, const choiri_compat_method *m) {
    diff *d = ctx;
    count(d, m->verdict);
    if (!d->has_title) fprintf(d->out, "%.*s\n", (int)d->service.len, d->service.data);
    d->has_title = true;
    fprintf(d->out, "  %-10s %.*s", word(m->verdict), (int)m->name.len, m->name.data);
    if (m->verdict == CHOIRI_COMPAT_NEW_CALLS) fputs(": only new programs can call old ones", d->out);
    if (m->verdict == CHOIRI_COMPAT_OLD_CALLS) fputs(": only old programs can call new ones", d->out);
    fputc('\n', d->out);
    if (m->verdict == CHOIRI_COMPAT_ADDED || m->verdict == CHOIRI_COMPAT_REMOVED) return true;
    print_way(d, "arguments", "new reads old", &m->args.new_reads_old);
    print_way(d, "arguments", "old reads new", &m->args.old_reads_new);
    print_way(d, "answer", "new reads old", &m->response.new_reads_old);
    print_way(d, "answer", "old reads new", &m->response.old_reads_new);
    return true;
}

/* A trait that only one of the files has. */
static void print_whole(diff *d, const choir_service *s, choiri_verdict v) {
    for (uint32_t i = 0; i < s->methods_len; i++)
        (void)print_method(d, &(choiri_compat_method){.name = choir_method_name(s, i), .verdict = v});
}

static void begin(diff *d, const choir_service *s) {
    if (d->counts.methods > 0) fputc('\n', d->out);
    d->has_title = false;
    d->service = choir_service_name(s);
}

static int compare(diff *d, choir_env *env, const idl *before, const idl *after, choiri_text *text) {
    int status = CHOIR_OK;
    for (uint32_t i = 0; i < idl_services_len(before) && status == CHOIR_OK; i++) {
        const choir_service *old = idl_service(before, i), *new = idl_find(after, choir_service_name(old));
        begin(d, old);
        if (new)
            status = choiri_compat_services(env, old, new, print_method, d, text);
        else
            print_whole(d, old, CHOIRI_COMPAT_REMOVED);
    }
    for (uint32_t i = 0; i < idl_services_len(after) && status == CHOIR_OK; i++) {
        const choir_service *new = idl_service(after, i);
        if (idl_find(before, choir_service_name(new))) continue;
        begin(d, new);
        print_whole(d, new, CHOIRI_COMPAT_ADDED);
    }
    return status;
}

bool idl_diff(const idl *before, const idl *after, FILE *out, idl_diff_counts *ret_counts,
              idl_error *ret_error) {
    diff d = {.out = out};
    choiri_text text;
    choir_env *env = idl_env();
    choiri_text_init(&text);
    int status = env ? compare(&d, env, before, after, &text) : CHOIR_ERR_NO_MEMORY;
    if (env) choir_env_free(env);
    if (status != CHOIR_OK) {
        *ret_error = (idl_error){0};
        snprintf(ret_error->text, sizeof ret_error->text, "error: %s",
                 text.len > 0 ? text.data : choir_status_text(status));
        return false;
    }
    *ret_counts = d.counts;
    return true;
}
