/* Programs that print credentials: what they are told, and what they say.
 * https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins */
#include "common/kube_parts.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/pem.h"
#include "common/text.h"

#include <stdio.h>

enum { KUBE_EXEC_TIMEOUT_MS = 60000, KUBE_EXEC_OUTPUT_MAX = 1 << 20, KUBE_EXEC_VARIABLES_MAX = 256 };

/* ---- what it is told ---- */

static void member_append(struct gw_bytes *out, const char *name, const char *value)
{
    if (value == NULL)
        return;
    gw_bytes_printf(out, ",\"%s\":", name);
    gw_json_quote(out, gw_view_text(value));
}

static int authority_append(struct gw_bytes *out, const struct gw_kube_config *config)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};
    struct gw_view pem = config->ca_pem;

    if (config->ca_file != NULL) {
        int fault = kube_file_read(config->ca_file, &text);

        if (fault < 0)
            return GW_RAISE(fault);
        pem = gw_bytes_view(&text);
    }
    if (pem.size == 0)
        return 0;
    gw_bytes_append_text(out, ",\"certificate-authority-data\":\"");
    gw_base64_encode(out, pem);
    gw_bytes_append_char(out, '"');
    return 0;
}

static int cluster_append(struct gw_bytes *out, const struct gw_kube_config *config)
{
    gw_bytes_append_text(out, ",\"cluster\":{\"server\":");
    gw_json_quote(out, gw_view_text(config->server));
    member_append(out, "tls-server-name", config->server_name);
    member_append(out, "proxy-url", config->proxy);
    if (config->insecure)
        gw_bytes_append_text(out, ",\"insecure-skip-tls-verify\":true");
    GW_TRY(authority_append(out, config));
    if (config->exec->cluster_config != NULL)
        gw_bytes_printf(out, ",\"config\":%s", config->exec->cluster_config);
    gw_bytes_append_char(out, '}');
    return 0;
}

int kube_exec_info(const struct gw_kube_config *config, struct gw_bytes *out)
{
    gw_bytes_printf(out, "{\"apiVersion\":\"%s\",\"kind\":\"ExecCredential\",\"spec\":{\"interactive\":false",
                    config->exec->api_version);
    if (config->exec->wants_cluster)
        GW_TRY(cluster_append(out, config));
    gw_bytes_append_text(out, "}}");
    return out->failed ? GW_RAISE(-ENOMEM) : 0;
}

int kube_exec_run(struct gw_child **ret_child, struct gw_loop *loop, const struct gw_kube_config *config,
                  void (*ended)(void *user, const struct gw_child_end *end), void *user,
                  struct gw_reason *reason)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes info = {0};
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    const struct gw_kube_exec *exec = config->exec;
    const char **lines;
    size_t count = 0;
    int fault;

    while (exec->environment[count] != NULL)
        count++;
    lines = gw_arena_alloc(&arena, (count + 2) * sizeof(*lines));
    if (lines == NULL)
        return GW_RAISE(-ENOMEM);
    memcpy(lines, exec->environment, count * sizeof(*lines));
    gw_bytes_append_text(&info, "KUBERNETES_EXEC_INFO=");
    GW_TRY(kube_exec_info(config, &info));
    lines[count] = gw_bytes_text(&info);
    fault = gw_child_open(ret_child, loop,
                          &(struct gw_child_options){.command = exec->command,
                                                     .arguments = exec->arguments,
                                                     .environment = lines,
                                                     .timeout_ms = KUBE_EXEC_TIMEOUT_MS,
                                                     .output_max = KUBE_EXEC_OUTPUT_MAX},
                          ended, user);
    if (fault < 0)
        return GW_REFUSE(fault, reason, "%s: the program %s cannot be started: %s%s%s", config->origin,
                         exec->command, strerrordesc_np(-fault), exec->install_hint != NULL ? "; " : "",
                         exec->install_hint != NULL ? exec->install_hint : "");
    return 0;
}

/* ---- what it says ---- */

void kube_exec_done(struct kube_exec_credential *credential)
{
    gw_bytes_done(&credential->token);
    gw_bytes_done(&credential->certificate);
    gw_bytes_done(&credential->key);
    *credential = (struct kube_exec_credential){0};
}

/* The words are about the answer, never of it. */
static int answer_refuse(const struct gw_kube_exec *exec, struct gw_reason *reason, const char *words)
{
    return GW_REFUSE(-EINVAL, reason, "what the program %s prints is no ExecCredential that can be used: %s",
                     exec->command, words);
}

static int member_read(const struct gw_kube_exec *exec, const struct gw_node *status, const char *name,
                       struct gw_bytes *ret_text, struct gw_reason *reason)
{
    const struct gw_node *node = gw_node_get(status, name);

    if (node == NULL || node->kind == GW_NODE_NULL)
        return 0;
    if (node->kind != GW_NODE_TEXT)
        return answer_refuse(exec, reason, "a member of status is not text");
    gw_bytes_append(ret_text, node->text, node->text_size);
    return ret_text->failed ? GW_RAISE(-ENOMEM) : 0;
}

