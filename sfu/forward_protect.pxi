# SRTP of outgoing media. AEAD (RFC 7714) is sealed here by libsrtp's own OpenSSL: the packet index is known, so there
# is nothing to look up, to guess or to remember for an SSRC. Other profiles, what comes in and RTCP are libsrtp's.

cdef enum:
    AEAD_SALT = 12
    AEAD_TAG = 16
    EVP_CTRL_AEAD_GET_TAG = 0x10

ctypedef void *(*evp_new_fn)() noexcept nogil
ctypedef void (*evp_free_fn)(void *context) noexcept nogil
ctypedef int (*evp_init_fn)(
    void *context, const void *cipher, void *engine, const uint8_t *key, const uint8_t *iv, int encrypt
) noexcept nogil
ctypedef int (*evp_update_fn)(void *context, uint8_t *out, int *written, const uint8_t *data, int length) noexcept nogil
ctypedef int (*evp_final_fn)(void *context, uint8_t *out, int *written) noexcept nogil
ctypedef int (*evp_ctrl_fn)(void *context, int kind, int argument, void *pointer) noexcept nogil

cdef evp_new_fn evp_new = <evp_new_fn>library_function("EVP_CIPHER_CTX_new")
cdef evp_free_fn evp_free = <evp_free_fn>library_function("EVP_CIPHER_CTX_free")
cdef evp_init_fn evp_init = <evp_init_fn>library_function("EVP_CipherInit_ex")
cdef evp_update_fn evp_update = <evp_update_fn>library_function("EVP_EncryptUpdate")
cdef evp_final_fn evp_final = <evp_final_fn>library_function("EVP_EncryptFinal_ex")
cdef evp_ctrl_fn evp_ctrl = <evp_ctrl_fn>library_function("EVP_CIPHER_CTX_ctrl")
cdef dict aead_ciphers = {
    Policy.SRTP_PROFILE_AEAD_AES_128_GCM: (16, library_function("EVP_aes_128_gcm")),
    Policy.SRTP_PROFILE_AEAD_AES_256_GCM: (32, library_function("EVP_aes_256_gcm")),
}


cdef object open_sealer(transport_t *t, int profile, bytes key):
    """Key and salt of the profile, as DTLS gives them; without AEAD there is no sealer."""
    cdef bytes session_key, session_salt
    cdef uint8_t *salt
    close_sealer(t)
    if profile not in aead_ciphers:
        return
    size, cipher = aead_ciphers[profile]
    session_key, session_salt = rtp_keys(key[:size], key[size:])
    salt = session_salt
    t.sealer = evp_new()
    if t.sealer == NULL:
        raise MemoryError
    if not evp_init(t.sealer, (<evp_new_fn><uintptr_t>cipher)(), NULL, session_key, NULL, 1):
        close_sealer(t)
        raise RuntimeError("OpenSSL refuses an AEAD key")
    memcpy(t.seal_salt, salt, AEAD_SALT)


cdef void close_sealer(transport_t *t) noexcept:
    if t.sealer != NULL:
        evp_free(t.sealer)
    t.sealer = NULL


cdef bint protect(transport_t *t, uint8_t *data, int header, uint64_t index, int *length) noexcept nogil:
    """Protects a packet in place; `header` counts its clear bytes, `index` is RFC 3711's i. False: it failed."""
    cdef uint8_t iv[AEAD_SALT]
    cdef uint8_t part[10]           # of the IV, RFC 7714 §8.1: SSRC, ROC, sequence number
    cdef int written = 0, i
    if t.sealer == NULL:
        return srtp_protect(t.outbound, data, length) == 0
    memcpy(iv, t.seal_salt, AEAD_SALT)
    memcpy(part, data + 8, 4)
    write32(part + 4, <uint32_t>(index >> 16))
    write16(part + 8, <uint16_t>(index & 0xFFFF))
    for i in range(10):
        iv[i + 2] ^= part[i]
    if not (
        evp_init(t.sealer, NULL, NULL, NULL, iv, 1)
        and evp_update(t.sealer, NULL, &written, data, header)
        and evp_update(t.sealer, data + header, &written, data + header, length[0] - header)
        and evp_final(t.sealer, data + length[0], &written)
        and evp_ctrl(t.sealer, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG, data + length[0])
    ):
        return False
    length[0] += AEAD_TAG
    return True
