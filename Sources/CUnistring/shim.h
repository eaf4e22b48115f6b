// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>

// The normalisation forms are macros for addresses of incomplete types, which Swift cannot see.
static inline uint32_t *CUnistring_nfc(const uint32_t *s, size_t n, size_t *length) {
    return u32_normalize(UNINORM_NFC, s, n, NULL, length);
}

static inline uint32_t *CUnistring_nfkc(const uint32_t *s, size_t n, size_t *length) {
    return u32_normalize(UNINORM_NFKC, s, n, NULL, length);
}

// The code point that a fullwidth or halfwidth one stands for, or the code point itself.
static inline uint32_t CUnistring_width_mapped(uint32_t c) {
    ucs4_t decomposition[UC_DECOMPOSITION_MAX_LENGTH];
    int tag;
    int n = uc_decomposition(c, &tag, decomposition);
    return n == 1 && (tag == UC_DECOMP_WIDE || tag == UC_DECOMP_NARROW) ? decomposition[0] : c;
}
