/* SPDX-License-Identifier: MIT */
/* Access to descriptor records through their strides, and the check that a unit can be trusted: every index
 * in range, sizes consistent. Descriptors are the program's own data, checked once, when a service is
 * prepared. */
#ifndef CHOIRI_UNIT_H
#define CHOIRI_UNIT_H

#include "base/text.h"
#include "choir/type.h"

static inline const choir_type *choiri_unit_type(const choir_unit *u, uint32_t i) {
    return (const choir_type *)(const void *)((const char *)u->types + (size_t)i * u->type_stride);
}
static inline const choir_field *choiri_unit_field(const choir_unit *u, uint32_t i) {
    return (const choir_field *)(const void *)((const char *)u->fields + (size_t)i * u->field_stride);
}
static inline const choir_variant *choiri_unit_variant(const choir_unit *u, uint32_t i) {
    return (const choir_variant *)(const void *)((const char *)u->variants + (size_t)i * u->variant_stride);
}
static inline const choir_param *choiri_unit_param(const choir_unit *u, uint32_t i) {
    return (const choir_param *)(const void *)((const char *)u->params + (size_t)i * u->param_stride);
}
static inline const choir_schema *choiri_unit_schema(const choir_unit *u, uint32_t i) {
    return (const choir_schema *)(const void *)((const char *)u->schemas + (size_t)i * u->schema_stride);
}
static inline const choir_announcement *choiri_unit_announcement(const choir_unit *u, uint32_t i) {
    return (const choir_announcement *)(const void *)((const char *)u->announcements +
                                                      (size_t)i * u->announcement_stride);
}
static inline const choir_method *choiri_service_method(const choir_service *s, uint32_t i) {
    return (const choir_method *)(const void *)((const char *)s->methods +
                                                (size_t)i * s->unit->method_stride);
}
choir_str choiri_unit_name(const choir_unit *u, uint32_t offset);

/* OK · ERR_ABI: the unit's records cannot be read at all. In constant time. */
int choiri_unit_check_version(const choir_unit *u, choiri_text *ret_text);
/* OK · ERR_ABI (version or strides smaller than version 1's) · ERR_INVALID (an index out of range, ...): text
 * says which record. */
int choiri_unit_check(const choir_unit *u, choiri_text *ret_text);

#endif
