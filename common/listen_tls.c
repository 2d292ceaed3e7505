/* The certificate of a listener: GnuTLS credentials that follow their files. */
#include "common/listen_tls.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Certificate and key are written one after the other: a change is looked at when both had time to be there.
 */
enum { LISTEN_TLS_SETTLE_MS = 200 };

struct listen_pair {
    gnutls_certificate_credentials_t credentials;
    size_t users;
};

struct listen_tls {
    struct listen_pair *current;
    char *certificate_file, *key_file;
    struct stat certificate_seen, key_seen;
    struct gw_watch *certificate_watch, *key_watch;
    struct gw_timer *settle;
    bool settling;
    void (*warn)(void *user, const char *text);
    void *user;
};

/* ---- one pair ---- */

void listen_tls_release(struct listen_pair *pair)
{
    if (pair == NULL || --pair->users > 0)
        return;
    if (pair->credentials != NULL)
        gnutls_certificate_free_credentials(pair->credentials);
    free(pair);
}
GW_DEFINE_CLEANUP(struct listen_pair *, listen_tls_release)

static int pair_load(struct listen_pair **ret_pair, const char *certificate_file, const char *key_file,
                     struct gw_reason *reason)
{
    GW_AUTO(listen_tls_releasep) struct listen_pair *pair = calloc(1, sizeof(*pair));
    int result;

    if (pair == NULL)
        return GW_RAISE(-ENOMEM);
    pair->users = 1;
    if (access(certificate_file, R_OK) != 0)
        return GW_REFUSE(-EINVAL, reason, "certificate file %s: %s", certificate_file, strerror(errno));
    if (access(key_file, R_OK) != 0)
        return GW_REFUSE(-EINVAL, reason, "key file %s: %s", key_file, strerror(errno));
    if (gnutls_certificate_allocate_credentials(&pair->credentials) < 0)
        return GW_RAISE(-ENOMEM);
    result = gnutls_certificate_set_x509_key_file(pair->credentials, certificate_file, key_file,
                                                  GNUTLS_X509_FMT_PEM);
    if (result < 0)
        return GW_REFUSE(-EINVAL, reason, "certificate %s with key %s: %s", certificate_file, key_file,
                         gnutls_strerror(result));
    *ret_pair = GW_TAKE(pair);
    return 0;
}

struct listen_pair *listen_tls_give(struct listen_tls *tls, void *session)
{
    if (gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, tls->current->credentials) < 0)
        return NULL;
    tls->current->users++;
    return tls->current;
}

static int certificate_none(gnutls_session_t session, const gnutls_datum_t *authorities,
                            int authorities_count, const gnutls_pk_algorithm_t *algorithms,
                            int algorithms_count, gnutls_pcert_st **ret_certificate, unsigned int *ret_count,
                            gnutls_privkey_t *ret_key)
{
    (void)session, (void)authorities, (void)authorities_count, (void)algorithms, (void)algorithms_count;
    (void)ret_certificate, (void)ret_count, (void)ret_key;
    return -1;
}

void *listen_tls_no_certificate(void)
{
    gnutls_certificate_retrieve_function2 *none = certificate_none;
    void *pointer;

    /* C has no cast from a function to an object pointer; libmicrohttpd wants one. */
    memcpy(&pointer, &none, sizeof(pointer));
    return pointer;
}

/* ---- the files ---- */

static bool file_changed(const struct stat *seen, const struct stat *now)
{
    return seen->st_ino != now->st_ino || seen->st_dev != now->st_dev || seen->st_size != now->st_size ||
           seen->st_mtim.tv_sec != now->st_mtim.tv_sec || seen->st_mtim.tv_nsec != now->st_mtim.tv_nsec;
}

static bool files_look(struct listen_tls *tls)
{
    struct stat certificate = {0}, key = {0};
    bool changed;

    (void)stat(tls->certificate_file, &certificate);
    (void)stat(tls->key_file, &key);
    changed = file_changed(&tls->certificate_seen, &certificate) || file_changed(&tls->key_seen, &key);
    tls->certificate_seen = certificate;
    tls->key_seen = key;
    return changed;
}

static void on_settled(void *user)
{
    struct listen_tls *tls = user;
    struct listen_pair *pair = NULL;
    struct gw_reason reason = {"no memory to read the certificate"};

    tls->settling = false;
    if (!files_look(tls))
        return;
    if (pair_load(&pair, tls->certificate_file, tls->key_file, &reason) == 0) {
        listen_tls_release(tls->current);
        tls->current = pair;
        return;
    }
    if (tls->warn != NULL)
        tls->warn(tls->user, reason.text);
}

static void on_directory_changed(void *user)
{
    struct listen_tls *tls = user;

    if (tls->settling)
        return;
    tls->settling = true;
    gw_timer_start(tls->settle, LISTEN_TLS_SETTLE_MS);
}

static int directory_watch(struct gw_watch **ret_watch, struct listen_tls *tls, struct gw_loop *loop,
                           const char *file)
{
    char copy[PATH_MAX];

    if (strlen(file) >= sizeof(copy))
        return GW_RAISE(-ENAMETOOLONG);
    strcpy(copy, file);
    return gw_watch_open(ret_watch, loop, dirname(copy), on_directory_changed, tls);
}

/* ---- life ---- */

GW_DEFINE_CLEANUP(struct listen_tls *, listen_tls_close)

int listen_tls_open(struct listen_tls **ret_tls, struct gw_loop *loop, const char *certificate_file,
                    const char *key_file, void (*warn)(void *user, const char *text), void *user,
                    struct gw_reason *reason)
{
    GW_AUTO(listen_tls_closep) struct listen_tls *tls = calloc(1, sizeof(*tls));

    if (tls == NULL)
        return GW_RAISE(-ENOMEM);
    tls->warn = warn;
    tls->user = user;
    tls->certificate_file = strdup(certificate_file);
    tls->key_file = strdup(key_file);
    if (tls->certificate_file == NULL || tls->key_file == NULL)
        return GW_RAISE(-ENOMEM);
    files_look(tls);
    GW_TRY(pair_load(&tls->current, certificate_file, key_file, reason));
    GW_TRY(gw_timer_open(&tls->settle, loop, on_settled, tls));
    GW_TRY(directory_watch(&tls->certificate_watch, tls, loop, certificate_file));
    GW_TRY(directory_watch(&tls->key_watch, tls, loop, key_file));
    *ret_tls = GW_TAKE(tls);
    return 0;
}

struct listen_tls *listen_tls_close(struct listen_tls *tls)
{
    if (tls == NULL)
        return NULL;
    listen_tls_release(tls->current);
    gw_watch_close(tls->certificate_watch);
    gw_watch_close(tls->key_watch);
    gw_timer_close(tls->settle);
    free(tls->certificate_file);
    free(tls->key_file);
    free(tls);
    return NULL;
}
