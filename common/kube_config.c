/* Kubeconfig files and service accounts: which files there are, which context counts, and its cluster. */
#include "common/kube_config_parts.h"
#include "common/pem.h"
#include "common/yaml.h"

#include <libgen.h>
#include <stdlib.h>
#include <strings.h>

#define KUBE_SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

enum { KUBE_ENTRY_ABSENT = 1 };

void gw_kube_config_done(struct gw_kube_config *config)
{
    gw_arena_done(&config->arena);
    *config = (struct gw_kube_config){0};
}

/* ---- files ---- */

static const char *const file_fields[] = {"apiVersion", "kind",        "clusters",        "users", "contexts",
                                          "extensions", "preferences", "current-context", NULL};

static int file_check(struct kube_reader *reader, const struct kube_file *file)
{
    const struct kube_entry top = {
        .reader = reader, .file = file, .place = "", .line = 1, .node = file->root};
    const char *kind = "Config", *version = "v1";

    if (file->root->kind != GW_NODE_MAP)
        return kube_refuse(&top, NULL, NULL, "is %s, and must be a mapping with clusters, users and contexts",
                           gw_node_kind_name(file->root->kind));
    GW_TRY(kube_check_names(&top, file_fields));
    GW_TRY(kube_text(&top, "kind", &kind));
    GW_TRY(kube_text(&top, "apiVersion", &version));
    if (strcmp(kind, "Config") != 0)
        return kube_refuse(&top, gw_node_get(file->root, "kind"), "kind",
                           "is %s, and that of a kubeconfig is Config", kind);
    if (strcmp(version, "v1") != 0)
        return kube_refuse(&top, gw_node_get(file->root, "apiVersion"), "apiVersion",
                           "is %s, and that of a kubeconfig is v1", version);
    return 0;
}

static int file_parse(struct kube_reader *reader, struct kube_file *file, struct gw_view text)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    struct gw_reason words;
    int read = gw_yaml_read(&reader->config->arena, text, &file->root, &problems);

    if (read < 0)
        return GW_RAISE(read);
    if (read == 0)
        return 0;
    gw_problems_reason(&problems, &words);
    return GW_REFUSE(-EINVAL, reader->reason, "kubeconfig %s: %s", file->path, words.text);
}

/* Verdict KUBE_ENTRY_ABSENT: there is no such file. */
static int file_open(struct kube_reader *reader, const char *path)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};
    struct kube_file *file = &reader->files[reader->files_count];
    char *copy = gw_arena_copy(&reader->config->arena, gw_view_text(path));
    int fault;

    file->path = gw_arena_copy(&reader->config->arena, gw_view_text(path));
    if (copy == NULL || file->path == NULL)
        return GW_RAISE(-ENOMEM);
    file->directory = dirname(copy);
    fault = kube_file_read(path, &text);
    if (fault == -ENOENT || fault == -ENOTDIR)
        return KUBE_ENTRY_ABSENT;
    if (fault < 0)
        return GW_REFUSE(fault, reader->reason, "kubeconfig %s: %s", path, strerrordesc_np(-fault));
    GW_TRY(file_parse(reader, file, gw_bytes_view(&text)));
    if (file->root->kind == GW_NODE_NULL)
        return 0; /* an empty file says nothing */
    GW_TRY(file_check(reader, file));
    reader->files_count++;
    return 0;
}

/* As kubectl does it: of a list of files, those that are not there are passed over. */
static int files_open(struct kube_reader *reader)
{
    const char *at = reader->paths;
    bool any = false;

    for (size_t size = 0; *at != '\0'; at += size + (at[size] == ':')) {
        char *path;

        size = strcspn(at, ":");
        if (size == 0)
            continue;
        if (reader->files_count == KUBE_FILES_MAX)
            return GW_REFUSE(-EINVAL, reader->reason, "kubeconfig %s: more than %d files", reader->paths,
                             KUBE_FILES_MAX);
        path = gw_arena_copy(&reader->config->arena, gw_view(at, size));
        if (path == NULL)
            return GW_RAISE(-ENOMEM);
        int opened = file_open(reader, path);
        if (opened < 0)
            return GW_RAISE(opened);
        any = any || opened == 0;
    }
    if (!any)
        return GW_REFUSE(-ENOENT, reader->reason, "kubeconfig %s: there is no such file", reader->paths);
    return 0;
}

