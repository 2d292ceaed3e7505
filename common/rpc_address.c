/* Addresses of gRPC: "host:port", "[::1]:9330", ":9330", "unix:/path". */
#include "common/rpc_core.h"

#include <ctype.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int address_local(struct gw_rpc_address *address, const char *text, struct gw_reason *reason)
{
    const char *path = text + strlen("unix:");

    while (path[0] == '/' && path[1] == '/') /* "unix:///path" is the same as "unix:/path" */
        path++;
    if (path[0] != '/' || path[1] == '\0')
        return GW_REFUSE(-EINVAL, reason,
                         "address \"%s\": a unix socket needs an absolute path, as in unix:/run/name.sock",
                         text);
    if (strlen(path) >= sizeof(address->path))
        return GW_REFUSE(-EINVAL, reason, "address \"%s\": the path of a unix socket has at most %zu bytes",
                         text, sizeof(address->path) - 1);
    address->local = true;
    strcpy(address->path, path);
    return 0;
}

static bool port_parse(const char *text, uint16_t *ret_port)
{
    unsigned long port = 0;
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > 5 || text[digits] != '\0')
        return false;
    port = strtoul(text, NULL, 10);
    if (port > UINT16_MAX)
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

static bool host_legal(const char *host, size_t size, bool bracketed)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)host[i];

        if (!isalnum(byte) && strchr(bracketed ? ":.%_-" : "._-", byte) == NULL)
            return false;
    }
    return !bracketed || size > 1;
}

int gw_rpc_address_parse(struct gw_rpc_address *ret_address, const char *text, struct gw_reason *reason)
{
    struct gw_rpc_address address = {0};
    const char *colon, *host = text;
    size_t size;

    if (text == NULL || text[0] == '\0')
        return GW_REFUSE(-EINVAL, reason, "the address is empty, it should be host:port or unix:/path");
    if (strncmp(text, "unix:", strlen("unix:")) == 0) {
        GW_TRY(address_local(&address, text, reason));
        *ret_address = address;
        return 0;
    }
    colon = strrchr(text, ':');
    if (colon == NULL || !port_parse(colon + 1, &address.port))
        return GW_REFUSE(-EINVAL, reason, "address \"%s\": should end with a port, as in host:9330", text);
    size = (size_t)(colon - text);
    address.bracketed = size >= 2 && text[0] == '[' && text[size - 1] == ']';
    if (address.bracketed) {
        host++;
        size -= 2;
    }
    if (size >= sizeof(address.host) || !host_legal(host, size, address.bracketed))
        return GW_REFUSE(-EINVAL, reason, "address \"%s\": should be host:port, [IPv6]:port or unix:/path",
                         text);
    memcpy(address.host, host, size);
    *ret_address = address;
    return 0;
}

bool gw_rpc_address_valid(const char *address, struct gw_reason *reason)
{
    struct gw_rpc_address parsed;

    return gw_rpc_address_parse(&parsed, address, reason) == 0;
}

/* gRPC percent-decodes its names. */
static void append_encoded(struct gw_bytes *name, const char *text)
{
    for (; *text != '\0'; text++) {
        if (isalnum((unsigned char)*text) || strchr("-._~/:", *text) != NULL)
            gw_bytes_append_char(name, *text);
        else
            gw_bytes_printf(name, "%%%02X", (unsigned char)*text);
    }
}

static char *name_make(const struct gw_rpc_address *address, const char *scheme, const char *any_host)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes name = {0};
    char host[sizeof(address->host) + 16];
    const char *text;

    if (address->local) {
        gw_bytes_append_text(&name, "unix:");
        append_encoded(&name, address->path);
    } else {
        snprintf(host, sizeof(host), address->bracketed ? "[%s]:%u" : "%s:%u",
                 address->host[0] == '\0' ? any_host : address->host, (unsigned)address->port);
        gw_bytes_append_text(&name, scheme);
        append_encoded(&name, host);
    }
    text = gw_bytes_text(&name);
    return text == NULL ? NULL : strdup(text);
}

