/* Auth: credentials of requests against secrets, and HMAC by OpenSSL. */
#include "gateway-servers/webhook/auth.h"

#include "common/clock.h"
#include "common/secrets.h"
#include "common/text.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <strings.h>

static const char *const algorithms[] = {"sha256", "sha1", "sha512", NULL};
static const char *const encodings[] = {"hex", "base64", NULL};

#define FIELD(type, member) .offset = offsetof(struct type, member)

static const struct gw_setting basic_settings[] = {
    {.name = "username",
     .kind = GW_SETTING_SECRET,
     FIELD(webhook_auth_basic, username),
     .required = true,
     .help = "secret with the name"},
    {.name = "password",
     .kind = GW_SETTING_SECRET,
     FIELD(webhook_auth_basic, password),
     .required = true,
     .help = "secret with the password"},
    {0},
};
static const struct gw_setting header_settings[] = {
    {.name = "name",
     .kind = GW_SETTING_TEXT,
     FIELD(webhook_auth_header, name),
     .required = true,
     .help = "name of the header, such as X-Gitlab-Token"},
    {.name = "value",
     .kind = GW_SETTING_SECRET,
     FIELD(webhook_auth_header, value),
     .required = true,
     .help = "secret with its value"},
    {0},
};
static const struct gw_setting hmac_settings[] = {
    {.name = "secret",
     .kind = GW_SETTING_SECRET,
     FIELD(webhook_auth_hmac, secret),
     .required = true,
     .help = "the key of the signature"},
    {.name = "header",
     .kind = GW_SETTING_TEXT,
     FIELD(webhook_auth_hmac, header),
     .otherwise = "X-Hub-Signature-256",
     .help = "header that carries the signature"},
    {.name = "prefix",
     .kind = GW_SETTING_TEXT,
     FIELD(webhook_auth_hmac, prefix),
     .help = "what stands before the signature; left out: the algorithm and \"=\", as in sha256="},
    {.name = "algorithm",
     .kind = GW_SETTING_TEXT,
     FIELD(webhook_auth_hmac, algorithm),
     .otherwise = "sha256",
     .choices = algorithms,
     .help = "hash of the HMAC"},
    {.name = "encoding",
     .kind = GW_SETTING_TEXT,
     FIELD(webhook_auth_hmac, encoding),
     .otherwise = "hex",
     .choices = encodings,
     .help = "how the signature is written"},
    {.name = "timestampHeader",
     .kind = GW_SETTING_TEXT,
     FIELD(webhook_auth_hmac, timestamp_header),
     .help = "header with the time of signing in Unix seconds; a request outside the tolerance is refused"},
    {.name = "tolerance",
     .kind = GW_SETTING_DURATION,
     FIELD(webhook_auth_hmac, tolerance_ns),
     .otherwise = "5m",
     .min = 1,
     .max = INT64_MAX,
     .help = "how far that time may be from now"},
    {.name = "payload",
     .kind = GW_SETTING_TEXT,
     FIELD(webhook_auth_hmac, payload),
     .help =
         "what was signed, with {body} and {timestamp}, such as v0:{timestamp}:{body}; left out: {body}, or "
         "{timestamp}.{body} with a timestampHeader"},
    {0},
};
const struct gw_setting webhook_auth_settings[] = {
    {.name = "bearer",
     .kind = GW_SETTING_SECRET,
     FIELD(webhook_auth_config, bearer),
     .help = "secret with the token of Authorization: Bearer"},
    {.name = "basic",
     .kind = GW_SETTING_SECTION,
     FIELD(webhook_auth_config, basic),
     .table = basic_settings,
     .present = offsetof(struct webhook_auth_config, basic_given) + 1,
     .help = "name and password"},
    {.name = "header",
     .kind = GW_SETTING_SECTION,
     FIELD(webhook_auth_config, header),
     .table = header_settings,
     .present = offsetof(struct webhook_auth_config, header_given) + 1,
     .help = "a token in a header of its own"},
    {.name = "hmac",
     .kind = GW_SETTING_SECTION,
     FIELD(webhook_auth_config, hmac),
     .table = hmac_settings,
     .present = offsetof(struct webhook_auth_config, hmac_given) + 1,
     .help = "a signature of the body"},
    {0},
};

/* ---- checking ---- */

