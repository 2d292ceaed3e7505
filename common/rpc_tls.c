/* TLS of gRPC: PEM files read and checked in words that name them, and the server's certificate re-read when
 * it changes. gRPC itself takes bad PEM without a word and then refuses every handshake. */
#include "common/rpc_core.h"

#include "common/pem.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { RPC_PEM_MAX = 1 << 20 };

/* Contents of the files; NULL where there is none. */
struct rpc_pem {
    char *ca, *certificate, *key;
};

static void pem_done(struct rpc_pem *pem)
{
    if (pem->key != NULL)
        explicit_bzero(pem->key, strlen(pem->key));
    free(pem->ca);
    free(pem->certificate);
    free(pem->key);
    *pem = (struct rpc_pem){0};
}

static void closep(FILE **file)
{
    if (*file != NULL)
        fclose(*file);
}

static int file_read(char **ret_text, const char *what, const char *path, struct gw_reason *reason)
{
    GW_AUTO(closep) FILE *file = fopen(path, "re");
    int error = errno;
    char *text;
    size_t size;

    if (file == NULL)
        return GW_REFUSE(-error, reason, "%s %s: %s", what, path, strerror(error));
    text = malloc(RPC_PEM_MAX + 1);
    if (text == NULL)
        return GW_RAISE(-ENOMEM);
    size = fread(text, 1, RPC_PEM_MAX + 1, file);
    if (ferror(file) || size > RPC_PEM_MAX) {
        bool large = size > RPC_PEM_MAX;
        free(text);
        return GW_REFUSE(-EINVAL, reason, "%s %s: %s", what, path, large ? "over 1 MiB" : "cannot be read");
    }
    text[size] = '\0';
    *ret_text = realloc(text, size + 1);
    return 0;
}

static int certificate_check(const struct rpc_pem *pem, const struct gw_rpc_tls *tls,
                             struct gw_reason *reason)
{
    struct gw_view certificate = gw_view_text(pem->certificate), key = gw_view_text(pem->key);

    if (!gw_pem_has_certificate(certificate))
        return GW_REFUSE(-EINVAL, reason, "certificate %s: no PEM certificate in it", tls->certificate_file);
    if (!gw_pem_has_key(key))
        return GW_REFUSE(-EINVAL, reason, "private key %s: no unencrypted PEM key in it", tls->key_file);
    if (!gw_pem_belong(certificate, key))
        return GW_REFUSE(-EINVAL, reason, "private key %s does not belong to certificate %s", tls->key_file,
                         tls->certificate_file);
    return 0;
}

static int ca_check(const struct rpc_pem *pem, const struct gw_rpc_tls *tls, struct gw_reason *reason)
{
    if (!gw_pem_has_certificate(gw_view_text(pem->ca)))
        return GW_REFUSE(-EINVAL, reason, "CA certificates %s: no PEM certificate in it", tls->ca_file);
    return 0;
}

static int pem_fill(struct rpc_pem *pem, const struct gw_rpc_tls *tls, struct gw_reason *reason)
{
    if ((tls->certificate_file == NULL) != (tls->key_file == NULL))
        return GW_REFUSE(-EINVAL, reason, "%s %s is given without its %s",
                         tls->key_file == NULL ? "certificate" : "private key",
                         tls->key_file == NULL ? tls->certificate_file : tls->key_file,
                         tls->key_file == NULL ? "private key" : "certificate");
    if (tls->ca_file != NULL) {
        GW_TRY(file_read(&pem->ca, "CA certificates", tls->ca_file, reason));
        GW_TRY(ca_check(pem, tls, reason));
    }
    if (tls->certificate_file != NULL) {
        GW_TRY(file_read(&pem->certificate, "certificate", tls->certificate_file, reason));
        GW_TRY(file_read(&pem->key, "private key", tls->key_file, reason));
        GW_TRY(certificate_check(pem, tls, reason));
    }
    return 0;
}

/* `ret_pem` is filled only on success. */
static int pem_read(struct rpc_pem *ret_pem, const struct gw_rpc_tls *tls, struct gw_reason *reason)
{
    GW_AUTO(pem_done) struct rpc_pem pem = {0};

    GW_TRY(pem_fill(&pem, tls, reason));
    *ret_pem = pem;
    pem = (struct rpc_pem){0};
    return 0;
}

int gw_rpc_tls_client(grpc_channel_credentials **ret_credentials, const struct gw_rpc_tls *tls,
                      struct gw_reason *reason)
{
    GW_AUTO(pem_done) struct rpc_pem pem = {0};
    grpc_ssl_pem_key_cert_pair pair;

    if (!tls->enabled && tls->ca_file == NULL && tls->certificate_file == NULL && tls->key_file == NULL) {
        *ret_credentials = grpc_insecure_credentials_create();
        return 0;
    }
    GW_TRY(pem_read(&pem, tls, reason));
    pair = (grpc_ssl_pem_key_cert_pair){.private_key = pem.key, .cert_chain = pem.certificate};
    *ret_credentials = grpc_ssl_credentials_create(pem.ca, pem.key == NULL ? NULL : &pair, NULL, NULL);
    if (*ret_credentials == NULL)
        return GW_REFUSE(-EINVAL, reason, "the TLS files are not usable");
    return 0;
}

/* Server */

/* What tells that a file is another one than before. */
struct rpc_stamp {
    ino_t inode;
    off_t size;
    int64_t modified_ns;
};

struct gw_rpc_certificate {
    pthread_mutex_t lock; /* handshakes run side by side */
    struct gw_rpc_tls tls;
    struct rpc_stamp stamps[3];
    bool served; /* gRPC has had a certificate */
};

