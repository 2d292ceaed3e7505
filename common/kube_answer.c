/* What an answer of the API server says: its Status in words, or what is wrong with the way there. */
#include "common/kube_parts.h"

#include "common/json.h"
#include "common/text.h"

#include <stdio.h>

enum { KUBE_SHOWN_MAX = 200, KUBE_RETRY_S_MAX = 366 * 86400 };

static bool byte_continues(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

void kube_line(char *out, size_t size, struct gw_view text)
{
    size_t used = 0, at = 0;

    for (; at < text.size && used + 1 < size; at++) {
        bool blank = (unsigned char)text.data[at] <= ' ' || text.data[at] == 0x7f;

        if (!blank)
            out[used++] = text.data[at];
        else if (used > 0 && out[used - 1] != ' ')
            out[used++] = ' ';
    }
    if (at < text.size && byte_continues(text.data[at])) { /* half a character */
        while (used > 0 && byte_continues(out[used - 1]))
            used--;
        used -= used > 0;
    }
    used -= used > 0 && out[used - 1] == ' ';
    out[used] = '\0';
}

static void token_copy(char *out, size_t size, struct gw_view token)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};

    if (gw_json_unquote(&text, token) && !text.failed)
        kube_line(out, size, gw_bytes_view(&text));
}

static void details_read(struct gw_kube_answer *answer, struct gw_view details)
{
    struct gw_json_walk walk = gw_json_walk(details);
    uint64_t seconds;

    while (gw_json_next(&walk))
        if (gw_view_is(walk.key, "retryAfterSeconds") && answer->retry_after_ms < 0 &&
            gw_text_u64(walk.value, KUBE_RETRY_S_MAX, &seconds) && seconds > 0)
            answer->retry_after_ms = (int64_t)seconds * 1000;
}

/* A Status object (k8s.io/apimachinery, meta/v1). */
static void status_read(struct gw_kube_answer *answer, struct kube_words *words)
{
    struct gw_json_walk walk;

    if (!gw_json_valid(answer->body))
        return;
    walk = gw_json_walk(answer->body);
    if (walk.open != '{')
        return;
    while (gw_json_next(&walk)) {
        if (gw_view_is(walk.key, "reason"))
            token_copy(words->reason, sizeof(words->reason), walk.value);
        else if (gw_view_is(walk.key, "message"))
            token_copy(words->message, sizeof(words->message), walk.value);
        else if (gw_view_is(walk.key, "details"))
            details_read(answer, walk.value);
    }
}

/* Something in between answered, or a server that has no words of its own. */
static void words_of_status(struct gw_kube_answer *answer, struct kube_words *words,
                            const struct gw_kube_config *config)
{
    char shown[KUBE_SHOWN_MAX];

    kube_line(shown, sizeof(shown), gw_utf8_valid(answer->body) ? answer->body : gw_view(NULL, 0));
    snprintf(words->message, sizeof(words->message), "%s answers %d%s%s", config->server, answer->status,
             *shown != '\0' ? ": " : "", shown);
}

static void words_of_fault(struct kube_words *words, const struct gw_http_answer *http,
                           const struct gw_kube_config *config)
{
    const char *authority = config->ca_file != NULL   ? config->ca_file
                            : config->ca_pem.size > 0 ? "that of the kubeconfig"
                                                      : "one of the system's, for none is configured";

    if (http->failure == GW_HTTP_UNTRUSTED)
        snprintf(words->message, sizeof(words->message),
                 "%s (%s; the authority that must have signed the server's certificate is %s)", http->fault,
                 config->origin, authority);
    else
        snprintf(words->message, sizeof(words->message), "%s", http->fault);
}

void kube_answer_fill(struct gw_kube_answer *answer, struct kube_words *words,
                      const struct gw_http_answer *http, const struct gw_kube_config *config)
{
    words->reason[0] = words->message[0] = '\0';
    *answer = (struct gw_kube_answer){.status = http->status,
                                      .reason = words->reason,
                                      .message = words->message,
                                      .retry_after_ms = http->retry_after_ms,
                                      .body = http->body};
    if (http->status == 0) {
        words_of_fault(words, http, config);
    } else if (http->status > 299) {
        status_read(answer, words);
        if (words->message[0] == '\0')
            words_of_status(answer, words, config);
    } else if (http->truncated) {
        /* Half an object is none. */
        answer->status = 0;
        answer->too_large = true;
        answer->body = gw_view(NULL, 0);
        snprintf(words->message, sizeof(words->message), "%s: the answer has more than %zu bytes",
                 config->server, http->body.size);
    }
}
