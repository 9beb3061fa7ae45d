"""SipHash-2-4 of one number (Aumasson and Bernstein, a fast short-input PRF): who sees its values learns no key."""

from libc.stdint cimport uint64_t


cdef extern from *:
    """
    #include <stdint.h>
    #define TURND_ROTATE(x, by) ((x) << (by) | (x) >> (64 - (by)))
    static inline void turnd_siphash_rounds(uint64_t v[4], int rounds) {
        while (rounds--) {
            v[0] += v[1]; v[1] = TURND_ROTATE(v[1], 13) ^ v[0]; v[0] = TURND_ROTATE(v[0], 32);
            v[2] += v[3]; v[3] = TURND_ROTATE(v[3], 16) ^ v[2];
            v[0] += v[3]; v[3] = TURND_ROTATE(v[3], 21) ^ v[0];
            v[2] += v[1]; v[1] = TURND_ROTATE(v[1], 17) ^ v[2]; v[2] = TURND_ROTATE(v[2], 32);
        }
    }
    static inline uint64_t turnd_siphash(const uint64_t key[2], uint64_t message) {
        uint64_t v[4] = {key[0] ^ 0x736f6d6570736575ULL, key[1] ^ 0x646f72616e646f6dULL,
                         key[0] ^ 0x6c7967656e657261ULL, key[1] ^ 0x7465646279746573ULL};
        const uint64_t words[2] = {message, (uint64_t)8 << 56};     /* the last one tells the length */
        for (int i = 0; i < 2; i++) {
            v[3] ^= words[i];
            turnd_siphash_rounds(v, 2);
            v[0] ^= words[i];
        }
        v[2] ^= 0xff;
        turnd_siphash_rounds(v, 4);
        return v[0] ^ v[1] ^ v[2] ^ v[3];
    }
    """
    uint64_t turnd_siphash(const uint64_t *key, uint64_t message) noexcept nogil
