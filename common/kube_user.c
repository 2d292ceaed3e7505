/* The user of a kubeconfig: certificates, tokens, passwords, programs that print credentials, and in whose name. */
#include "common/json.h"
#include "common/kube_config_parts.h"
#include "common/pem.h"

#include <ctype.h>

#define KUBE_EXEC_EXTENSION "client.authentication.k8s.io/exec"

static const char *const user_fields[] = {"client-certificate",
                                          "client-certificate-data",
                                          "client-key",
                                          "client-key-data",
                                          "token",
                                          "tokenFile",
                                          "as",
                                          "as-uid",
                                          "as-groups",
                                          "as-user-extra",
                                          "username",
                                          "password",
                                          "auth-provider",
                                          "exec",
                                          "extensions",
                                          NULL};

/* ---- certificate ---- */

static int pem_refuse(const struct kube_entry *user, const struct kube_pem *pem, const char *words)
{
    return kube_refuse(user, gw_node_get(user->node, pem->field), pem->field, "%s%s%s",
                       pem->file != NULL ? pem->file : "", pem->file != NULL ? " " : "", words);
}

static int user_certificate(const struct kube_entry *user)
{
    struct gw_kube_config *config = user->reader->config;
    struct kube_pem certificate, key;

    GW_TRY(kube_pem(user, "client-certificate", &certificate));
    GW_TRY(kube_pem(user, "client-key", &key));
    if (certificate.field == NULL && key.field == NULL)
        return 0;
    if (key.field == NULL)
        return pem_refuse(user, &certificate, "is there without a client-key or client-key-data");
    if (certificate.field == NULL)
        return pem_refuse(user, &key, "is there without a client-certificate or client-certificate-data");
    if (!gw_pem_has_certificate(certificate.contents))
        return pem_refuse(user, &certificate, "holds no PEM certificate (\"-----BEGIN CERTIFICATE-----\")");
    if (!gw_pem_has_key(key.contents))
        return pem_refuse(user, &key, "holds no PEM private key without a password");
    if (!gw_pem_belong(certificate.contents, key.contents))
        return pem_refuse(user, &key, "is not the key of the client certificate");
    config->certificate_file = certificate.file;
    config->key_file = key.file;
    config->certificate_pem = certificate.file == NULL ? certificate.contents : gw_view(NULL, 0);
    config->key_pem = key.file == NULL ? key.contents : gw_view(NULL, 0);
    return 0;
}

/* ---- tokens and passwords ---- */

static int token_check(const struct kube_entry *user, const char *token)
{
    for (; token != NULL && *token != '\0'; token++)
        if ((unsigned char)*token <= ' ' || *token == 0x7f)
            return kube_refuse(user, gw_node_get(user->node, "token"), "token",
                               "holds white space or a control character");
    return 0;
}

static int user_token(const struct kube_entry *user)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes token = {0};
    struct gw_kube_config *config = user->reader->config;
    struct gw_reason words = {""};
    int fault;

    GW_TRY(kube_text(user, "token", &config->token));
    GW_TRY(token_check(user, config->token));
    GW_TRY(kube_path(user, "tokenFile", &config->token_file));
    if (config->token_file == NULL)
        return 0;
    config->token = NULL;
    fault = gw_kube_token_read(config->token_file, &token, &words);
    if (fault < 0) {
        (void)!kube_refuse(user, gw_node_get(user->node, "tokenFile"), "tokenFile", "%s", words.text);
        return fault;
    }
    return 0;
}

static int user_password(const struct kube_entry *user)
{
    struct gw_kube_config *config = user->reader->config;
    bool token = config->token != NULL || config->token_file != NULL;

    GW_TRY(kube_text(user, "username", &config->username));
    GW_TRY(kube_text(user, "password", &config->password));
    if (config->username == NULL && config->password == NULL)
        return 0;
    if (config->username == NULL)
        return kube_refuse(user, gw_node_get(user->node, "password"), "password",
                           "is there without a username");
    if (token)
        return kube_refuse(user, gw_node_get(user->node, "username"), "username",
                           "is there together with a token: only one of the two can be used");
    return 0;
}

