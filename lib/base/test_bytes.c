/* SPDX-License-Identifier: MIT */
/* Little-endian numbers at odd addresses, and arithmetic of time at its end. */
#include "base/bytes.h"
#include "base/time.h"

#include <criterion/criterion.h>

Test(bytes, load_and_store) {
    const uint8_t bytes[9] = {0xff, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};
    uint8_t out[10] = {0};
    cr_assert_eq(choiri_load_le32(bytes + 1), 0x67452301u);
    cr_assert_eq(choiri_load_le64(bytes + 1), UINT64_C(0xefcdab8967452301));
    choiri_store_le32(out + 1, 0x67452301u);
    cr_assert_arr_eq(out + 1, bytes + 1, 4);
    cr_assert_eq(out[5], 0);
    choiri_store_le64(out + 1, UINT64_C(0xefcdab8967452301));
    cr_assert_arr_eq(out + 1, bytes + 1, 8);
    cr_assert(out[0] == 0 && out[9] == 0);
}

Test(bytes, time_ends) {
    cr_assert_eq(choiri_time_later(5, 7), 12);
    cr_assert_eq(choiri_time_later(CHOIR_TIME_NEVER - 7, 6), CHOIR_TIME_NEVER - 1);
    cr_assert_eq(choiri_time_later(CHOIR_TIME_NEVER - 7, 7), CHOIR_TIME_NEVER);
    cr_assert_eq(choiri_time_later(CHOIR_TIME_NEVER - 7, 8), CHOIR_TIME_NEVER);
    cr_assert_eq(choiri_time_later(CHOIR_TIME_NEVER, CHOIR_TIME_NEVER), CHOIR_TIME_NEVER);
    cr_assert_eq(choiri_time_earlier(1, 2), 1);
    cr_assert_eq(choiri_time_earlier(CHOIR_TIME_NEVER, 2), 2);
}
