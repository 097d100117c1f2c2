/*
 * status_file: keeps HEALTH_STATUS_FILE as health_status.h says, for whoever reads files instead of asking.
 *
 *   listener ──► dirty ──timer──► text (on the loop) ──thread pool──► file.tmp, fsync, rename ──► file
 *
 * Readers see one whole state or the next. Changes of one loop turn are one write; there is never more than one under
 * way, then at least HB_STATUS_FILE_GAP_MS of rest, and more where there are so many workers that the text alone takes
 * long. What changes meanwhile is written after it: the last state always gets there. A state that the file has
 * already is not written again. What fails is logged once per cause, and tried again with the next change or after
 * HB_STATUS_FILE_RETRY_MS.
 *
 * A file that is there at the start is left as it is for HB_STATUS_FILE_HOLD_MS: until Redis has said who was up, and
 * the first polls are back, the manager knows less than the file does.
 */
#ifndef HB_IO_STATUS_FILE_H
#define HB_IO_STATUS_FILE_H

#include "manager/app/manager.h"

#define HB_STATUS_FILE_GAP_MS 100
#define HB_STATUS_FILE_RETRY_MS 5000
#define HB_STATUS_FILE_HOLD_MS 2000
#define HB_STATUS_FILE_PATH_MAX 4200

struct uv_loop_s;
struct hb_status_file;

/*
 * Whether there can be such a file: one sentence, ended by a newline, when not. targets_path is the file that must not
 * be written over, by it or by its temporary file; or NULL.
 */
void hb_status_file_check(const char *path, const char *targets_path, struct hb_buf *sentences);

/* path must outlive it. Listens to the manager from here on; the first write is due. NULL when out of memory. */
struct hb_status_file *hb_status_file_new(struct uv_loop_s *uv, const char *path, struct hb_manager *manager);
/* Writes what is still to be written, from what the state is now, and then nothing any more. Lets go of the loop. */
void hb_status_file_close(struct hb_status_file *file); /* accepts NULL, and a second call */
void hb_status_file_free(struct hb_status_file *file);  /* after the loop has run dry; accepts NULL */

#endif
