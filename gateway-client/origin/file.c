/* A file as a whole. */
#include "gateway-client/origin/file.h"

#include "common/yaml.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int gwc_file_read(const char *path, struct gw_bytes *ret_text, struct gw_problems *problems)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : 0;

    while (file >= 0) {
        char *room = gw_bytes_reserve(ret_text, 65536);
        got = room == NULL || ret_text->size > GW_YAML_TEXT_MAX ? -1 : read(file, room, 65536);
        if (got <= 0)
            break;
        ret_text->size += (size_t)got;
    }
    if (got < 0)
        gw_problems_add(problems, "", 0, "%s cannot be read: %s", path,
                        ret_text->size > GW_YAML_TEXT_MAX ? "it is larger than 4 MiB" : strerror(errno));
    if (file >= 0)
        close(file);
    return got < 0 ? GWC_FILE_BAD : 0;
}
