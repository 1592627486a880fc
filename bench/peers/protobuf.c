/* SPDX-License-Identifier: MIT */
/* The same value in Protocol Buffers, packed and unpacked by protobuf-c: protobuf VALUE.json SECONDS. */
#include "codec.h"
#include "gnarly.pb-c.h"

typedef struct proto {
    Gnarly__Payload value;
    uint8_t *packed;
    size_t len;
} proto;

static void *array(size_t count, size_t size) {
    return calloc(count > 0 ? count : 1, size);
}

static char *text(choir_str s) {
    char *copy = array(s.len + 1, 1);
    memcpy(copy, s.data, s.len);
    return copy;
}

static char **texts(const choir_str_list *list, size_t *ret_len) {
    char **copies = array(list->len, sizeof *copies);
    for (size_t i = 0; i < list->len; i++) copies[i] = text(list->items[i]);
    *ret_len = list->len;
    return copies;
}

static ProtobufCBinaryData data(choir_bytes b) {
    return (ProtobufCBinaryData){b.len, (uint8_t *)(uintptr_t)b.data};
}

static Gnarly__Attr *attr(const testbed_gnarly_attr *from) {
    Gnarly__Attr *to = array(1, sizeof *to);
    gnarly__attr__init(to);
    to->key = text(from->key);
    to->value = text(from->value);
    return to;
}

static void set_kind(Gnarly__Entry *to, const testbed_gnarly_kind *from) {
    if (from->tag == TESTBED_GNARLY_KIND_FILE) {
        Gnarly__File *file = to->file = array(1, sizeof *file);
        gnarly__file__init(file);
        to->kind_case = GNARLY__ENTRY__KIND_FILE;
        file->mime = text(from->file.mime);
        file->tags = texts(&from->file.tags, &file->n_tags);
    } else if (from->tag == TESTBED_GNARLY_KIND_DIRECTORY) {
        Gnarly__Directory *directory = to->directory = array(1, sizeof *directory);
        gnarly__directory__init(directory);
        to->kind_case = GNARLY__ENTRY__KIND_DIRECTORY;
        directory->child_count = from->directory.child_count;
        directory->children = texts(&from->directory.children, &directory->n_children);
    } else {
        Gnarly__Symlink *symlink = to->symlink = array(1, sizeof *symlink);
        gnarly__symlink__init(symlink);
        to->kind_case = GNARLY__ENTRY__KIND_SYMLINK;
        symlink->target = text(from->symlink.target);
        symlink->n_hops = from->symlink.hops.len;
        symlink->hops = (uint32_t *)(uintptr_t)from->symlink.hops.items;
    }
}

static Gnarly__Entry *entry(const testbed_gnarly_entry *from) {
    Gnarly__Entry *to = array(1, sizeof *to);
    gnarly__entry__init(to);
    to->id = from->id;
    to->has_parent = from->parent.some;
    to->parent = from->parent.value;
    to->name = text(from->name);
    to->path = text(from->path);
    const testbed_gnarly_attr *attrs = from->attrs.items;
    to->n_attrs = from->attrs.len;
    to->attrs = array(to->n_attrs, sizeof *to->attrs);
    for (size_t i = 0; i < to->n_attrs; i++) to->attrs[i] = attr(&attrs[i]);
    const choir_bytes *chunks = from->chunks.items;
    to->n_chunks = from->chunks.len;
    to->chunks = array(to->n_chunks, sizeof *to->chunks);
    for (size_t i = 0; i < to->n_chunks; i++) to->chunks[i] = data(chunks[i]);
    set_kind(to, &from->kind);
    return to;
}

static void convert(Gnarly__Payload *to, const testbed_gnarly_payload *from) {
    gnarly__payload__init(to);
    to->revision = from->revision;
    to->mount = text(from->mount);
    const testbed_gnarly_entry *entries = from->entries.items;
    to->n_entries = from->entries.len;
    to->entries = array(to->n_entries, sizeof *to->entries);
    for (size_t i = 0; i < to->n_entries; i++) to->entries[i] = entry(&entries[i]);
    to->footer = from->footer.some ? text(from->footer.value) : NULL;
    to->digest = data(from->digest);
}

/* As a program would: the size first, then into memory of its own. */
static void pack(void *ctx) {
    proto *p = ctx;
    size_t len = gnarly__payload__get_packed_size(&p->value);
    uint8_t *packed = malloc(len);
    gnarly__payload__pack(&p->value, packed);
    free(p->packed);
    p->packed = packed;
    p->len = len;
}

static void unpack(void *ctx) {
    proto *p = ctx;
    Gnarly__Payload *value = gnarly__payload__unpack(NULL, p->len, p->packed);
    if (!value) exit(1);
    gnarly__payload__free_unpacked(value, NULL);
}

int main(int argc, char **argv) {
    static proto p;
    static testbed_gnarly_payload value;
    choir_arena *arena;
    if (argc != 3) {
        fprintf(stderr, "usage: protobuf VALUE.json SECONDS\n");
        return 2;
    }
    double seconds = atof(argv[2]);
    codec_check(choir_arena_new(codec_env(), (size_t)1 << 26, &arena), "arena");
    codec_read_value(&testbed_unit, TESTBED_TYPE_GNARLY_PAYLOAD, codec_read_file(argv[1]), arena, &value);
    convert(&p.value, &value);
    pack(&p);
    double pack_ns = codec_measure(seconds, pack, &p), unpack_ns = codec_measure(seconds, unpack, &p);
    printf("{\"peer\":\"protobuf-c\",\"bytes\":%zu,\"encode_ns\":%.1f,\"decode_ns\":%.1f}\n", p.len, pack_ns,
           unpack_ns);
    return 0;
}
