/* PEM texts by OpenSSL. */
#include "common/pem.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

static BIO *pem_memory(struct gw_view pem)
{
    return pem.size == 0 ? NULL : BIO_new_mem_buf(pem.data, (int)GW_MIN(pem.size, (size_t)INT_MAX));
}

static X509 *pem_certificate(struct gw_view pem)
{
    BIO *memory = pem_memory(pem);
    X509 *certificate = memory == NULL ? NULL : PEM_read_bio_X509(memory, NULL, NULL, NULL);

    BIO_free(memory);
    ERR_clear_error();
    return certificate;
}

/* An encrypted key must not make OpenSSL ask on the terminal. */
static int pem_no_password(char *buffer, int size, int writing, void *user)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)user;
    return -1;
}

static EVP_PKEY *pem_key(struct gw_view pem)
{
    BIO *memory = pem_memory(pem);
    EVP_PKEY *key = memory == NULL ? NULL : PEM_read_bio_PrivateKey(memory, NULL, pem_no_password, NULL);

    BIO_free(memory);
    ERR_clear_error();
    return key;
}

bool gw_pem_has_certificate(struct gw_view pem)
{
    X509 *certificate = pem_certificate(pem);

    X509_free(certificate);
    return certificate != NULL;
}

bool gw_pem_has_key(struct gw_view pem)
{
    EVP_PKEY *key = pem_key(pem);

    EVP_PKEY_free(key);
    return key != NULL;
}

bool gw_pem_belong(struct gw_view certificate, struct gw_view key)
{
    X509 *first = pem_certificate(certificate);
    EVP_PKEY *private = pem_key(key);
    bool belong = first != NULL && private != NULL && X509_check_private_key(first, private) == 1;

    X509_free(first);
    EVP_PKEY_free(private);
    ERR_clear_error();
    return belong;
}
