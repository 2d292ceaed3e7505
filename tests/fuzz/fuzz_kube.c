/* What the client of the API server reads of others: kubeconfig files, Status objects, and what credential plugins print. */
#include "common/kube_parts.h"

#include "common/text.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* A kubeconfig is a file; this one is made anew for each input. */
static const char *file_of(const uint8_t *data, size_t size)
{
    static char path[64];
    static int descriptor = -1;

    if (descriptor < 0)
        descriptor = memfd_create("kubeconfig", MFD_CLOEXEC);
    assert(descriptor >= 0 && ftruncate(descriptor, 0) == 0);
    assert(pwrite(descriptor, data, size, 0) == (ssize_t)size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
    return path;
}

static void check_text(const char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        assert(*at != '\n' && *at != '\r');
}

static void check_config(const uint8_t *data, size_t size)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes info = {0};
    struct gw_kube_config config;
    struct gw_reason reason = {""};

    if (gw_kube_config_read(&config, file_of(data, size), NULL, &reason) < 0) {
        assert(reason.text[0] != '\0');
        return;
    }
    assert(config.server != NULL && config.namespace_ != NULL && config.origin != NULL);
    assert(config.token == NULL || config.token_file == NULL);
    assert((config.certificate_file == NULL && config.certificate_pem.size == 0) ==
           (config.key_file == NULL && config.key_pem.size == 0));
    for (const char *const *line = config.as; line != NULL && *line != NULL; line++)
        check_text(*line);
    if (config.exec != NULL)
        assert(kube_exec_info(&config, &info) == 0);
    gw_kube_config_done(&config);
}

static void check_status(const uint8_t *data, size_t size)
{
    static const int statuses[] = {0, 200, 410, 503};
    const struct gw_kube_config config = {.server = "https://h", .origin = "fuzz"};
    struct gw_kube_answer answer;
    struct kube_words words;

    for (size_t i = 0; i < GW_COUNT_OF(statuses); i++) {
        const struct gw_http_answer http = {
            .status = statuses[i], .fault = "f", .retry_after_ms = -1, .body = gw_view(data, size)};

        kube_answer_fill(&answer, &words, &http, &config);
        check_text(answer.reason);
        check_text(answer.message);
        assert(answer.retry_after_ms >= -1);
        if (gw_utf8_valid(http.body))
            assert(gw_utf8_valid(gw_view_text(answer.message)));
    }
}

static void check_credential(const uint8_t *data, size_t size)
{
    const struct gw_kube_exec exec = {.command = "plugin", .api_version = "client.authentication.k8s.io/v1"};
    struct kube_exec_credential credential;
    struct gw_reason reason;

    if (kube_exec_parse(&exec, gw_view(data, size), &credential, &reason) != 0)
        return;
    assert(credential.token.size > 0 || credential.key.size > 0);
    kube_exec_done(&credential);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_config(data, size);
    check_status(data, size);
    check_credential(data, size);
    return 0;
}
