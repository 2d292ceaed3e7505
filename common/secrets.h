/* Secrets: the value behind a {name, key} reference. Locally a file DIRECTORY/<name>/<key> (the layout of
 * mounted Kubernetes Secrets), else the environment variable <name>_<key> (every character that is not a
 * letter or digit is '_'). */
#ifndef GW_SECRETS_H
#define GW_SECRETS_H

#include "common/settings.h"

/* Process-wide; NULL: environment only. Copied. Call before threads start. */
void gw_secrets_set_directory(const char *directory);

/* Process-wide: secrets are read through the API server instead, from `namespace_`, each watched from its first use on, so
 * that gw_secret_read() answers from memory, always the newest. Loop thread. -EAGAIN of gw_secret_read(): it was asked for just
 * now; whoever was told so tries again as it does after any fault. NULL: no longer; ends the watches, wipes the values.
 * `changed` (may be NULL): on the loop, a secret that was asked for has come, changed or gone. */
struct gw_kube;
int gw_secrets_use_kube(struct gw_kube *kube, const char *namespace_,
                        void (*changed)(void *user, const char *name), void *user) GW_MUST_CHECK;

/* Reads the value anew (so rotation takes effect), without one trailing newline. At most GW_SECRET_MAX bytes.
 * -ENOENT, -EACCES, -E2BIG, -EINVAL (a name that leads elsewhere, or no regular file), -EAGAIN (the API server has not
 * answered yet, or will not: forbidden, away) with words that name the secret and key, never the value. Any thread.
 * Blocks for a file read. */
enum { GW_SECRET_MAX = 65536 };
int gw_secret_read(const struct gw_setting_secret *secret, struct gw_bytes *ret_value,
                   struct gw_reason *reason) GW_MUST_CHECK;
/* Overwrites the contents before freeing them. */
void gw_secret_done(struct gw_bytes *value);

#endif