/* ---- entries ---- */

static int list_of(struct kube_reader *reader, const struct kube_file *file, const char *list,
                   const struct gw_node **ret_list)
{
    const struct kube_entry top = {
        .reader = reader, .file = file, .place = "", .line = 1, .node = file->root};
    const struct gw_node *node = gw_node_get(file->root, list);

    *ret_list = node == NULL || node->kind == GW_NODE_NULL ? NULL : node;
    if (*ret_list != NULL && node->kind != GW_NODE_LIST)
        return kube_refuse(&top, node, list, "is %s, and must be a list", gw_node_kind_name(node->kind));
    return 0;
}

static int name_of(struct kube_reader *reader, const struct kube_file *file, const char *list,
                   const struct gw_node *item, const char **ret_name)
{
    const struct kube_entry entry = {reader, file, list, item->line, item};

    if (item->kind != GW_NODE_MAP)
        return kube_refuse(&entry, NULL, NULL, "an entry is %s, and must be a mapping with a name",
                           gw_node_kind_name(item->kind));
    *ret_name = NULL;
    GW_TRY(kube_text(&entry, "name", ret_name));
    if (*ret_name == NULL)
        return kube_refuse(&entry, NULL, NULL, "an entry has no name");
    return 0;
}

static int file_find(struct kube_reader *reader, const struct kube_file *file, const char *list,
                     const char *name, const struct gw_node **ret_item)
{
    const struct gw_node *node = NULL, *found = NULL;
    const char *other;

    GW_TRY(list_of(reader, file, list, &node));
    for (const struct gw_node *item = node == NULL ? NULL : node->first; item != NULL; item = item->next) {
        GW_TRY(name_of(reader, file, list, item, &other));
        if (strcmp(other, name) != 0)
            continue;
        if (found != NULL) {
            const struct kube_entry entry = {reader, file, list, item->line, item};

            return kube_refuse(&entry, NULL, NULL, "\"%s\" is there twice, in line %d too", name,
                               found->line);
        }
        found = item;
    }
    *ret_item = found;
    return found == NULL ? KUBE_ENTRY_ABSENT : 0;
}

/* The first file that has it says all of it. Verdict KUBE_ENTRY_ABSENT. */
static int entry_find(struct kube_reader *reader, const char *list, const char *what, const char *name,
                      struct kube_entry *ret_entry)
{
    for (size_t i = 0; i < reader->files_count; i++) {
        struct kube_entry entry = {.reader = reader, .file = &reader->files[i]};
        const struct gw_node *item = NULL;
        int found = file_find(reader, entry.file, list, name, &item);

        if (found == KUBE_ENTRY_ABSENT)
            continue;
        GW_TRY(found);
        entry.node = item;
        entry.line = item->line;
        entry.place = "";
        GW_TRY(kube_inner(&entry, what, ret_entry));
        ret_entry->place = gw_arena_printf(&reader->config->arena, "%s \"%s\"", what, name);
        return ret_entry->place == NULL ? GW_RAISE(-ENOMEM) : 0;
    }
    return KUBE_ENTRY_ABSENT;
}

/* ", there are a, b", or ", there is none": what could have been meant. */
static void names_append(struct kube_reader *reader, const char *list, struct gw_bytes *out)
{
    bool any = false;

    for (size_t i = 0; i < reader->files_count; i++) {
        const struct gw_node *node = gw_node_get(reader->files[i].root, list);

        if (node == NULL || node->kind != GW_NODE_LIST)
            continue;
        for (const struct gw_node *item = node->first; item != NULL; item = item->next) {
            const char *name = gw_node_text(gw_node_get(item, "name"), NULL);

            if (name == NULL || out->size > 256)
                continue;
            gw_bytes_printf(out, "%s%s", any ? ", " : "; there are ", name);
            any = true;
        }
    }
    if (!any)
        gw_bytes_append_text(out, "; there is none");
}