/* Taken out of kubectl with release 1.26; a program took its place. */
static int user_provider(const struct kube_entry *user)
{
    static const char *const programs[][2] = {
        {"gcp", " (gke-gcloud-auth-plugin)"}, {"azure", " (kubelogin)"}, {"oidc", " (kubectl oidc-login)"}};
    const struct gw_node *node = gw_node_get(user->node, "auth-provider");
    const char *name, *program = "";

    if (node == NULL || node->kind == GW_NODE_NULL)
        return 0;
    name = gw_node_text(gw_node_get(node, "name"), "");
    for (size_t i = 0; i < GW_COUNT_OF(programs); i++)
        if (strcmp(programs[i][0], name) == 0)
            program = programs[i][1];
    return kube_refuse(
        user, node, "auth-provider",
        "\"%s\" is of the past (Kubernetes 1.26 ended it): use exec, with the program that took its place%s",
        name, program);
}

/* ---- impersonation ---- */

static bool header_byte(char byte)
{
    return isalnum((unsigned char)byte) || (byte != '\0' && strchr("!#$&'*+-.^_`|~", byte) != NULL);
}

static void header_name_append(struct gw_bytes *out, const char *name)
{
    for (; *name != '\0'; name++) {
        if (header_byte(*name))
            gw_bytes_append_char(out, *name);
        else
            gw_bytes_printf(out, "%%%02X", (unsigned char)*name);
    }
}

struct lines {
    const struct kube_entry *user;
    const char **items;
    size_t count, max;
};

static int line_add(struct lines *lines, const char *field, const char *name, const char *extra,
                    const char *value)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes line = {0};

    for (const char *at = value; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            return kube_refuse(lines->user, gw_node_get(lines->user->node, field), field,
                               "holds a control character");
    gw_bytes_append_text(&line, name);
    header_name_append(&line, extra);
    gw_bytes_printf(&line, ": %s", value);
    if (line.failed)
        return GW_RAISE(-ENOMEM);
    assert(lines->count < lines->max);
    lines->items[lines->count] = gw_arena_copy(&lines->user->reader->config->arena, gw_bytes_view(&line));
    return lines->items[lines->count++] == NULL ? GW_RAISE(-ENOMEM) : 0;
}

static int extra_add(struct lines *lines, const struct kube_entry *extra)
{
    for (const struct gw_node *child = extra->node == NULL ? NULL : extra->node->first; child != NULL;
         child = child->next) {
        const char *const *values = NULL;

        GW_TRY(kube_texts(extra, child->key, &values));
        for (; values != NULL && *values != NULL; values++)
            GW_TRY(line_add(lines, "as-user-extra", "Impersonate-Extra-", child->key, *values));
    }
    return 0;
}

static int lines_open(struct lines *lines, const char *const *groups, const struct kube_entry *extra)
{
    lines->max = 3; /* the user, the uid, the end */
    for (; groups != NULL && *groups != NULL; groups++)
        lines->max++;
    for (const struct gw_node *child = extra->node == NULL ? NULL : extra->node->first; child != NULL;
         child = child->next)
        lines->max += child->count;
    lines->items = gw_arena_alloc(&lines->user->reader->config->arena, lines->max * sizeof(*lines->items));
    return lines->items == NULL ? GW_RAISE(-ENOMEM) : 0;
}

