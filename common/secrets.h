/* Secrets: the value behind a {name, key} reference. Locally a file DIRECTORY/<name>/<key> (the layout of
 * mounted Kubernetes Secrets), else the environment variable <name>_<key> (every character that is not a
 * letter or digit is '_'). */
#ifndef GW_SECRETS_H
#define GW_SECRETS_H

#include "common/settings.h"

/* Process-wide; NULL: environment only. Copied. Call before threads start. */
void gw_secrets_set_directory(const char *directory);

/* What the flag --secrets says. True: "kubernetes" or "kubernetes:NAMESPACE" (*ret_namespace NULL: none is named). False: a
 * directory, or nothing. */
bool gw_secrets_in_cluster(const char *flag, const char **ret_namespace);

/* Process-wide: secrets are read through the API server instead, from `namespace_`, each watched from its first use on, so
 * that gw_secret_read() answers from memory, always the newest. Loop thread. NULL: no longer; ends the watches, wipes the
 * values. `changed` (may be NULL): on the loop, gw_secret_read() would answer otherwise than before for this secret, because
 * it has come, changed or gone, or because it cannot be read. */
struct gw_kube;
int gw_secrets_use_kube(struct gw_kube *kube, const char *namespace_,
                        void (*changed)(void *user, const char *name), void *user) GW_MUST_CHECK;

/* Reads the value anew (so rotation takes effect), without one trailing newline. At most GW_SECRET_MAX bytes.
 * -ENOENT, -EACCES, -E2BIG, -EINVAL (a name that leads elsewhere, or no regular file) with words that name the secret
 * and key, never the value. -EAGAIN: the API server was asked just now; `changed` tells when there is an answer. -EACCES also
 * when it refuses, or is away and has not told of this secret before. Any thread. Blocks for a file read. */
enum { GW_SECRET_MAX = 65536 };
int gw_secret_read(const struct gw_setting_secret *secret, struct gw_bytes *ret_value,
                   struct gw_reason *reason) GW_MUST_CHECK;
/* Overwrites the contents before freeing them. */
void gw_secret_done(struct gw_bytes *value);

#endif
