/* SPDX-License-Identifier: MIT */
/* The table of schemes, and URLs split by it. */
#include "scheme.h"

#include "choir/net.h"

#include <string.h>

static const net_scheme *const schemes[] = {
#define NET_SCHEME_ROW(name) &choiri_net_scheme_##name,
    NET_SCHEME_MAP(NET_SCHEME_ROW)
#undef NET_SCHEME_ROW
};
#define SCHEMES (sizeof schemes / sizeof *schemes)

static bool is(const char *name, const char *text, size_t len) {
    return name && strlen(name) == len && memcmp(name, text, len) == 0;
}

const net_scheme *choiri_net_scheme_find(const char *name, size_t len) {
    for (size_t i = 0; i < SCHEMES; i++)
        if (is(schemes[i]->name, name, len) || is(schemes[i]->alias, name, len)) return schemes[i];
    return NULL;
}

const char *choir_address_scheme(const char *address) {
    size_t len = address ? strcspn(address, ":") : 0;
    const net_scheme *scheme = len > 0 && address[len] == ':' ? choiri_net_scheme_find(address, len) : NULL;
    return scheme ? scheme->name : NULL;
}

/* Adds what would have been an address: every scheme's form. */
static void add_forms(net_text *why) {
    for (size_t i = 0; i < SCHEMES; i++) {
        const char *between = i == 0 ? "; expected " : i + 1 == SCHEMES ? " or " : ", ";
        choiri_net_text_add(why, "%s%s", between, schemes[i]->form);
    }
}

static int parse(const char *url, net_address *ret_address, net_text *why) {
    size_t len = strcspn(url, ":");
    const char *rest = url[len] == ':' ? url + len + 1 : "";
    bool slashes = strncmp(rest, "//", 2) == 0;
    const net_scheme *scheme = url[len] == ':' ? choiri_net_scheme_find(url, len) : NULL;
    /* HOST:PORT, as people write it. */
    if (!scheme && !slashes && len > 0 && url[len] == ':') {
        ret_address->scheme = &choiri_net_scheme_tcp;
        return ret_address->scheme->parse(url, ret_address, why);
    }
    if (!scheme) {
        choiri_net_text_add(why, slashes ? "the scheme is not known" : "it has no scheme");
        return CHOIR_ERR_ADDRESS;
    }
    if (scheme->slashes && !slashes) {
        choiri_net_text_add(why, "\"//\" is missing after \"%s:\"", scheme->name);
        return CHOIR_ERR_ADDRESS;
    }
    ret_address->scheme = scheme;
    return scheme->parse(scheme->slashes ? rest + 2 : rest, ret_address, why);
}

int choiri_net_address_parse(const char *url, net_address *ret_address, net_text *ret_why) {
    net_text why = {.len = 0};
    *ret_why = (net_text){.len = 0};
    *ret_address = (net_address){.scheme = NULL};
    int status = parse(url, ret_address, &why);
    if (status == CHOIR_OK) return status;
    choiri_net_text_add(ret_why, "\"%.200s\" is not an address: %s", url, why.data);
    add_forms(ret_why);
    return status;
}
