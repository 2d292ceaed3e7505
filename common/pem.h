/* PEM texts, looked at before a library gets them: most take bad ones without a word, and then no handshake succeeds. */
#ifndef GW_PEM_H
#define GW_PEM_H

#include "common/bytes.h"

bool gw_pem_has_certificate(struct gw_view pem);
bool gw_pem_has_key(struct gw_view pem); /* a private key without a password */
/* The first certificate is that of the key. False too when one of them is none. */
bool gw_pem_belong(struct gw_view certificate, struct gw_view key);

#endif
