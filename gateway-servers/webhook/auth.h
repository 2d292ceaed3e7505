/* Who may call: bearer token, basic, a header with a token, or a signature of the body (HMAC). Secrets are
 * read again while the source runs, so that a rotated one counts within WEBHOOK_SECRET_AGE_MS. One thread. */
#ifndef WEBHOOK_AUTH_H
#define WEBHOOK_AUTH_H

#include "common/cloudevent.h"
#include "common/settings.h"

enum { WEBHOOK_SECRET_AGE_MS = 2000 };

struct webhook_auth_basic {
    struct gw_setting_secret username, password;
};
struct webhook_auth_header {
    const char *name;
    struct gw_setting_secret value;
};
struct webhook_auth_hmac {
    struct gw_setting_secret secret;
    const char *header, *prefix, *algorithm, *encoding;
    const char *timestamp_header, *payload;
    int64_t tolerance_ns;
};
struct webhook_auth_config {
    struct gw_setting_secret bearer;
    struct webhook_auth_basic basic;
    struct webhook_auth_header header;
    struct webhook_auth_hmac hmac;
    bool basic_given, header_given, hmac_given;
};
extern const struct gw_setting webhook_auth_settings[];

/* What the table cannot check; paths below "auth". */
void webhook_auth_check(const struct webhook_auth_config *config, struct gw_problems *problems);

struct webhook_auth;
/* `config` is borrowed. Reads the secrets: -ENOENT, -EACCES, … with words. No way configured: every request
 * passes. */
int webhook_auth_open(struct webhook_auth **ret_auth, const struct webhook_auth_config *config,
                      struct gw_reason *reason) GW_MUST_CHECK;
struct webhook_auth *webhook_auth_close(struct webhook_auth *auth);
GW_DEFINE_CLEANUP(struct webhook_auth *, webhook_auth_close)

/* 0: may pass. Verdicts: UNKNOWN (401): no credentials, or wrong ones; FORBIDDEN (403): a signature that is
 * wrong or too old. `head` judges what headers can tell, before a body is taken; `body` the rest. */
enum { WEBHOOK_AUTH_UNKNOWN = 1, WEBHOOK_AUTH_FORBIDDEN = 2 };
int webhook_auth_head(struct webhook_auth *auth, const struct gw_event_source_http *http) GW_MUST_CHECK;
int webhook_auth_body(struct webhook_auth *auth, const struct gw_event_source_http *http) GW_MUST_CHECK;

/* The header line that goes with 401. */
const char *webhook_auth_challenge(const struct webhook_auth *auth);
/* Whether the values of this header are credentials, which never go into an event. */
bool webhook_auth_hides(const struct webhook_auth *auth, const char *header);

#endif