static int user_as(const struct kube_entry *user)
{
    struct lines lines = {.user = user};
    struct kube_entry extra;
    const char *name = NULL, *uid = NULL;
    const char *const *groups = NULL;

    GW_TRY(kube_text(user, "as", &name));
    GW_TRY(kube_text(user, "as-uid", &uid));
    GW_TRY(kube_texts(user, "as-groups", &groups));
    GW_TRY(kube_inner(user, "as-user-extra", &extra));
    if (name == NULL && (uid != NULL || (groups != NULL && *groups != NULL) || extra.node != NULL))
        return kube_refuse(user, NULL,
                           uid != NULL          ? "as-uid"
                           : extra.node != NULL ? "as-user-extra"
                                                : "as-groups",
                           "is there without `as`, the name of the user");
    if (name == NULL)
        return 0;
    GW_TRY(lines_open(&lines, groups, &extra));
    GW_TRY(line_add(&lines, "as", "Impersonate-User", "", name));
    if (uid != NULL)
        GW_TRY(line_add(&lines, "as-uid", "Impersonate-Uid", "", uid));
    for (; groups != NULL && *groups != NULL; groups++)
        GW_TRY(line_add(&lines, "as-groups", "Impersonate-Group", "", *groups));
    GW_TRY(extra_add(&lines, &extra));
    user->reader->config->as = lines.items;
    return 0;
}

/* ---- exec ---- */

static const char *const exec_fields[] = {
    "command", "args", "env", "apiVersion", "installHint", "provideClusterInfo", "interactiveMode", NULL};

static int exec_command(const struct kube_entry *entry, struct gw_kube_exec *exec)
{
    GW_TRY(kube_text(entry, "command", &exec->command));
    if (exec->command == NULL)
        return kube_refuse(entry, NULL, "command", "is missing: the program that prints the credentials");
    if (*exec->command == '/' || strchr(exec->command, '/') == NULL)
        return 0;
    return kube_path(entry, "command", &exec->command);
}

static int exec_version(const struct kube_entry *entry, struct gw_kube_exec *exec)
{
    static const char *const versions[] = {"client.authentication.k8s.io/v1",
                                           "client.authentication.k8s.io/v1beta1"};
    const struct gw_node *node = gw_node_get(entry->node, "apiVersion");

    GW_TRY(kube_text(entry, "apiVersion", &exec->api_version));
    if (exec->api_version == NULL)
        return kube_refuse(entry, node, "apiVersion", "is missing: %s or %s", versions[0], versions[1]);
    for (size_t i = 0; i < GW_COUNT_OF(versions); i++)
        if (strcmp(exec->api_version, versions[i]) == 0)
            return 0;
    return kube_refuse(entry, node, "apiVersion", "%s is not known here: it must be %s or %s",
                       exec->api_version, versions[0], versions[1]);
}

static int exec_mode(const struct kube_entry *entry, const struct gw_kube_exec *exec)
{
    const struct gw_node *node = gw_node_get(entry->node, "interactiveMode");
    const char *mode = NULL;

    GW_TRY(kube_text(entry, "interactiveMode", &mode));
    if (mode == NULL && strcmp(exec->api_version, "client.authentication.k8s.io/v1") == 0)
        return kube_refuse(entry, node, "interactiveMode", "is missing: Never or IfAvailable");
    if (mode == NULL || strcmp(mode, "Never") == 0 || strcmp(mode, "IfAvailable") == 0)
        return 0;
    if (strcmp(mode, "Always") == 0)
        return kube_refuse(
            entry, node, "interactiveMode",
            "is Always: this program has no terminal to ask at; use credentials that need none, or a "
            "plugin that can do with Never");
    return kube_refuse(entry, node, "interactiveMode", "\"%s\" is none of Never, IfAvailable, Always", mode);
}

static int variable_read(const struct kube_entry *env, const struct gw_node *item, const char **ret_line)
{
    struct kube_entry entry = *env;
    const char *name = NULL, *value = "";

    entry.node = item;
    entry.line = item->line;
    if (item->kind != GW_NODE_MAP)
        return kube_refuse(&entry, NULL, "env", "an entry is %s, and must be {name, value}",
                           gw_node_kind_name(item->kind));
    GW_TRY(kube_text(&entry, "name", &name));
    GW_TRY(kube_text(&entry, "value", &value));
    if (name == NULL || strchr(name, '=') != NULL)
        return kube_refuse(&entry, NULL, "env", "an entry has no name that a variable can have");
    *ret_line = gw_arena_printf(&env->reader->config->arena, "%s=%s", name, value);
    return *ret_line == NULL ? GW_RAISE(-ENOMEM) : 0;
}

