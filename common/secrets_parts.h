/* What the rooms of secrets know of each other: secrets.c (files and variables; the one door), kube_secrets.c (the API server).
 * Nobody else includes this. */
#ifndef GW_SECRETS_PARTS_H
#define GW_SECRETS_PARTS_H

#include "common/secrets.h"

/* Where gw_secret_read() reads instead of files and variables, NULL: there. `ret_value` is written on success, whole. Any
 * thread. A pointer, so that who never asks for the API server does not link its client. */
typedef int gw_secrets_reader(const struct gw_setting_secret *secret, struct gw_bytes *ret_value,
                              struct gw_reason *reason);
void gw_secrets_set_reader(gw_secrets_reader *reader);

#endif