char *gw_rpc_address_listen_name(const struct gw_rpc_address *address)
{
    return name_make(address, "", "[::]");
}

char *gw_rpc_address_target(const struct gw_rpc_address *address)
{
    return name_make(address, "dns:///", "127.0.0.1");
}

static int socket_bind_fault(int family, const struct sockaddr *name, socklen_t size)
{
    int fault = 0, on = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, name, size) != 0 || listen(fd, 1) != 0)
        fault = -errno;
    close(fd);
    return fault;
}

static void local_name(struct sockaddr_un *name, const char *path)
{
    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    strcpy(name->sun_path, path);
}

static int local_bind_fault(const struct gw_rpc_address *address)
{
    struct sockaddr_un name;
    int fault;

    local_name(&name, address->path);
    fault = socket_bind_fault(AF_UNIX, (const struct sockaddr *)&name, sizeof(name));
    if (fault == 0)
        unlink(address->path);
    return fault;
}

int gw_rpc_address_bind_fault(const struct gw_rpc_address *address)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *found, *one;
    char port[8];
    int fault = 0;

    if (address->local)
        return local_bind_fault(address);
    snprintf(port, sizeof(port), "%u", (unsigned)address->port);
    if (getaddrinfo(address->host[0] == '\0' ? NULL : address->host, port, &hints, &found) != 0)
        return -EADDRNOTAVAIL;
    for (one = found; one != NULL && fault == 0; one = one->ai_next)
        fault = socket_bind_fault(one->ai_family, one->ai_addr, one->ai_addrlen);
    freeaddrinfo(found);
    return fault;
}

/* Errno of connecting to the socket file: 0 somebody listens, ECONNREFUSED nobody does. */
static int local_connect_errno(const char *path)
{
    struct sockaddr_un name;
    int error = 0;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return errno;
    local_name(&name, path);
    if (connect(fd, (const struct sockaddr *)&name, sizeof(name)) != 0 && errno != EAGAIN)
        error = errno;
    close(fd);
    return error;
}

static int local_parent_check(const char *path, struct gw_reason *reason)
{
    char parent[sizeof(((struct gw_rpc_address *)NULL)->path)];
    struct stat status;
    char *slash;
    int error;

    strcpy(parent, path);
    slash = strrchr(parent, '/');
    slash[slash == parent ? 1 : 0] = '\0';
    error = stat(parent, &status) == 0 ? 0 : errno;
    if (error != 0)
        return GW_REFUSE(-error, reason, "unix socket %s: directory %s: %s", path, parent, strerror(error));
    if (!S_ISDIR(status.st_mode))
        return GW_REFUSE(-ENOTDIR, reason, "unix socket %s: %s is not a directory", path, parent);
    return 0;
}

int gw_rpc_address_clear(const struct gw_rpc_address *address, struct gw_reason *reason)
{
    struct stat status;
    int error;

    if (!address->local)
        return 0;
    GW_TRY(local_parent_check(address->path, reason));
    error = lstat(address->path, &status) == 0 ? 0 : errno;
    if (error == ENOENT)
        return 0;
    if (error != 0)
        return GW_REFUSE(-error, reason, "unix socket %s: %s", address->path, strerror(error));
    if (!S_ISSOCK(status.st_mode))
        return GW_REFUSE(-EEXIST, reason, "unix socket %s: something else than a socket is there",
                         address->path);
    error = local_connect_errno(address->path);
    if (error == 0)
        return GW_REFUSE(-EADDRINUSE, reason, "unix socket %s: another process listens there", address->path);
    if (error != ECONNREFUSED && error != ENOENT)
        return GW_REFUSE(-error, reason, "unix socket %s: %s", address->path, strerror(error));
    error = unlink(address->path) == 0 ? 0 : errno;
    if (error != 0 && error != ENOENT)
        return GW_REFUSE(-error, reason, "unix socket %s: stale, but cannot be removed: %s", address->path,
                         strerror(error));
    return 0;
}