static void check_header_name(const char *name, const char *path, struct gw_problems *problems)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    if (name[0] == '\0') {
        gw_problems_add(problems, path, 0, "empty: write the name of a header");
        return;
    }
    for (const char *at = name; *at != '\0'; at++) {
        bool alphanumeric =
            (*at >= '0' && *at <= '9') || (*at >= 'A' && *at <= 'Z') || (*at >= 'a' && *at <= 'z');

        if (!alphanumeric && strchr(others, *at) == NULL) {
            gw_problems_add(problems, path, 0, "\"%s\" is not the name of a header", name);
            return;
        }
    }
}

void webhook_auth_check(const struct webhook_auth_config *config, struct gw_problems *problems)
{
    int ways =
        (config->bearer.name != NULL) + config->basic_given + config->header_given + config->hmac_given;

    if (ways > 1)
        gw_problems_add(problems, "auth", 0, "more than one of bearer, basic, header and hmac; keep one");
    if (ways == 0)
        gw_problems_add(problems, "auth", 0,
                        "none of bearer, basic, header and hmac; leave auth out to let all pass");
    if (config->header_given)
        check_header_name(config->header.name, "auth.header.name", problems);
    if (!config->hmac_given)
        return;
    check_header_name(config->hmac.header, "auth.hmac.header", problems);
    if (config->hmac.timestamp_header != NULL)
        check_header_name(config->hmac.timestamp_header, "auth.hmac.timestampHeader", problems);
    if (config->hmac.payload != NULL && strstr(config->hmac.payload, "{body}") == NULL)
        gw_problems_add(problems, "auth.hmac.payload", 0,
                        "without {body} the signature would not cover the body");
    if (config->hmac.payload != NULL && config->hmac.timestamp_header == NULL &&
        strstr(config->hmac.payload, "{timestamp}") != NULL)
        gw_problems_add(problems, "auth.hmac.payload", 0, "{timestamp} needs a timestampHeader");
}

/* ---- secrets ---- */

struct secret {
    const struct gw_setting_secret *reference; /* NULL: not used */
    struct gw_bytes value;
    int64_t read_ms;
};

enum auth_way { AUTH_NONE, AUTH_BEARER, AUTH_BASIC, AUTH_HEADER, AUTH_HMAC };

struct webhook_auth {
    const struct webhook_auth_config *config;
    enum auth_way way;
    struct secret first, second; /* token, name and password, value, or key */
    const char *prefix, *payload;
    EVP_MAC_CTX *mac;
    struct gw_bytes scratch;
};

static int secret_read(struct secret *secret, struct gw_reason *reason)
{
    struct gw_bytes value = {0};
    int fault = 0;

    if (secret->reference == NULL)
        return 0;
    secret->read_ms = gw_clock_monotonic_ms();
    fault = gw_secret_read(secret->reference, &value, reason);
    if (fault == 0 && value.size == 0) {
        gw_secret_done(&value);
        return GW_REFUSE(-EINVAL, reason, "secret %s, key %s: empty", secret->reference->name,
                         secret->reference->key);
    }
    if (fault != 0)
        return fault;
    gw_secret_done(&secret->value);
    secret->value = value;
    return 0;
}

/* The value, read again when it is old; one that cannot be read now stays as it was. */
static struct gw_view secret_value(struct secret *secret)
{
    if (gw_clock_monotonic_ms() - secret->read_ms >= WEBHOOK_SECRET_AGE_MS)
        (void)!secret_read(secret, NULL);
    return gw_bytes_view(&secret->value);
}

/* ---- opening ---- */

static void auth_choose(struct webhook_auth *auth)
{
    const struct webhook_auth_config *config = auth->config;

    if (config->bearer.name != NULL) {
        auth->way = AUTH_BEARER;
        auth->first.reference = &config->bearer;
    } else if (config->basic_given) {
        auth->way = AUTH_BASIC;
        auth->first.reference = &config->basic.username;
        auth->second.reference = &config->basic.password;
    } else if (config->header_given) {
        auth->way = AUTH_HEADER;
        auth->first.reference = &config->header.value;
    } else if (config->hmac_given) {
        auth->way = AUTH_HMAC;
        auth->first.reference = &config->hmac.secret;
    }
}

static const char *auth_prefix(const struct webhook_auth_hmac *hmac)
{
    static const char *const prefixes[] = {"sha256=", "sha1=", "sha512="};

    if (hmac->prefix != NULL)
        return hmac->prefix;
    for (size_t i = 0; i < GW_COUNT_OF(prefixes); i++)
        if (strcmp(algorithms[i], hmac->algorithm) == 0)
            return prefixes[i];
    return "";
}