/* ---- the cluster ---- */

static const char *const cluster_fields[] = {"server",
                                             "certificate-authority",
                                             "certificate-authority-data",
                                             "insecure-skip-tls-verify",
                                             "tls-server-name",
                                             "proxy-url",
                                             "disable-compression",
                                             "extensions",
                                             NULL};

static int cluster_authority(const struct kube_entry *cluster)
{
    struct gw_kube_config *config = cluster->reader->config;
    struct kube_pem pem;

    GW_TRY(kube_bool(cluster, "insecure-skip-tls-verify", &config->insecure));
    GW_TRY(kube_pem(cluster, "certificate-authority", &pem));
    if (pem.field == NULL)
        return 0;
    if (config->insecure)
        return kube_refuse(cluster, gw_node_get(cluster->node, pem.field), pem.field,
                           "cannot be together with insecure-skip-tls-verify: true");
    if (!gw_pem_has_certificate(pem.contents))
        return kube_refuse(cluster, gw_node_get(cluster->node, pem.field), pem.field,
                           "%s%sholds no PEM certificate (\"-----BEGIN CERTIFICATE-----\")",
                           pem.file != NULL ? pem.file : "", pem.file != NULL ? " " : "");
    config->ca_file = pem.file;
    if (pem.file == NULL)
        config->ca_pem = pem.contents;
    return 0;
}

static bool starts_with_one(const char *text, const char *const *prefixes)
{
    for (; *prefixes != NULL; prefixes++)
        if (strncasecmp(text, *prefixes, strlen(*prefixes)) == 0)
            return true;
    return false;
}

/* kubectl takes "host:port" too: https when anything is said of TLS. */
static int cluster_server(const struct kube_entry *cluster)
{
    static const char *const schemes[] = {"https://", "http://", NULL};
    struct gw_kube_config *config = cluster->reader->config;
    const struct gw_node *node = gw_node_get(cluster->node, "server");
    const char *server = NULL;
    bool tls = config->insecure || config->ca_file != NULL || config->ca_pem.size > 0;
    char *copy;

    GW_TRY(kube_text(cluster, "server", &server));
    if (server == NULL)
        return kube_refuse(cluster, node, "server",
                           "is missing: the URL of the API server, such as https://host:6443");
    if (starts_with_one(server, schemes))
        copy = gw_arena_copy(&config->arena, gw_view_text(server));
    else if (strstr(server, "://") == NULL)
        copy = gw_arena_printf(&config->arena, "%s://%s", tls ? "https" : "http", server);
    else
        return kube_refuse(cluster, node, "server", "\"%s\" is no URL of the form https://host:6443", server);
    if (copy == NULL)
        return GW_RAISE(-ENOMEM);
    for (size_t size = strlen(copy); size > 0 && copy[size - 1] == '/';)
        copy[--size] = '\0';
    config->server = copy;
    return 0;
}

static int cluster_proxy(const struct kube_entry *cluster)
{
    static const char *const schemes[] = {"http://", "https://", "socks5://", NULL};
    struct gw_kube_config *config = cluster->reader->config;

    GW_TRY(kube_text(cluster, "proxy-url", &config->proxy));
    if (config->proxy != NULL && !starts_with_one(config->proxy, schemes))
        return kube_refuse(cluster, gw_node_get(cluster->node, "proxy-url"), "proxy-url",
                           "must begin with http://, https:// or socks5://");
    return 0;
}

static int cluster_read(const struct kube_entry *cluster)
{
    struct gw_kube_config *config = cluster->reader->config;
    bool uncompressed = false; /* we never ask for compression: only its type is looked at */

    GW_TRY(kube_check_names(cluster, cluster_fields));
    GW_TRY(cluster_authority(cluster));
    GW_TRY(cluster_server(cluster));
    GW_TRY(kube_text(cluster, "tls-server-name", &config->server_name));
    GW_TRY(kube_bool(cluster, "disable-compression", &uncompressed));
    return cluster_proxy(cluster);
}