static int exec_environment(const struct kube_entry *entry, struct gw_kube_exec *exec)
{
    const struct gw_node *node = gw_node_get(entry->node, "env");
    const char **lines;
    size_t count = 0;

    if (node != NULL && node->kind != GW_NODE_LIST && node->kind != GW_NODE_NULL)
        return kube_refuse(entry, node, "env", "is %s, and must be a list of {name, value}",
                           gw_node_kind_name(node->kind));
    lines = gw_arena_alloc(&entry->reader->config->arena,
                           ((node == NULL ? 0 : node->count) + 1) * sizeof(*lines));
    if (lines == NULL)
        return GW_RAISE(-ENOMEM);
    for (const struct gw_node *item = node == NULL ? NULL : node->first; item != NULL; item = item->next)
        GW_TRY(variable_read(entry, item, &lines[count++]));
    exec->environment = lines;
    return 0;
}

/* What the cluster has to say to the program: its extension of that name. */
static int exec_cluster_config(const struct kube_entry *cluster, struct gw_kube_exec *exec)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes json = {0};
    const struct gw_node *extensions = gw_node_get(cluster->node, "extensions");

    if (extensions == NULL || extensions->kind != GW_NODE_LIST)
        return 0;
    for (const struct gw_node *item = extensions->first; item != NULL; item = item->next) {
        if (strcmp(gw_node_text(gw_node_get(item, "name"), ""), KUBE_EXEC_EXTENSION) != 0)
            continue;
        gw_json_write_node(&json, gw_node_get(item, "extension"));
        exec->cluster_config =
            json.failed ? NULL : gw_arena_copy(&cluster->reader->config->arena, gw_bytes_view(&json));
        return exec->cluster_config == NULL ? GW_RAISE(-ENOMEM) : 0;
    }
    return 0;
}

static int user_exec(const struct kube_entry *user, const struct kube_entry *cluster)
{
    struct gw_kube_config *config = user->reader->config;
    static const char *const nothing[] = {NULL};
    struct kube_entry entry;
    struct gw_kube_exec *exec;

    GW_TRY(kube_inner(user, "exec", &entry));
    if (entry.node == NULL)
        return 0;
    exec = gw_arena_alloc(&config->arena, sizeof(*exec));
    if (exec == NULL)
        return GW_RAISE(-ENOMEM);
    exec->arguments = nothing;
    GW_TRY(kube_check_names(&entry, exec_fields));
    GW_TRY(exec_command(&entry, exec));
    GW_TRY(exec_version(&entry, exec));
    GW_TRY(exec_mode(&entry, exec));
    GW_TRY(kube_texts(&entry, "args", &exec->arguments));
    GW_TRY(exec_environment(&entry, exec));
    GW_TRY(kube_text(&entry, "installHint", &exec->install_hint));
    GW_TRY(kube_bool(&entry, "provideClusterInfo", &exec->wants_cluster));
    GW_TRY(exec_cluster_config(cluster, exec));
    /* As kubectl does it: who has a token or a password already asks no program. */
    if (config->token == NULL && config->token_file == NULL && config->username == NULL)
        config->exec = exec;
    return 0;
}

int kube_user_read(const struct kube_entry *user, const struct kube_entry *cluster)
{
    GW_TRY(kube_check_names(user, user_fields));
    GW_TRY(user_provider(user));
    GW_TRY(user_certificate(user));
    GW_TRY(user_token(user));
    GW_TRY(user_password(user));
    GW_TRY(user_as(user));
    return user_exec(user, cluster);
}
