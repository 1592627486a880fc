/* SPDX-License-Identifier: MIT */
/* Names and texts of the status codes, generated from the one list in choir/status.h. */
#include "choir/status.h"

const char *choir_status_name(int status) {
    switch (status) {
#define STATUS_NAME(name, value, text)                                                                       \
    case value: return #name;
        CHOIR_STATUS_MAP(STATUS_NAME)
#undef STATUS_NAME
    default: return "ERR_UNKNOWN";
    }
}

const char *choir_status_text(int status) {
    switch (status) {
#define STATUS_TEXT(name, value, text)                                                                       \
    case value: return text;
        CHOIR_STATUS_MAP(STATUS_TEXT)
#undef STATUS_TEXT
    default: return "not a status of this library";
    }
}
