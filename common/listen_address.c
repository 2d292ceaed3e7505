/* Listening sockets: one exact address, or all of IPv4 and IPv6. */
#include "common/listen_parts.h"
#include "common/text.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ADDRESS_BACKLOG = 1024 };

union any_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool address_parse(union any_address *out, const char *text, uint16_t port)
{
    *out = (union any_address){0};
    if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(port);
        return true;
    }
    if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons(port);
        return true;
    }
    return false;
}

/* Returns the socket, or a negative errno. */
static int address_bind(const union any_address *address, bool both)
{
    socklen_t size = address->any.sa_family == AF_INET ? sizeof(address->v4) : sizeof(address->v6);
    int on = 1, only = both ? 0 : 1, fault;
    int descriptor = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (descriptor < 0)
        return -errno;
    (void)setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (address->any.sa_family == AF_INET6)
        (void)setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
    if (bind(descriptor, &address->any, size) == 0 && listen(descriptor, ADDRESS_BACKLOG) == 0)
        return descriptor;
    fault = -errno;
    close(descriptor);
    return fault;
}

static uint16_t address_port(int descriptor)
{
    union any_address address = {0};
    socklen_t size = sizeof(address);

    if (getsockname(descriptor, &address.any, &size) != 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
}

static int address_refuse(int fault, const char *where, uint16_t port, struct gw_reason *reason)
{
    switch (fault) {
    case -EADDRINUSE:
        return GW_REFUSE(fault, reason, "port %u on %s is in use", port, where);
    case -EACCES:
        return GW_REFUSE(fault, reason, "port %u on %s: not permitted (ports below 1024 need a privilege)",
                         port, where);
    case -EADDRNOTAVAIL:
        return GW_REFUSE(fault, reason, "%s is not an address of this machine", where);
    default:
        return GW_REFUSE(fault, reason, "port %u on %s: %s", port, where, strerror(-fault));
    }
}

int address_listen(int *ret_descriptor, uint16_t *ret_port, const char *address, uint16_t port,
                   struct gw_reason *reason)
{
    bool all = address == NULL || *address == '\0' || strcmp(address, "::") == 0;
    const char *where = all ? "all addresses" : address;
    union any_address parsed;
    int descriptor;

    if (!all && strcmp(address, "localhost") == 0)
        address = "127.0.0.1";
    if (!address_parse(&parsed, all ? "::" : address, port))
        return GW_REFUSE(-EINVAL, reason,
                         "address \"%s\": not an IP address such as 127.0.0.1 or ::", address);
    descriptor = address_bind(&parsed, all);
    if (all && (descriptor == -EAFNOSUPPORT || descriptor == -EADDRNOTAVAIL)) {
        /* A machine without IPv6. */
        (void)address_parse(&parsed, "0.0.0.0", port);
        descriptor = address_bind(&parsed, false);
    }
    if (descriptor < 0)
        return address_refuse(descriptor, where, port, reason);
    *ret_port = address_port(descriptor);
    *ret_descriptor = descriptor;
    return 0;
}

int gw_address_split(const char *text, char address[static GW_ADDRESS_MAX], uint16_t *ret_port,
                     struct gw_reason *reason)
{
    const char *colon = strrchr(text, ':');
    struct gw_view host = {text, colon == NULL ? 0 : (size_t)(colon - text)};
    bool bracketed = host.size >= 2 && text[0] == '[' && text[host.size - 1] == ']';
    uint64_t port;

    if (bracketed)
        host = gw_view(text + 1, host.size - 2);
    if (colon == NULL || !gw_text_u64(gw_view_text(colon + 1), UINT16_MAX, &port) ||
        host.size >= GW_ADDRESS_MAX || (!bracketed && memchr(host.data, ':', host.size) != NULL))
        return GW_REFUSE(-EINVAL, reason,
                         "address \"%s\": not of the form 127.0.0.1:9301, [::1]:9301 or :9301", text);
    memcpy(address, host.data, host.size);
    address[host.size] = '\0';
    *ret_port = (uint16_t)port;
    return 0;
}
