/* SPDX-License-Identifier: MIT */
#include "gen/gen.h"

#include <stdarg.h>
#include <stdio.h>

void gen_add_bytes(gen_text *t, choir_str text) {
    for (size_t i = 0; i < text.len; i++) *(char *)idl_push(&t->chars, 1) = text.data[i];
}

void gen_add(gen_text *t, const char *format, ...) {
    char small[512], *text = small;
    va_list list, again;
    va_start(list, format);
    va_copy(again, list);
    int len = vsnprintf(small, sizeof small, format, list);
    va_end(list);
    if (len >= (int)sizeof small) {
        text = malloc((size_t)len + 1);
        if (!text) exit(3);
        vsnprintf(text, (size_t)len + 1, format, again);
    }
    va_end(again);
    gen_add_bytes(t, (choir_str){text, (size_t)len});
    if (text != small) free(text);
}

/* Where a line break would put the next item: behind the bracket. */
static void new_line(gen_text *t, size_t indent) {
    gen_add(t, "\n%*s", (int)indent, "");
}

/* Does every item fit behind the bracket, at this column? */
static bool fits(const char *items, size_t indent, size_t behind) {
    while (*items != '\0') {
        size_t len = strcspn(items, "\n");
        if (indent + len + behind > GEN_COLUMNS) return false;
        items += len + (items[len] != '\0');
    }
    return true;
}

void gen_add_list(gen_text *t, const char *head, const char *items, const char *tail) {
    size_t tail_len = 1 + strcspn(tail, "\n");
    size_t column = strlen(head) + 1, indent = column;
    gen_add(t, "%s(", head);
    if (!fits(items, indent, tail_len)) { /* then below the start of the statement */
        indent = strspn(head, " ") + 4;
        new_line(t, indent);
        column = indent;
    }
    for (bool first = true; *items != '\0'; first = false) {
        size_t len = strcspn(items, "\n");
        bool last = items[len] == '\0';
        /* A comma, or what ends the list, must fit too. */
        if (!first && column + 1 + len + (last ? tail_len : 1) > GEN_COLUMNS) {
            new_line(t, indent);
            column = indent;
        } else if (!first) {
            gen_add(t, " ");
            column++;
        }
        gen_add(t, "%.*s%s", (int)len, items, last ? "" : ",");
        column += len + !last;
        items += len + !last;
    }
    gen_add(t, ")%s", tail);
}

/* A line of a comment, without what would end it or start another one. */
static void add_line(gen_text *t, choir_str line) {
    for (size_t i = 0; i < line.len; i++) {
        char c = line.data[i];
        bool pair = i > 0 && ((c == '/' && line.data[i - 1] == '*') || (c == '*' && line.data[i - 1] == '/'));
        if (pair) gen_add(t, " ");
        if (c == '\t' || c == '\r') c = ' ';
        gen_add_bytes(t, (choir_str){&c, 1});
    }
}

void gen_add_docs(gen_text *t, const idl_doc *docs, unsigned indent, const char *extra) {
    if (!docs && !extra) return;
    bool first = true;
    for (; docs; docs = docs->next, first = false) {
        gen_add(t, "%*s%s%s", (int)indent, "", first ? "/*" : " *", docs->line.len > 0 ? " " : "");
        add_line(t, docs->line);
        if (docs->next || extra) gen_add(t, "\n");
    }
    if (extra) gen_add(t, "%*s%s %s", (int)indent, "", first ? "/*" : " *", extra);
    gen_add(t, " */\n");
}
