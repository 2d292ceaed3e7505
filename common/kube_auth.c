/* The credentials of now: a token that stays, a file that is read anew, a program that is run. */
#include "common/kube_parts.h"

#include "common/clock.h"
#include "common/text.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    KUBE_TOKEN_SIZE_MAX = 65536,
    KUBE_TOKEN_READ_MS = 60000,
    KUBE_EXEC_FAILED_MS = 1000, /* for so long its failure is everybody's answer */
    KUBE_EXEC_KEPT_S =
        10, /* at least, whatever they say: our clock may be wrong, and it would be run for ever */
    KUBE_EXEC_REJECTED_MS =
        10000 /* credentials that are rejected so soon after others were: no use asking again */
};

struct kube_auth {
    struct gw_loop *loop;
    const struct gw_kube_config *config;
    void (*settled)(void *user);
    void *user;
    struct kube_credentials credentials;
    struct gw_bytes header; /* that credentials.header points to */
    int64_t read_ms;        /* when the token file was; -1: never, or to be read before the next request */

    struct gw_child *child; /* the program runs */
    struct kube_exec_credential credential;
    bool has_credential;
    int64_t failed_ms, rejected_ms; /* when it last failed, was run for a 401; -1: not */
    int failure;
    struct gw_reason words; /* of `failure` */
};

/* ---- token files ---- */

static void closep(int *descriptor)
{
    if (*descriptor >= 0)
        close(*descriptor);
}

/* O_NONBLOCK: a pipe put there must not hold up the loop. */
static int token_load(const char *path, struct gw_bytes *text)
{
    GW_AUTO(closep) int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    ssize_t got;

    if (descriptor < 0 || fstat(descriptor, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
    if (gw_bytes_reserve(text, KUBE_TOKEN_SIZE_MAX + 1) == NULL)
        return -ENOMEM;
    got = read(descriptor, text->data, KUBE_TOKEN_SIZE_MAX + 1);
    if (got < 0)
        return -errno;
    text->size = (size_t)got;
    return text->size > KUBE_TOKEN_SIZE_MAX ? -EFBIG : 0;
}

bool kube_token_legal(struct gw_view token)
{
    for (size_t i = 0; i < token.size; i++)
        if ((unsigned char)token.data[i] <= ' ' || token.data[i] == 0x7f)
            return false;
    return token.size > 0;
}

int gw_kube_token_read(const char *path, struct gw_bytes *ret_token, struct gw_reason *reason)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};
    struct gw_view token;
    int fault = token_load(path, &text);

    if (fault < 0)
        return GW_REFUSE(fault, reason, "token file %s: %s", path, strerrordesc_np(-fault));
    token = gw_view_trim(gw_bytes_view(&text));
    if (!kube_token_legal(token))
        return GW_REFUSE(-EINVAL, reason, "token file %s: %s", path,
                         token.size == 0 ? "is empty"
                                         : "holds white space or a control character within the token");
    gw_bytes_append_view(ret_token, token);
    return ret_token->failed ? GW_RAISE(-ENOMEM) : 0;
}

/* ---- credentials ---- */

static int header_set(struct kube_auth *auth, struct gw_view token)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes line = {0};
    struct gw_bytes before = auth->header;

    gw_bytes_append_text(&line, "Authorization: Bearer ");
    gw_bytes_append_view(&line, token);
    if (gw_bytes_text(&line) == NULL)
        return GW_RAISE(-ENOMEM);
    if (auth->credentials.header != NULL && gw_view_is(gw_bytes_view(&line), auth->credentials.header))
        return 0;
    auth->header = line;
    line = before;
    auth->credentials.header = auth->header.data;
    auth->credentials.generation++;
    return 0;
}

/* As client-go does it: while the file cannot be read, the token from before is as good as any. */
static int token_renew(struct kube_auth *auth, struct gw_reason *reason)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes token = {0};
    int64_t now_ms = gw_loop_now_ms(auth->loop);
    int fault;

    if (auth->read_ms >= 0 && now_ms - auth->read_ms < KUBE_TOKEN_READ_MS)
        return 0;
    fault = gw_kube_token_read(auth->config->token_file, &token, reason);
    if (fault < 0 && auth->credentials.header == NULL)
        return GW_RAISE(fault);
    auth->read_ms = now_ms;
    return fault < 0 ? 0 : header_set(auth, gw_bytes_view(&token));
}

/* ---- programs ---- */

static void exec_failed(struct kube_auth *auth, int fault)
{
    auth->failure = fault;
    auth->failed_ms = gw_loop_now_ms(auth->loop);
}

