/* How to reach an API server and who we are there: what kubeconfig files or a Pod's service account say. Reads files, and
 * connects to nothing.
 *
 * Files are merged as kubectl does it: of several, the first to name a cluster, a user, a context or the current context wins
 * with all that it says there. Relative paths are relative to their file. `…-data` wins over the path of the same thing.
 * Facts: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/ */
#ifndef GW_KUBE_CONFIG_H
#define GW_KUBE_CONFIG_H

#include "common/bytes.h"
#include "common/fault.h"

/* A program that prints credentials. Lists end with NULL. */
struct gw_kube_exec {
    const char *command; /* a path, or a name to look for in PATH */
    const char *const *arguments;
    const char *const *environment; /* "NAME=value", in addition to our own */
    const char *api_version;        /* "client.authentication.k8s.io/v1", or …/v1beta1 */
    const char *install_hint;       /* NULL: none */
    bool wants_cluster;             /* provideClusterInfo */
    const char
        *cluster_config; /* JSON: the cluster's extension client.authentication.k8s.io/exec; NULL: none */
};

struct gw_kube_config {
    struct gw_arena arena; /* of all that follows; NULL or empty where there is none */
    const char *origin; /* "kubeconfig /home/j/.kube/config, context prod", "service account": for messages */
    const char *server; /* "https://10.0.0.1:443", maybe with a path; no slash at its end. Never NULL */
    const char *namespace_; /* never NULL */

    const char *ca_file; /* at most one of these two; neither: the system's authorities */
    struct gw_view ca_pem;
    const char *server_name; /* tls-server-name */
    const char *proxy;
    bool insecure;
    bool pod; /* in-cluster */

    const char *certificate_file, *key_file;
    struct gw_view certificate_pem, key_pem;
    const char *token, *token_file; /* at most one */
    const char *username, *password;
    const struct gw_kube_exec *exec;
    const char *const *as; /* impersonation: header lines, ended by NULL */
};

/* `kubeconfig` and `context` as in gw_kube_options. -EINVAL, -ENOENT, -EACCES … with words. */
int gw_kube_config_read(struct gw_kube_config *ret_config, const char *kubeconfig, const char *context,
                        struct gw_reason *reason) GW_MUST_CHECK;
/* Of a Pod: `directory` holds token, ca.crt and namespace. */
int gw_kube_config_read_pod(struct gw_kube_config *ret_config, const char *directory, const char *host,
                            const char *port, struct gw_reason *reason) GW_MUST_CHECK;
void gw_kube_config_done(struct gw_kube_config *config);

/* A token file, without white space around. -errno or -EINVAL, with words that name the file and not its contents. */
int gw_kube_token_read(const char *path, struct gw_bytes *ret_token, struct gw_reason *reason) GW_MUST_CHECK;

#endif