/* ---- the context ---- */

static const char *const context_fields[] = {"cluster", "user", "namespace", "extensions", NULL};

static int context_choose(struct kube_reader *reader, const char **context)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes names = {0};

    for (size_t i = 0; *context == NULL && i < reader->files_count; i++) {
        const struct kube_entry top = {reader, &reader->files[i], "", 1, reader->files[i].root};

        GW_TRY(kube_text(&top, "current-context", context));
    }
    if (*context != NULL)
        return 0;
    names_append(reader, "contexts", &names);
    return GW_REFUSE(-EINVAL, reader->reason,
                     "kubeconfig %s: no current-context is set, and no context is given%s", reader->paths,
                     gw_bytes_text(&names));
}

static int context_find(struct kube_reader *reader, const char *name, struct kube_entry *ret_context)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes names = {0};
    int found = entry_find(reader, "contexts", "context", name, ret_context);

    if (found != KUBE_ENTRY_ABSENT)
        return found;
    names_append(reader, "contexts", &names);
    return GW_REFUSE(-EINVAL, reader->reason, "kubeconfig %s: there is no context \"%s\"%s", reader->paths,
                     name, gw_bytes_text(&names));
}

/* What a context refers to, by its field of the same name. */
static int context_follow(const struct kube_entry *context, const char *list, const char *what,
                          struct kube_entry *ret_entry)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes names = {0};
    const struct gw_node *node = gw_node_get(context->node, what);
    const char *name = NULL;
    int found;

    GW_TRY(kube_text(context, what, &name));
    if (name == NULL)
        return kube_refuse(context, node, what, "is missing");
    found = entry_find(context->reader, list, what, name, ret_entry);
    if (found != KUBE_ENTRY_ABSENT)
        return found;
    names_append(context->reader, list, &names);
    return kube_refuse(context, node, what, "there is no %s \"%s\" in %s%s", what, name, list,
                       gw_bytes_text(&names));
}

static int reader_run(struct kube_reader *reader, const char *name)
{
    struct gw_kube_config *config = reader->config;
    struct kube_entry context, cluster, user;

    GW_TRY(files_open(reader));
    GW_TRY(context_choose(reader, &name));
    GW_TRY(context_find(reader, name, &context));
    GW_TRY(kube_check_names(&context, context_fields));
    config->origin = gw_arena_printf(&config->arena, "kubeconfig %s, context %s", reader->paths, name);
    config->namespace_ = "default";
    if (config->origin == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(kube_text(&context, "namespace", &config->namespace_));
    GW_TRY(context_follow(&context, "clusters", "cluster", &cluster));
    GW_TRY(cluster_read(&cluster));
    GW_TRY(context_follow(&context, "users", "user", &user));
    return kube_user_read(&user, &cluster);
}

/* ---- a Pod's service account ---- */

static int pod_namespace(struct gw_kube_config *config, const char *directory)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};
    const char *path = gw_arena_printf(&config->arena, "%s/namespace", directory);
    struct gw_view name;

    config->namespace_ = "default";
    if (path == NULL)
        return GW_RAISE(-ENOMEM);
    if (kube_file_read(path, &text) < 0)
        return 0;
    name = gw_view_trim(gw_bytes_view(&text));
    if (name.size > 0)
        config->namespace_ = gw_arena_copy(&config->arena, name);
    return config->namespace_ == NULL ? GW_RAISE(-ENOMEM) : 0;
}

static int pod_authority(struct gw_kube_config *config, const char *directory, struct gw_reason *reason)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};
    int fault;

    config->ca_file = gw_arena_printf(&config->arena, "%s/ca.crt", directory);
    if (config->ca_file == NULL)
        return GW_RAISE(-ENOMEM);
    fault = kube_file_read(config->ca_file, &text);
    if (fault < 0)
        return GW_REFUSE(fault, reason, "service account: %s: %s", config->ca_file, strerrordesc_np(-fault));
    if (!gw_pem_has_certificate(gw_bytes_view(&text)))
        return GW_REFUSE(-EINVAL, reason, "service account: %s holds no PEM certificate", config->ca_file);
    return 0;
}