/* The new credentials count only whole. */
static int exec_take(struct kube_auth *auth, struct kube_exec_credential *fresh)
{
    struct kube_credentials *credentials = &auth->credentials;
    struct kube_exec_credential before = auth->credential;
    bool other_key = !gw_view_equal(gw_bytes_view(&before.key), gw_bytes_view(&fresh->key)) ||
                     !gw_view_equal(gw_bytes_view(&before.certificate), gw_bytes_view(&fresh->certificate));

    if (fresh->token.size > 0)
        GW_TRY(header_set(auth, gw_bytes_view(&fresh->token)));
    else
        credentials->header = NULL;
    credentials->generation++;
    credentials->connection_generation += other_key;
    auth->credential = *fresh;
    auth->credential.expires_ns =
        GW_MAX(fresh->expires_ns, gw_clock_realtime_ns() + KUBE_EXEC_KEPT_S * GW_NS_PER_S);
    *fresh = before;
    credentials->certificate = gw_bytes_view(&auth->credential.certificate);
    credentials->key = gw_bytes_view(&auth->credential.key);
    auth->has_credential = true;
    return 0;
}

static void on_exec_ended(void *user, const struct gw_child_end *end)
{
    GW_AUTO(kube_exec_done) struct kube_exec_credential fresh = {0};
    struct kube_auth *auth = user;
    int fault;

    auth->words.text[0] = '\0';
    fault = kube_exec_outcome(auth->config, end, &fresh, &auth->words);
    auth->child = gw_child_close(auth->child);
    if (fault == 0)
        fault = exec_take(auth, &fresh);
    if (fault < 0)
        exec_failed(auth, fault);
    auth->settled(auth->user);
}

static int exec_get(struct kube_auth *auth, struct gw_reason *reason)
{
    int64_t now_ms = gw_loop_now_ms(auth->loop);
    int fault;

    if (auth->child != NULL)
        return KUBE_AUTH_WAITS;
    if (auth->has_credential && gw_clock_realtime_ns() < auth->credential.expires_ns)
        return 0;
    if (auth->failed_ms < 0 || now_ms - auth->failed_ms >= KUBE_EXEC_FAILED_MS) {
        auth->words.text[0] = '\0';
        fault = kube_exec_run(&auth->child, auth->loop, auth->config, on_exec_ended, auth, &auth->words);
        if (fault == 0)
            return KUBE_AUTH_WAITS;
        exec_failed(auth, fault);
    }
    return GW_REFUSE(auth->failure, reason, "%s", auth->words.text);
}

static bool exec_rejected(struct kube_auth *auth)
{
    int64_t now_ms = gw_loop_now_ms(auth->loop);

    if (!auth->has_credential)
        return true; /* being renewed */
    if (auth->rejected_ms >= 0 && now_ms - auth->rejected_ms < KUBE_EXEC_REJECTED_MS)
        return false;
    auth->rejected_ms = now_ms;
    auth->has_credential = false;
    return true;
}

int kube_auth_get(struct kube_auth *auth, struct gw_reason *reason)
{
    if (auth->config->exec != NULL)
        return exec_get(auth, reason);
    if (auth->config->token_file != NULL)
        return token_renew(auth, reason);
    return 0;
}

const struct kube_credentials *kube_auth_credentials(const struct kube_auth *auth)
{
    return &auth->credentials;
}

bool kube_auth_rejected(struct kube_auth *auth, unsigned generation)
{
    const struct gw_kube_config *config = auth->config;

    if (generation != auth->credentials.generation)
        return true; /* renewed since for another request */
    if (config->exec != NULL)
        return exec_rejected(auth);
    if (config->certificate_file != NULL) {
        auth->credentials.generation++;
        auth->credentials.connection_generation++;
    }
    auth->read_ms = -1;
    return config->token_file != NULL || config->certificate_file != NULL;
}

/* ---- life ---- */

int kube_auth_open(struct kube_auth **ret_auth, struct gw_loop *loop, const struct gw_kube_config *config,
                   void (*settled)(void *user), void *user)
{
    struct kube_auth *auth = calloc(1, sizeof(*auth));
    int fault = 0;

    if (auth == NULL)
        return GW_RAISE(-ENOMEM);
    auth->loop = loop;
    auth->config = config;
    auth->settled = settled;
    auth->user = user;
    auth->read_ms = auth->failed_ms = auth->rejected_ms = -1;
    if (config->token != NULL)
        fault = header_set(auth, gw_view_text(config->token));
    if (fault < 0) {
        kube_auth_close(auth);
        return fault;
    }
    *ret_auth = auth;
    return 0;
}

struct kube_auth *kube_auth_close(struct kube_auth *auth)
{
    if (auth == NULL)
        return NULL;
    gw_child_close(auth->child);
    kube_exec_done(&auth->credential);
    gw_bytes_done(&auth->header);
    free(auth);
    return NULL;
}