static int expiry_read(const struct gw_kube_exec *exec, const struct gw_node *status, int64_t *ret_ns,
                       struct gw_reason *reason)
{
    const char *text = gw_node_text(gw_node_get(status, "expirationTimestamp"), NULL);

    *ret_ns = INT64_MAX;
    if (text != NULL && !gw_time_parse(gw_view_text(text), ret_ns))
        return answer_refuse(exec, reason,
                             "status.expirationTimestamp is not a time such as 2026-03-01T08:30:00Z");
    return 0;
}

static int credential_check(const struct gw_kube_exec *exec, const struct kube_exec_credential *credential,
                            struct gw_reason *reason)
{
    struct gw_view certificate = gw_bytes_view(&credential->certificate),
                   key = gw_bytes_view(&credential->key);

    if ((certificate.size > 0) != (key.size > 0))
        return answer_refuse(exec, reason,
                             "of status.clientCertificateData and clientKeyData there is only one");
    if (credential->token.size == 0 && key.size == 0)
        return answer_refuse(exec, reason, "status holds neither a token nor a client certificate");
    if (credential->token.size > 0 && !kube_token_legal(gw_bytes_view(&credential->token)))
        return answer_refuse(exec, reason, "status.token holds white space or a control character");
    if (key.size > 0 && !gw_pem_belong(certificate, key))
        return answer_refuse(
            exec, reason,
            "status.clientCertificateData and clientKeyData are not a PEM certificate and its key");
    return 0;
}

static int credential_read(const struct gw_kube_exec *exec, const struct gw_node *root,
                           struct kube_exec_credential *credential, struct gw_reason *reason)
{
    const struct gw_node *status = gw_node_get(root, "status");

    if (strcmp(gw_node_text(gw_node_get(root, "kind"), ""), "ExecCredential") != 0)
        return answer_refuse(exec, reason, "its kind is another");
    if (strcmp(gw_node_text(gw_node_get(root, "apiVersion"), ""), exec->api_version) != 0)
        return GW_REFUSE(
            -EINVAL, reason,
            "the program %s answers in another apiVersion than %s, which the kubeconfig asks for",
            exec->command, exec->api_version);
    if (status == NULL || status->kind != GW_NODE_MAP)
        return answer_refuse(exec, reason, "it has no status");
    GW_TRY(member_read(exec, status, "token", &credential->token, reason));
    GW_TRY(member_read(exec, status, "clientCertificateData", &credential->certificate, reason));
    GW_TRY(member_read(exec, status, "clientKeyData", &credential->key, reason));
    GW_TRY(expiry_read(exec, status, &credential->expires_ns, reason));
    return credential_check(exec, credential, reason);
}

int kube_exec_parse(const struct gw_kube_exec *exec, struct gw_view output,
                    struct kube_exec_credential *ret_credential, struct gw_reason *reason)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    GW_AUTO(kube_exec_done) struct kube_exec_credential credential = {0};
    const struct gw_node *root = NULL;
    int read = gw_json_read(&arena, output, &root, &problems);

    if (read < 0)
        return GW_RAISE(read);
    if (read > 0)
        return answer_refuse(exec, reason, output.size == 0 ? "there is nothing" : "it is not JSON");
    GW_TRY(credential_read(exec, root, &credential, reason));
    *ret_credential = credential;
    credential = (struct kube_exec_credential){0};
    return 0;
}

/* ---- how it failed ---- */

static void end_words(const struct gw_child_end *end, char *out, size_t size)
{
    char duration[GW_DURATION_MAX];

    if (end->fault == -ETIMEDOUT)
        snprintf(out, size, "was not through within %s",
                 gw_duration_format(duration, KUBE_EXEC_TIMEOUT_MS * GW_NS_PER_MS));
    else if (end->fault != 0)
        snprintf(out, size, "failed: %s",
                 end->fault == -EFBIG ? "it printed over 1 MiB" : strerrordesc_np(-end->fault));
    else if (end->signal != 0)
        snprintf(out, size, "was ended by signal %d", end->signal);
    else
        snprintf(out, size, "ended with code %d", end->code);
}

int kube_exec_outcome(const struct gw_kube_config *config, const struct gw_child_end *end,
                      struct kube_exec_credential *ret_credential, struct gw_reason *reason)
{
    const struct gw_kube_exec *exec = config->exec;
    const char *hint = exec->install_hint;
    char how[64], errors[200];

    if (end->fault == 0 && end->signal == 0 && end->code == 0)
        return kube_exec_parse(exec, end->output, ret_credential, reason);
    end_words(end, how, sizeof(how));
    kube_line(errors, sizeof(errors), gw_utf8_valid(end->errors) ? end->errors : gw_view(NULL, 0));
    return GW_REFUSE(end->fault != 0 ? end->fault : -EACCES, reason, "%s: the program %s %s%s%s%s%s",
                     config->origin, exec->command, how, *errors != '\0' ? ": " : "", errors,
                     hint != NULL ? "; " : "", hint != NULL ? hint : "");
}