static int auth_open_mac(struct webhook_auth *auth)
{
    const struct webhook_auth_hmac *hmac = &auth->config->hmac;
    char *algorithm = (char *)(uintptr_t)hmac->algorithm; /* only read */
    OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, algorithm, 0),
                               OSSL_PARAM_construct_end()};
    EVP_MAC *mac = NULL;

    if (auth->way != AUTH_HMAC)
        return 0;
    auth->prefix = auth_prefix(hmac);
    auth->payload = hmac->payload != NULL            ? hmac->payload
                    : hmac->timestamp_header != NULL ? "{timestamp}.{body}"
                                                     : "{body}";
    mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    auth->mac = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac);
    if (auth->mac == NULL)
        return GW_RAISE(-ENOMEM);
    return EVP_MAC_CTX_set_params(auth->mac, parameters) == 1 ? 0 : GW_RAISE(-ENOTSUP);
}

int webhook_auth_open(struct webhook_auth **ret_auth, const struct webhook_auth_config *config,
                      struct gw_reason *reason)
{
    GW_AUTO(webhook_auth_closep) struct webhook_auth *auth = calloc(1, sizeof(*auth));

    if (auth == NULL)
        return GW_RAISE(-ENOMEM);
    auth->config = config;
    auth_choose(auth);
    GW_TRY(secret_read(&auth->first, reason));
    GW_TRY(secret_read(&auth->second, reason));
    GW_TRY(auth_open_mac(auth));
    *ret_auth = GW_TAKE(auth);
    return 0;
}

struct webhook_auth *webhook_auth_close(struct webhook_auth *auth)
{
    if (auth == NULL)
        return NULL;
    EVP_MAC_CTX_free(auth->mac);
    gw_secret_done(&auth->first.value);
    gw_secret_done(&auth->second.value);
    gw_secret_done(&auth->scratch);
    free(auth);
    return NULL;
}

/* ---- judging ---- */

static struct gw_view header_of(const struct gw_event_source_http *http, const char *name)
{
    return gw_view_text(http->header(http->request, name));
}

/* What follows the scheme in Authorization; empty: another scheme, or none. */
static struct gw_view credentials_of(const struct gw_event_source_http *http, const char *scheme)
{
    struct gw_view value = gw_view_trim(header_of(http, "Authorization"));
    size_t size = strlen(scheme);

    if (value.size <= size || value.data[size] != ' ' || !gw_view_starts_nocase(value, scheme))
        return gw_view(NULL, 0);
    return gw_view_trim(gw_view(value.data + size, value.size - size));
}

static bool basic_passes(struct webhook_auth *auth, const struct gw_event_source_http *http)
{
    struct gw_view credentials = credentials_of(http, "Basic"), name, password;
    const char *colon = NULL;
    bool good_name = false, good_password = false;

    gw_bytes_clear(&auth->scratch);
    if (credentials.size == 0 || !gw_base64_decode(&auth->scratch, credentials) || auth->scratch.size == 0)
        return false;
    colon = memchr(auth->scratch.data, ':', auth->scratch.size);
    if (colon == NULL)
        return false;
    name = gw_view(auth->scratch.data, (size_t)(colon - auth->scratch.data));
    password = gw_view(colon + 1, auth->scratch.size - name.size - 1);
    /* both, always: the time does not tell which of them was wrong */
    good_name = gw_equal_constant_time(name, secret_value(&auth->first));
    good_password = gw_equal_constant_time(password, secret_value(&auth->second));
    return good_name && good_password;
}

int webhook_auth_head(struct webhook_auth *auth, const struct gw_event_source_http *http)
{
    struct gw_view given = {0};

    switch (auth->way) {
    case AUTH_NONE:
        return 0;
    case AUTH_BASIC:
        return basic_passes(auth, http) ? 0 : WEBHOOK_AUTH_UNKNOWN;
    case AUTH_HMAC:
        return header_of(http, auth->config->hmac.header).size > 0 ? 0 : WEBHOOK_AUTH_UNKNOWN;
    case AUTH_BEARER:
        given = credentials_of(http, "Bearer");
        break;
    case AUTH_HEADER:
        given = header_of(http, auth->config->header.name);
        break;
    }
    return given.size > 0 && gw_equal_constant_time(given, secret_value(&auth->first)) ? 0
                                                                                       : WEBHOOK_AUTH_UNKNOWN;
}

