/*
 * targets_file: the services that are polled from the start, as TARGETS_FILE lists them.
 *
 *   {"server_list":[{"id":1,"host":"127.0.0.1","port":5001},{"id":"db","name":"Database","url":"tcp://10.0.0.7:5432"}]}
 *
 * An id is a worker's id as text: 1 and "1" are the same one. A name that is not given is "server<id>" for an id of
 * digits, as the small projects call theirs, and the id itself for any other. Where there is no url, host and port make
 * one: http://host:port. Members that are not known are ignored.
 *
 * A file with a fault is refused whole. Every bad entry is named, with its line: at most HB_TARGETS_FAULTS_MAX of them,
 * then how many more there are.
 */
#ifndef HB_APP_TARGETS_FILE_H
#define HB_APP_TARGETS_FILE_H

#include "manager/app/manager.h"

#define HB_TARGETS_BYTES_MAX ((size_t)16 << 20)
#define HB_TARGETS_FAULTS_MAX 30

/*
 * Looks the file through. At most `most` entries (MAX_WORKERS). Each fault is one sentence, ended by a newline; none:
 * the file is good.
 */
void hb_targets_file_check(const char *path, size_t most, struct hb_buf *sentences);

/*
 * Registers its services with the manager, as fixed ones. *ret_count: how many. HB_ERR_INVALID: the file cannot be read
 * or has a fault, and nothing was registered; the other errors are the registry's. Then sentences say why.
 */
enum hb_err hb_targets_file_apply(const char *path, size_t most, struct hb_manager *manager, struct hb_moment now,
                                  struct hb_buf *sentences, size_t *ret_count) HB_MUST_CHECK;

/* The same without a file. label stands at the beginning of every sentence. */
void hb_targets_check(struct hb_text json, const char *label, size_t most, struct hb_buf *sentences);
enum hb_err hb_targets_apply(struct hb_text json, const char *label, size_t most, struct hb_manager *manager,
                             struct hb_moment now, struct hb_buf *sentences, size_t *ret_count) HB_MUST_CHECK;

#endif
