/* SPDX-License-Identifier: MIT */
/* Two versions of an interface file: which callers can call which servers, by the plans that they would make;
 * and what peers made with vox in Rust would do instead. */
#include "idl/internal.h"

#include "schema/compat.h"

#include <string.h>

typedef struct diff {
    FILE *out;
    idl_diff_counts counts;
    bool has_title;
    choir_str service;
} diff;

/* Reasons are long and are not wrapped, so that a search finds each as a whole. */
#define AT_METHOD "      "
#define AT_REASON "          "

static const char *word(choiri_verdict v) {
    static const char *const words[] = {"same",     "compatible", "one-way", "one-way",
                                        "breaking", "added",      "removed"};
    return words[v];
}

static const char *direction(int callers) {
    return callers == IDL_OLD_CALLERS ? "old callers can call new servers"
                                      : "new callers can call old servers";
}

static bool can(choiri_compat_call c) {
    return c.args->reads != CHOIRI_READS_NOT && c.answer->reads != CHOIRI_READS_NOT;
}

/* ---- methods ---- */

static void print_text(const diff *d, const char *before, const choiri_text *text) {
    fprintf(d->out, "%s%.*s", before, (int)text->len, text->data);
}

static void print_unknown(const diff *d, const char *before, const choiri_compat_way *way) {
    print_text(d, before, &way->text);
    if (way->unknowns > 1) fprintf(d->out, " (and %u more)", (unsigned)way->unknowns - 1);
}

/* The answer to "old callers can call new servers". */
static void print_answer(const diff *d, choiri_compat_call c) {
    bool some_args = c.args->reads == CHOIRI_READS_PARTLY,
         some_answers = c.answer->reads == CHOIRI_READS_PARTLY;
    if (!can(c)) {
        const char *because = "no, because the ";
        if (c.args->reads == CHOIRI_READS_NOT) {
            print_text(d, "no, because the server cannot read the arguments: ", &c.args->text);
            because = "\n" AT_REASON "and because the ";
        }
        if (c.answer->reads != CHOIRI_READS_NOT) return;
        fputs(because, d->out);
        print_text(d, "caller cannot read the answer: ", &c.answer->text);
    } else if (some_args || some_answers) {
        fputs("all but ", d->out);
        if (some_args) print_unknown(d, "calls with ", c.args);
        if (some_args && some_answers) fputs(", and ", d->out);
        if (some_answers) print_unknown(d, "answers with ", c.answer);
    } else {
        fputs("yes", d->out);
    }
}

static void print_vox(const diff *d, const choiri_compat_method *m, const char *who, const char *what,
                      const choiri_compat_way *way) {
    static const char *const verbs[] = {[CHOIRI_VOX_READS] = "reads",
                                        [CHOIRI_VOX_PARTLY] = "refuses only some of",
                                        [CHOIRI_VOX_MISREADS] = "misreads",
                                        [CHOIRI_VOX_REFUSES] = "refuses",
                                        [CHOIRI_VOX_CRASHES] = "crashes when it reads"};
    if (!choiri_compat_vox_differs(way)) return;
    fputs(m->verdict == CHOIRI_COMPAT_SAME ? AT_METHOD : AT_REASON, d->out);
    fprintf(d->out, "a vox %s in Rust %s the %s", who, verbs[way->vox], what);
    if (way->vox != CHOIRI_VOX_READS) print_text(d, ": ", &way->vox_text);
    fputc('\n', d->out);
}

static void print_call(const diff *d, const choiri_compat_method *m, int callers) {
    choiri_compat_call c = choiri_compat_call_of(m, callers == IDL_NEW_CALLERS);
    if (m->verdict != CHOIRI_COMPAT_SAME) {
        fprintf(d->out, AT_METHOD "%s: ", direction(callers));
        print_answer(d, c);
        fputc('\n', d->out);
    }
    print_vox(d, m, "server", "arguments", c.args);
    print_vox(d, m, "caller", "answer", c.answer);
}

