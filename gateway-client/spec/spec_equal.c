/* The Gateway spec: are two servers, or two watchers, the same? */
#include "gateway-client/spec/spec.h"

static bool text_equal(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool tls_equal(const struct gw_rpc_tls *a, const struct gw_rpc_tls *b)
{
    return a->enabled == b->enabled && text_equal(a->ca_file, b->ca_file) &&
           text_equal(a->certificate_file, b->certificate_file) && text_equal(a->key_file, b->key_file) &&
           text_equal(a->server_name, b->server_name);
}

static bool secret_equal(const struct gw_setting_secret *a, const struct gw_setting_secret *b)
{
    return text_equal(a->name, b->name) && text_equal(a->key, b->key);
}

static bool pairs_equal(const struct gw_setting_pairs *a, const struct gw_setting_pairs *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (!text_equal(a->items[i].name, b->items[i].name) ||
            !text_equal(a->items[i].value, b->items[i].value))
            return false;
    }
    return true;
}

static bool retry_equal(const struct gwc_retry_spec *a, const struct gwc_retry_spec *b)
{
    return a->initial_ns == b->initial_ns && a->max_ns == b->max_ns && a->factor == b->factor &&
           a->deadline_ns == b->deadline_ns && a->attempts_max == b->attempts_max;
}

bool gwc_server_spec_equal(const struct gwc_server_spec *a, const struct gwc_server_spec *b)
{
    return text_equal(a->type, b->type) && text_equal(a->address, b->address) && a->contract == b->contract &&
           tls_equal(&a->tls, &b->tls) && a->keepalive_ns == b->keepalive_ns;
}

bool gwc_watcher_spec_equal(const struct gwc_watcher_spec *a, const struct gwc_watcher_spec *b)
{
    return text_equal(a->name, b->name) && text_equal(a->url, b->url) && a->transport == b->transport &&
           tls_equal(&a->tls, &b->tls) && a->mode == b->mode && a->concurrency == b->concurrency &&
           a->batch_max == b->batch_max && a->timeout_ns == b->timeout_ns &&
           retry_equal(&a->retry, &b->retry) && pairs_equal(&a->headers, &b->headers) &&
           secret_equal(&a->bearer, &b->bearer) && secret_equal(&a->username, &b->username) &&
           secret_equal(&a->password, &b->password) && text_equal(a->ca_file, b->ca_file) &&
           text_equal(a->certificate_file, b->certificate_file) && text_equal(a->key_file, b->key_file) &&
           text_equal(a->server_name, b->server_name) && a->insecure_skip_verify == b->insecure_skip_verify &&
           a->dead_letter == b->dead_letter;
}
