/* Secrets: files in the layout of mounted Kubernetes Secrets, or environment variables; or another reader. */
#include "common/secrets_parts.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Set once before threads start, read by all of them. */
static char *secrets_directory;
static _Atomic(gw_secrets_reader *) secrets_reader;

void gw_secrets_set_reader(gw_secrets_reader *reader)
{
    atomic_store(&secrets_reader, reader);
}

void gw_secrets_set_directory(const char *directory)
{
    free(secrets_directory);
    secrets_directory = directory == NULL ? NULL : strdup(directory);
    assert(directory == NULL || secrets_directory != NULL);
}

bool gw_secrets_in_cluster(const char *flag, const char **ret_namespace)
{
    static const char word[] = "kubernetes";
    size_t size = sizeof(word) - 1;

    if (flag == NULL || strncmp(flag, word, size) != 0 || (flag[size] != '\0' && flag[size] != ':'))
        return false;
    *ret_namespace = flag[size] == ':' ? flag + size + 1 : NULL;
    return true;
}

static void file_closep(int *descriptor)
{
    if (*descriptor >= 0)
        close(*descriptor);
}

/* A name that stays within its directory. */
static bool part_legal(const char *part)
{
    return part[0] != '\0' && strchr(part, '/') == NULL && strcmp(part, ".") != 0 && strcmp(part, "..") != 0;
}

static void trim_newline(struct gw_bytes *value)
{
    if (value->size > 0 && value->data[value->size - 1] == '\n')
        value->size--;
}

/* Whole file into room made at once: a growing buffer would leave copies behind in freed memory. */
static int file_contents(int descriptor, size_t size, struct gw_bytes *value)
{
    char *room = gw_bytes_reserve(value, size + 1);
    ssize_t got;

    if (room == NULL)
        return GW_RAISE(-ENOMEM);
    while (value->size < size && (got = read(descriptor, room + value->size, size - value->size)) != 0) {
        if (got < 0 && errno != EINTR)
            return GW_RAISE(-errno);
        value->size += got < 0 ? 0 : (size_t)got;
    }
    return 0;
}

static int file_read(const struct gw_setting_secret *secret, const char *path, struct gw_bytes *value,
                     struct gw_reason *reason)
{
    /* O_NONBLOCK: a pipe put there must not hold us up. */
    GW_AUTO(file_closep) int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;

    if (descriptor < 0 || fstat(descriptor, &status) < 0) {
        int fault = -errno;

        return GW_REFUSE(fault, reason, "secret \"%s\", key \"%s\": %s: %s", secret->name, secret->key, path,
                         strerrordesc_np(-fault));
    }
    if (!S_ISREG(status.st_mode))
        return GW_REFUSE(-EINVAL, reason, "secret \"%s\", key \"%s\": %s is not a file", secret->name,
                         secret->key, path);
    if (status.st_size > GW_SECRET_MAX)
        return GW_REFUSE(-E2BIG, reason, "secret \"%s\", key \"%s\": %s has more than %d bytes", secret->name,
                         secret->key, path, GW_SECRET_MAX);
    int fault = file_contents(descriptor, (size_t)status.st_size, value);
    if (fault < 0)
        return GW_REFUSE(fault, reason, "secret \"%s\", key \"%s\": %s: %s", secret->name, secret->key, path,
                         strerrordesc_np(-fault));
    return 0;
}

static void variable_name(const struct gw_setting_secret *secret, struct gw_bytes *out)
{
    gw_bytes_printf(out, "%s_%s", secret->name, secret->key);
    for (size_t i = 0; i < out->size; i++) {
        if (!isalnum((unsigned char)out->data[i]))
            out->data[i] = '_';
    }
}

static int variable_read(const struct gw_setting_secret *secret, const char *text, struct gw_bytes *value,
                         struct gw_reason *reason)
{
    size_t size = strlen(text);

    if (size > GW_SECRET_MAX)
        return GW_REFUSE(-E2BIG, reason,
                         "secret \"%s\", key \"%s\": the environment variable has more than %d bytes",
                         secret->name, secret->key, GW_SECRET_MAX);
    gw_bytes_append(value, text, size);
    if (value->failed)
        return GW_RAISE(-ENOMEM);
    return 0;
}

static int secret_absent(const struct gw_setting_secret *secret, const char *path, const char *variable,
                         struct gw_reason *reason)
{
    if (path == NULL)
        return GW_REFUSE(-ENOENT, reason,
                         "secret \"%s\", key \"%s\": no directory of secrets is given, and there is no "
                         "environment variable %s",
                         secret->name, secret->key, variable);
    return GW_REFUSE(-ENOENT, reason,
                     "secret \"%s\", key \"%s\": there is neither a file %s nor an environment variable %s",
                     secret->name, secret->key, path, variable);
}

/* The file first, also when it cannot be read: an old variable must not hide that. */
static int local_read(const struct gw_setting_secret *secret, struct gw_bytes *value,
                      struct gw_reason *reason)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes path = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes variable = {0};
    const char *text;

    variable_name(secret, &variable);
    if (secrets_directory != NULL)
        gw_bytes_printf(&path, "%s/%s/%s", secrets_directory, secret->name, secret->key);
    if (gw_bytes_text(&variable) == NULL || gw_bytes_text(&path) == NULL)
        return GW_RAISE(-ENOMEM);
    text = getenv(variable.data);
    if (secrets_directory != NULL && (access(path.data, F_OK) == 0 || errno != ENOENT))
        return file_read(secret, path.data, value, reason);
    if (text != NULL)
        return variable_read(secret, text, value, reason);
    return secret_absent(secret, secrets_directory == NULL ? NULL : path.data, variable.data, reason);
}

int gw_secret_read(const struct gw_setting_secret *secret, struct gw_bytes *ret_value,
                   struct gw_reason *reason)
{
    GW_AUTO(gw_secret_done) struct gw_bytes value = {0};
    gw_secrets_reader *reader = atomic_load(&secrets_reader);

    if (secret->name == NULL || secret->key == NULL || !part_legal(secret->name) || !part_legal(secret->key))
        return GW_REFUSE(-EINVAL, reason, "secret \"%s\", key \"%s\": both need a name without '/'",
                         secret->name == NULL ? "" : secret->name, secret->key == NULL ? "" : secret->key);
    GW_TRY(reader != NULL ? reader(secret, &value, reason) : local_read(secret, &value, reason));
    trim_newline(&value);
    *ret_value = value;
    value = (struct gw_bytes){0};
    return 0;
}

void gw_secret_done(struct gw_bytes *value)
{
    if (value == NULL)
        return;
    if (value->data != NULL)
        explicit_bzero(value->data, value->capacity);
    gw_bytes_done(value);
}