static bool vox_cannot(const choiri_compat_way *way) {
    return way->vox >= CHOIRI_VOX_MISREADS;
}

static void count_call(idl_diff_way *way, choiri_compat_call c) {
    if (!can(c)) {
        way->broken++;
        return;
    }
    if (vox_cannot(c.args) || vox_cannot(c.answer)) way->vox_broken++;
    if (c.args->reads == CHOIRI_READS_PARTLY || c.answer->reads == CHOIRI_READS_PARTLY) way->partial++;
}

static void count(diff *d, const choiri_compat_method *m) {
    idl_diff_way *old = &d->counts.callers[IDL_OLD_CALLERS], *new = &d->counts.callers[IDL_NEW_CALLERS];
    bool is_added = m->verdict == CHOIRI_COMPAT_ADDED, is_removed = m->verdict == CHOIRI_COMPAT_REMOVED;
    old->methods += !is_added;
    old->broken += is_removed;
    new->methods += !is_removed && !is_added;
    new->added += is_added;
    if (is_added || is_removed) return;
    count_call(old, choiri_compat_call_of(m, false));
    count_call(new, choiri_compat_call_of(m, true));
}

static bool print_method(void *ctx, const choiri_compat_method *m) {
    diff *d = ctx;
    count(d, m);
    if (!d->has_title) fprintf(d->out, "%.*s\n", (int)d->service.len, d->service.data);
    d->has_title = true;
    fprintf(d->out, "  %-10s %.*s\n", word(m->verdict), (int)m->name.len, m->name.data);
    if (m->verdict == CHOIRI_COMPAT_REMOVED)
        fprintf(d->out, AT_METHOD "%s: no, because new servers do not have it\n", direction(IDL_OLD_CALLERS));
    if (m->verdict == CHOIRI_COMPAT_ADDED || m->verdict == CHOIRI_COMPAT_REMOVED) return true;
    print_call(d, m, IDL_OLD_CALLERS);
    /* When nothing has changed, vox does the same in both directions. */
    if (m->verdict != CHOIRI_COMPAT_SAME) print_call(d, m, IDL_NEW_CALLERS);
    return true;
}

/* ---- the summary ---- */

static void print_summary(const diff *d, int callers) {
    const idl_diff_way *way = &d->counts.callers[callers];
    unsigned methods = way->methods;
    fprintf(d->out, "%s: ", direction(callers));
    if (way->broken > 0)
        fprintf(d->out, "no, %u of %u methods cannot be called", (unsigned)way->broken, methods);
    else
        fputs("yes", d->out);
    if (way->partial > 0 && way->broken > 0)
        fprintf(d->out, ", %u not with all values", (unsigned)way->partial);
    else if (way->partial > 0)
        fprintf(d->out, ", but %u of %u methods not with all values", (unsigned)way->partial, methods);
    if (way->added > 0) fprintf(d->out, "; %u added, which old servers do not have", (unsigned)way->added);
    fputc('\n', d->out);
    if (way->vox_broken == 0) return;
    fprintf(d->out, AT_METHOD "with vox in Rust at the reading end, %u%s of %u methods cannot be called\n",
            (unsigned)way->vox_broken, way->broken > 0 ? " more" : "", methods);
}

/* ---- files ---- */

/* A trait that only one of the files has. */
static void print_whole(diff *d, const choir_service *s, choiri_verdict v) {
    for (uint32_t i = 0; i < s->methods_len; i++)
        (void)print_method(d, &(choiri_compat_method){.name = choir_method_name(s, i), .verdict = v});
}

static void begin(diff *d, const choir_service *s) {
    if (d->has_title) fputc('\n', d->out);
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
    if (d.has_title) fputc('\n', out);
    for (int i = 0; i < IDL_CALLERS; i++) print_summary(&d, i);
    *ret_counts = d.counts;
    return true;
}
