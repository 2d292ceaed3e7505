/* The certificate of a listener: GnuTLS credentials that can be replaced while connections use the old ones.
 */
#ifndef GW_LISTEN_TLS_H
#define GW_LISTEN_TLS_H

#include "common/fault.h"
#include "common/loop.h"

/* The files as they were read last, and the credentials made of them. */
struct listen_tls;

/* `warn`: a changed file could not be used, the certificate read before stays. May be NULL. */
int listen_tls_open(struct listen_tls **ret_tls, struct gw_loop *loop, const char *certificate_file,
                    const char *key_file, void (*warn)(void *user, const char *text), void *user,
                    struct gw_reason *reason) GW_MUST_CHECK;
/* Credentials that sessions still hold live until listen_tls_release(). */
struct listen_tls *listen_tls_close(struct listen_tls *tls);

/* One pair of certificate and key, counted. */
struct listen_pair;
/* Gives a new session (gnutls_session_t) the current certificate. */
struct listen_pair *listen_tls_give(struct listen_tls *tls, void *session);
void listen_tls_release(struct listen_pair *pair);

/* For MHD_OPTION_HTTPS_CERT_CALLBACK: a session that was given no certificate gets none. */
void *listen_tls_no_certificate(void);
#define LISTEN_TLS_PRIORITIES "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1"

#endif