/* Feeds the signed text: the payload template with its two variables. */
static bool hmac_feed(struct webhook_auth *auth, struct gw_view timestamp, struct gw_view body)
{
    static const char body_name[] = "{body}", timestamp_name[] = "{timestamp}";
    const char *at = auth->payload;
    bool good = true;

    while (*at != '\0' && good) {
        struct gw_view piece = {0};

        if (strncmp(at, body_name, sizeof(body_name) - 1) == 0) {
            piece = body;
            at += sizeof(body_name) - 1;
        } else if (strncmp(at, timestamp_name, sizeof(timestamp_name) - 1) == 0) {
            piece = timestamp;
            at += sizeof(timestamp_name) - 1;
        } else {
            piece = gw_view(at, 1 + strcspn(at + 1, "{"));
            at += piece.size;
        }
        if (piece.size > 0)
            good = EVP_MAC_update(auth->mac, (const unsigned char *)piece.data, piece.size) == 1;
    }
    return good;
}

static bool hmac_sign(struct webhook_auth *auth, struct gw_view timestamp, struct gw_view body,
                      unsigned char sign[static EVP_MAX_MD_SIZE], size_t *ret_size)
{
    struct gw_view key = secret_value(&auth->first);

    return EVP_MAC_init(auth->mac, (const unsigned char *)key.data, key.size, NULL) == 1 &&
           hmac_feed(auth, timestamp, body) && EVP_MAC_final(auth->mac, sign, ret_size, EVP_MAX_MD_SIZE) == 1;
}

static bool hmac_fresh(const struct webhook_auth_hmac *hmac, struct gw_view timestamp)
{
    int64_t seconds = 0, now_ns = gw_clock_realtime_ns(), away_ns = 0;

    if (!gw_text_i64(timestamp, 0, INT64_MAX / GW_NS_PER_S, &seconds))
        return false;
    away_ns = now_ns - seconds * GW_NS_PER_S;
    return (away_ns < 0 ? -away_ns : away_ns) <= hmac->tolerance_ns;
}

int webhook_auth_body(struct webhook_auth *auth, const struct gw_event_source_http *http)
{
    const struct webhook_auth_hmac *hmac = &auth->config->hmac;
    struct gw_view given = {0}, timestamp = {0};
    unsigned char sign[EVP_MAX_MD_SIZE];
    size_t size = 0, prefix = 0;
    bool decoded = false;

    if (auth->way != AUTH_HMAC)
        return 0;
    given = gw_view_trim(header_of(http, hmac->header));
    prefix = strlen(auth->prefix);
    if (hmac->timestamp_header != NULL) {
        timestamp = gw_view_trim(header_of(http, hmac->timestamp_header));
        if (!hmac_fresh(hmac, timestamp))
            return WEBHOOK_AUTH_FORBIDDEN;
    }
    if (given.size < prefix || (prefix > 0 && memcmp(given.data, auth->prefix, prefix) != 0))
        return WEBHOOK_AUTH_FORBIDDEN;
    given = gw_view(given.data + prefix, given.size - prefix);
    gw_bytes_clear(&auth->scratch);
    decoded = strcmp(hmac->encoding, "hex") == 0 ? gw_hex_decode(&auth->scratch, given)
                                                 : gw_base64_decode(&auth->scratch, given);
    if (!decoded || !hmac_sign(auth, timestamp, http->body, sign, &size))
        return WEBHOOK_AUTH_FORBIDDEN;
    return gw_equal_constant_time(gw_bytes_view(&auth->scratch), gw_view(sign, size))
               ? 0
               : WEBHOOK_AUTH_FORBIDDEN;
}

const char *webhook_auth_challenge(const struct webhook_auth *auth)
{
    static const char *const challenges[] = {
        [AUTH_NONE] = "WWW-Authenticate: Bearer realm=\"webhook\"",
        [AUTH_BEARER] = "WWW-Authenticate: Bearer realm=\"webhook\"",
        [AUTH_BASIC] = "WWW-Authenticate: Basic realm=\"webhook\", charset=\"UTF-8\"",
        [AUTH_HEADER] = "WWW-Authenticate: Token realm=\"webhook\"",
        [AUTH_HMAC] = "WWW-Authenticate: HMAC realm=\"webhook\"",
    };

    return challenges[auth->way];
}

bool webhook_auth_hides(const struct webhook_auth *auth, const char *header)
{
    return strcasecmp(header, "Authorization") == 0 || strcasecmp(header, "Proxy-Authorization") == 0 ||
           strcasecmp(header, "Cookie") == 0 ||
           (auth->way == AUTH_HEADER && strcasecmp(header, auth->config->header.name) == 0);
}
