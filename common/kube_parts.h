/* What the rooms of the API client know of each other: kube.c (one request), kube_answer.c (words of its answer),
 * kube_auth.c (the credentials of now), kube_exec.c (programs that print some). Nobody else includes this, but for tests. */
#ifndef GW_KUBE_PARTS_H
#define GW_KUBE_PARTS_H

#include "common/kube.h"
#include "common/kube_config_parts.h"

/* `config` is taken over, also when this fails. */
int kube_open(struct gw_kube **ret_kube, struct gw_loop *loop, struct gw_kube_config *config,
              const char *component, struct gw_reason *reason) GW_MUST_CHECK;

/* ---- kube_auth.c: the credentials of now ----
 *
 *     static  ──────────────────────────────────────────────▶ ready
 *     file    ── read when a minute old, or rejected ───────▶ ready
 *     exec    ── run when expired, or rejected ── waiting ──▶ ready, or failed in words; the next get runs it again */
struct kube_auth;
/* `config` is borrowed. `settled` on the loop: a get that was told to wait will now be answered. */
int kube_auth_open(struct kube_auth **ret_auth, struct gw_loop *loop, const struct gw_kube_config *config,
                   void (*settled)(void *user), void *user) GW_MUST_CHECK;
struct kube_auth *kube_auth_close(struct kube_auth *auth);

/* 0: ready. Verdict KUBE_AUTH_WAITS: settled() is called, then get again. -EACCES or the like, with words. */
enum { KUBE_AUTH_WAITS = 1 };
int kube_auth_get(struct kube_auth *auth, struct gw_reason *reason) GW_MUST_CHECK;

/* What a request is sent with. Borrowed until the next get. */
struct kube_credentials {
    const char *header;              /* "Authorization: Bearer …"; NULL: none */
    struct gw_view certificate, key; /* PEM of an exec plugin; else empty */
    unsigned generation;             /* of all of it */
    unsigned connection_generation; /* of what a connection is made with: another one needs new connections */
};
const struct kube_credentials *kube_auth_credentials(const struct kube_auth *auth);
/* These were answered with 401. False: there are no others to be had. */
bool kube_auth_rejected(struct kube_auth *auth, unsigned generation);

bool kube_token_legal(struct gw_view token);

/* ---- kube_exec.c: programs that print credentials ---- */
struct kube_exec_credential {
    struct gw_bytes token, certificate, key;
    int64_t expires_ns; /* real time; INT64_MAX: never */
};
void kube_exec_done(struct kube_exec_credential *credential);
/* The ExecCredential that it gets in KUBERNETES_EXEC_INFO. */
int kube_exec_info(const struct gw_kube_config *config, struct gw_bytes *out) GW_MUST_CHECK;
int kube_exec_run(struct gw_child **ret_child, struct gw_loop *loop, const struct gw_kube_config *config,
                  void (*ended)(void *user, const struct gw_child_end *end), void *user,
                  struct gw_reason *reason) GW_MUST_CHECK;
/* The ExecCredential that it printed. */
int kube_exec_parse(const struct gw_kube_exec *exec, struct gw_view output,
                    struct kube_exec_credential *ret_credential, struct gw_reason *reason) GW_MUST_CHECK;
/* The same of a run that has ended, or words for how that failed. */
int kube_exec_outcome(const struct gw_kube_config *config, const struct gw_child_end *end,
                      struct kube_exec_credential *ret_credential, struct gw_reason *reason) GW_MUST_CHECK;

/* ---- kube_answer.c ---- */
struct kube_words {
    char reason[64];
    char message[1024];
};
/* Copies UTF-8 as one line without control characters, cut to fit. */
void kube_line(char *out, size_t size, struct gw_view text);
/* Fills status, reason, message, retry_after_ms and body; the texts live in `words`. */
void kube_answer_fill(struct gw_kube_answer *answer, struct kube_words *words,
                      const struct gw_http_answer *http, const struct gw_kube_config *config);

#endif