struct gw_rpc_certificate *gw_rpc_certificate_free(struct gw_rpc_certificate *certificate)
{
    if (certificate == NULL)
        return NULL;
    pthread_mutex_destroy(&certificate->lock);
    free((char *)certificate->tls.ca_file);
    free((char *)certificate->tls.certificate_file);
    free((char *)certificate->tls.key_file);
    free(certificate);
    return NULL;
}
GW_DEFINE_CLEANUP(struct gw_rpc_certificate *, gw_rpc_certificate_free)

static struct rpc_stamp stamp_of(const char *path)
{
    struct stat status;

    if (path == NULL || stat(path, &status) != 0)
        return (struct rpc_stamp){0};
    return (struct rpc_stamp){status.st_ino, status.st_size,
                              (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec};
}

static bool stamp_equal(const struct rpc_stamp *a, const struct rpc_stamp *b)
{
    return a->inode == b->inode && a->size == b->size && a->modified_ns == b->modified_ns;
}

uint64_t gw_rpc_tls_stamp(const struct gw_rpc_tls *tls)
{
    const struct rpc_stamp stamps[] = {stamp_of(tls->ca_file), stamp_of(tls->certificate_file),
                                       stamp_of(tls->key_file)};
    uint64_t stamp = 0;

    for (size_t i = 0; i < GW_COUNT_OF(stamps); i++) {
        const uint64_t parts[] = {stamps[i].inode, (uint64_t)stamps[i].size, (uint64_t)stamps[i].modified_ns};
        for (size_t j = 0; j < GW_COUNT_OF(parts); j++)
            stamp = (stamp ^ parts[j]) * UINT64_C(0x9e3779b97f4a7c15) + (stamp >> 31);
    }
    return stamp;
}

static grpc_ssl_server_certificate_config *certificate_load(const struct gw_rpc_tls *tls)
{
    GW_AUTO(pem_done) struct rpc_pem pem = {0};
    grpc_ssl_pem_key_cert_pair pair;

    if (pem_read(&pem, tls, NULL) != 0)
        return NULL;
    pair = (grpc_ssl_pem_key_cert_pair){.private_key = pem.key, .cert_chain = pem.certificate};
    /* gRPC aborts on a configuration without roots, although it asks for no client certificate: any will do
     * then */
    return grpc_ssl_server_certificate_config_create(pem.ca == NULL ? pem.certificate : pem.ca, &pair, 1);
}

/* Every handshake comes here. Files that are half replaced fail their check; the certificate in use stays
 * until they fit together. */
static grpc_ssl_certificate_config_reload_status
certificate_fetch(void *user, grpc_ssl_server_certificate_config **config)
{
    struct gw_rpc_certificate *certificate = user;
    grpc_ssl_certificate_config_reload_status verdict = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    struct rpc_stamp stamps[3] = {stamp_of(certificate->tls.certificate_file),
                                  stamp_of(certificate->tls.key_file), stamp_of(certificate->tls.ca_file)};
    bool same = true;

    pthread_mutex_lock(&certificate->lock);
    for (size_t i = 0; i < GW_COUNT_OF(stamps); i++)
        same = same && stamp_equal(&stamps[i], &certificate->stamps[i]);
    if (!same || !certificate->served) {
        *config = certificate_load(&certificate->tls);
        if (*config != NULL) {
            memcpy(certificate->stamps, stamps, sizeof(stamps));
            certificate->served = true;
            verdict = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
        } else if (!certificate->served) {
            verdict = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_FAIL;
        }
    }
    pthread_mutex_unlock(&certificate->lock);
    return verdict;
}

static int copy_path(const char **ret_copy, const char *path)
{
    if (path == NULL)
        return 0;
    *ret_copy = strdup(path);
    return *ret_copy == NULL ? GW_RAISE(-ENOMEM) : 0;
}

static int certificate_new(struct gw_rpc_certificate **ret_certificate, const struct gw_rpc_tls *tls)
{
    GW_AUTO(gw_rpc_certificate_freep)
    struct gw_rpc_certificate *certificate = calloc(1, sizeof(*certificate));

    if (certificate == NULL)
        return GW_RAISE(-ENOMEM);
    pthread_mutex_init(&certificate->lock, NULL);
    GW_TRY(copy_path(&certificate->tls.ca_file, tls->ca_file));
    GW_TRY(copy_path(&certificate->tls.certificate_file, tls->certificate_file));
    GW_TRY(copy_path(&certificate->tls.key_file, tls->key_file));
    *ret_certificate = GW_TAKE(certificate);
    return 0;
}

int gw_rpc_tls_server(grpc_server_credentials **ret_credentials, struct gw_rpc_certificate **ret_certificate,
                      const struct gw_rpc_tls *tls, struct gw_reason *reason)
{
    GW_AUTO(gw_rpc_certificate_freep) struct gw_rpc_certificate *certificate = NULL;
    GW_AUTO(pem_done) struct rpc_pem pem = {0};
    grpc_ssl_client_certificate_request_type request = GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;

    GW_TRY(pem_read(&pem, tls, reason));
    if (tls->certificate_file == NULL) {
        if (tls->enabled || tls->ca_file != NULL)
            return GW_REFUSE(-EINVAL, reason, "TLS needs a certificate and a private key for the server");
        *ret_credentials = grpc_insecure_server_credentials_create();
        *ret_certificate = NULL;
        return 0;
    }
    if (tls->ca_file != NULL)
        request = GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
    GW_TRY(certificate_new(&certificate, tls));
    *ret_credentials = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(request, certificate_fetch,
                                                                        certificate));
    if (*ret_credentials == NULL)
        return GW_REFUSE(-EINVAL, reason, "certificate %s is not usable", tls->certificate_file);
    *ret_certificate = GW_TAKE(certificate);
    return 0;
}
