/* SPDX-License-Identifier: MIT */
/* Ends of channels in values. Both kinds of end are a struct of one u64, so one copy serves them. */
#include "value/bind.h"

#include "value/path.h"

_Static_assert(sizeof(choir_tx) == sizeof(uint64_t) && sizeof(choir_rx) == sizeof(uint64_t),
               "a handle is a u64");

static choir_binding_site site_of(const choir_unit *u, uint32_t type) {
    return (choir_binding_site){u, type, choiri_unit_type(u, type)->kind};
}

bool choiri_bind(choiri_reader *r, const choir_unit *u, uint32_t type, uint64_t number, void *ret_handle) {
    if (!r->binder) {
        memcpy(ret_handle, &number, sizeof number);
        return true;
    }
    const choir_binding_site site = site_of(u, type);
    int status = r->binder->bind(r->binder->ctx, &site, number, ret_handle);
    return status == CHOIR_OK || choiri_reader_fail(r, status);
}

bool choiri_unbind(choiri_writer *w, const choir_unit *u, uint32_t type, const void *handle,
                   uint64_t *ret_number) {
    if (!w->binder) {
        memcpy(ret_number, handle, sizeof *ret_number);
        return true;
    }
    if (w->status != CHOIR_OK) return false; /* nothing is written any more, so nothing is given away */
    const choir_binding_site site = site_of(u, type);
    int status = w->binder->unbind(w->binder->ctx, &site, handle, ret_number);
    if (status == CHOIR_OK) return true;
    choiri_writer_fail(w, status);
    return false;
}

/* Reading a number can only fail with these two. */
bool choiri_bind_explain(const choir_unit *u, const choir_type *t, int status, choiri_text *text) {
    bool is_end = t && (t->kind == CHOIR_KIND_TX || t->kind == CHOIR_KIND_RX);
    if (!is_end || status == CHOIR_ERR_TRUNCATED || status == CHOIR_ERR_MALFORMED) return false;
    choiri_type_write(u, t, text);
    choiri_text_add(choiri_text_add(text, " cannot be bound: "), choir_status_text(status));
    return true;
}
