/* What the rooms of the kubeconfig's reader know of each other: kube_config.c (which files, which context, the cluster),
 * kube_user.c (the user), kube_fields.c (fields, their types and their words). Nobody else includes this. */
#ifndef GW_KUBE_CONFIG_PARTS_H
#define GW_KUBE_CONFIG_PARTS_H

#include "common/kube_config.h"
#include "common/node.h"

enum { KUBE_FILES_MAX = 32, KUBE_FILE_SIZE_MAX = 1 << 20 };

struct kube_file {
    const char *path, *directory;
    const struct gw_node *root; /* a MAP */
};

struct kube_reader {
    struct gw_kube_config *config;
    struct kube_file files[KUBE_FILES_MAX];
    size_t files_count;
    const char *paths; /* all of them, for messages */
    struct gw_reason *reason;
};

/* A mapping whose fields are read: `cluster` of clusters["prod"] in a file. */
struct kube_entry {
    struct kube_reader *reader;
    const struct kube_file *file;
    const char *place;          /* "cluster prod", "user admin: exec": for messages */
    int line;                   /* of the entry */
    const struct gw_node *node; /* a MAP or NULL */
};

/* -EINVAL, with the words behind "kubeconfig FILE line N: PLACE: FIELD: ". `node` NULL: the entry's line; `field` NULL: none. */
int kube_refuse(const struct kube_entry *entry, const struct gw_node *node, const char *field,
                const char *format, ...) GW_PRINTF(4, 5) GW_MUST_CHECK;
/* Refuses fields that are nearly, but not quite, one of `known` (ended by NULL). Others are left alone, as kubectl does. */
int kube_check_names(const struct kube_entry *entry, const char *const *known) GW_MUST_CHECK;

/* *ret_… stays as it is where the field is not there, null, or an empty text. */
int kube_text(const struct kube_entry *entry, const char *field, const char **ret_text) GW_MUST_CHECK;
int kube_bool(const struct kube_entry *entry, const char *field, bool *ret_truth) GW_MUST_CHECK;
int kube_texts(const struct kube_entry *entry, const char *field,
               const char *const **ret_texts) GW_MUST_CHECK;
/* A path, relative to the file. */
int kube_path(const struct kube_entry *entry, const char *field, const char **ret_path) GW_MUST_CHECK;
/* The member of this name as an entry of its own, `node` NULL when it is not there. -EINVAL: not a mapping. */
int kube_inner(const struct kube_entry *entry, const char *field, struct kube_entry *ret_inner) GW_MUST_CHECK;

/* PEM: `NAME-data` (base64) or the file `NAME`, with its contents as they are now. */
struct kube_pem {
    const char *field; /* that it comes from; NULL: not there */
    const char *file;  /* NULL: from the data */
    struct gw_view contents;
};
int kube_pem(const struct kube_entry *entry, const char *field, struct kube_pem *ret_pem) GW_MUST_CHECK;

/* kube_user.c */
int kube_user_read(const struct kube_entry *user, const struct kube_entry *cluster) GW_MUST_CHECK;

/* The whole file, at most KUBE_FILE_SIZE_MAX bytes; -errno, -EFBIG. */
int kube_file_read(const char *path, struct gw_bytes *ret_text) GW_MUST_CHECK;

#endif