static int pod_token(struct gw_kube_config *config, const char *directory, struct gw_reason *reason)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes token = {0};
    struct gw_reason words = {""};
    int fault;

    config->token_file = gw_arena_printf(&config->arena, "%s/token", directory);
    if (config->token_file == NULL)
        return GW_RAISE(-ENOMEM);
    fault = gw_kube_token_read(config->token_file, &token, &words);
    if (fault < 0)
        return GW_REFUSE(fault, reason,
                         "service account: %s (KUBERNETES_SERVICE_HOST is set; does the Pod say "
                         "automountServiceAccountToken: false?)",
                         words.text);
    return 0;
}

static int pod_read(struct gw_kube_config *config, const char *directory, const char *host, const char *port,
                    struct gw_reason *reason)
{
    bool bare = strchr(host, ':') != NULL && *host != '[';

    if (port == NULL || *port == '\0')
        return GW_REFUSE(-EINVAL, reason,
                         "KUBERNETES_SERVICE_HOST is set, and KUBERNETES_SERVICE_PORT is not");
    config->pod = true;
    config->origin = "service account";
    config->server =
        gw_arena_printf(&config->arena, "https://%s%s%s:%s", bare ? "[" : "", host, bare ? "]" : "", port);
    if (config->server == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(pod_token(config, directory, reason));
    GW_TRY(pod_authority(config, directory, reason));
    return pod_namespace(config, directory);
}

int gw_kube_config_read_pod(struct gw_kube_config *ret_config, const char *directory, const char *host,
                            const char *port, struct gw_reason *reason)
{
    GW_AUTO(gw_kube_config_done) struct gw_kube_config config = {0};

    GW_TRY(pod_read(&config, directory, host, port, reason));
    *ret_config = config;
    config = (struct gw_kube_config){0};
    return 0;
}

/* ---- the choice ---- */

static bool is_set(const char *text)
{
    return text != NULL && *text != '\0';
}

static int paths_choose(struct gw_kube_config *config, const char *kubeconfig, const char **ret_paths,
                        struct gw_reason *reason)
{
    const char *home = getenv("HOME");

    if (!is_set(kubeconfig))
        kubeconfig = getenv("KUBECONFIG");
    if (is_set(kubeconfig)) {
        *ret_paths = gw_arena_copy(&config->arena, gw_view_text(kubeconfig));
    } else if (is_set(home)) {
        *ret_paths = gw_arena_printf(&config->arena, "%s/.kube/config", home);
    } else {
        return GW_REFUSE(
            -ENOENT, reason,
            "no way to the API server: this is no Pod (KUBERNETES_SERVICE_HOST is not set), and neither "
            "KUBECONFIG nor HOME leads to a kubeconfig");
    }
    return *ret_paths == NULL ? GW_RAISE(-ENOMEM) : 0;
}

int gw_kube_config_read(struct gw_kube_config *ret_config, const char *kubeconfig, const char *context,
                        struct gw_reason *reason)
{
    GW_AUTO(gw_kube_config_done) struct gw_kube_config config = {0};
    struct kube_reader reader = {.config = &config, .reason = reason};
    const char *host = getenv("KUBERNETES_SERVICE_HOST");

    if (!is_set(kubeconfig) && is_set(host))
        return gw_kube_config_read_pod(ret_config, KUBE_SERVICE_ACCOUNT, host,
                                       getenv("KUBERNETES_SERVICE_PORT"), reason);
    GW_TRY(paths_choose(&config, kubeconfig, &reader.paths, reason));
    GW_TRY(reader_run(&reader, is_set(context) ? context : NULL));
    *ret_config = config;
    config = (struct gw_kube_config){0};
    return 0;
}
