/*
 * status_file: see the header. The text is built on the loop, from the registry; the job on the thread pool sees only
 * that text, the two paths and its own result.
 */
#include "manager/io/status_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "manager/app/health_status.h"
#include "proto/base/log.h"

#define TEMPORARY ".tmp"
#define REST_PER_BUILD 20 /* the loop gives at most a 20th of its time to building the text */
#define MS_NS 1000000u
#define MODE 0644

struct job {
    uv_work_t work;
    const char *path, *temporary;
    struct hb_buf text;
    const char *step; /* that failed */
    int error;        /* errno, or 0 */
};

struct hb_status_file {
    uv_loop_t *uv;
    const struct hb_registry *registry;
    const char *path;
    char *temporary;
    uv_timer_t timer;
    uint64_t not_before_ms; /* on the loop's clock: when the next write may begin */
    uint64_t held_until_ms; /* since when its own knowledge is good enough */
    uint64_t rest_ms;       /* after the write under way */
    struct job job;
    struct hb_buf written; /* what the file holds; empty: not known */
    const char *failing;   /* the step that fails at present, as it was logged; NULL none */
    int failing_error;
    bool begun; /* its first time has come: the manager has not failed to start */
    bool dirty, writing, closing;
};

/* ---- on the thread pool ---- */

static bool write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t done = write(fd, bytes, len);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return false;
        bytes += done;
        len -= (size_t)done;
    }
    return true;
}

/* The step that failed, with errno; NULL: none did. */
static const char *fill_temporary(const struct job *job)
{
    const char *failed = NULL;
    int error, fd;

    unlink(job->temporary); /* left behind by a crash; never written through, whatever it is */
    fd = open(job->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MODE);
    if (fd < 0)
        return "open";
    if (fchmod(fd, MODE) != 0)
        failed = "chmod";
    else if (!write_all(fd, job->text.bytes, job->text.len))
        failed = "write";
    else if (fsync(fd) != 0)
        failed = "fsync";
    error = errno;
    if (close(fd) != 0 && failed == NULL)
        return "close";
    errno = error;
    return failed;
}

static void do_job(uv_work_t *work)
{
    struct job *job = &((struct hb_status_file *)work->data)->job;

    job->error = 0;
    job->step = fill_temporary(job);
    if (job->step == NULL && rename(job->temporary, job->path) != 0)
        job->step = "rename";
    if (job->step == NULL)
        return;
    job->error = errno;
    unlink(job->temporary);
}

/* ---- on the loop ---- */

static void failed(struct hb_status_file *file, const char *step, int error, const char *cause)
{
    file->dirty = true;
    if (file->failing == step && file->failing_error == error)
        return;
    file->failing = step;
    file->failing_error = error;
    hb_log(HB_LOG_ERROR, "status_file_failed", HB_LS("path", file->path), HB_LS("step", step), HB_LS("cause", cause));
}

static void succeeded(struct hb_status_file *file)
{
    struct hb_buf before = file->written;

    file->written = file->job.text;
    file->job.text = before;
    if (file->failing != NULL)
        hb_log(HB_LOG_INFO, "status_file_recovered", HB_LS("path", file->path));
    file->failing = NULL;
}

/* False: out of memory, or of the ceiling; that is a failure like any other. */
static bool build(struct hb_status_file *file)
{
    uint64_t begun_ns = uv_hrtime();
    enum hb_err err;

    hb_buf_clear(&file->job.text);
    err = hb_health_status_write(file->registry, &file->job.text);
    file->rest_ms = (uv_hrtime() - begun_ns) * REST_PER_BUILD / MS_NS;
    if (file->rest_ms < HB_STATUS_FILE_GAP_MS)
        file->rest_ms = HB_STATUS_FILE_GAP_MS;
    if (err != HB_OK)
        failed(file, "build", err, hb_err_text(err));
    return err == HB_OK;
}

static void rest(struct hb_status_file *file)
{
    file->not_before_ms = uv_now(file->uv) + file->rest_ms;
}

static bool is_written(const struct hb_status_file *file)
{
    return file->failing == NULL && file->written.len == file->job.text.len && file->written.len > 0 &&
           memcmp(file->written.bytes, file->job.text.bytes, file->written.len) == 0;
}

static void on_done(uv_work_t *work, int status);

/* False: nothing is under way afterwards. */
static bool begin_write(struct hb_status_file *file)
{
    if (!build(file)) {
        rest(file);
        return false;
    }
    file->dirty = false;
    if (is_written(file)) {
        rest(file);
        return false;
    }
    file->writing = uv_queue_work(file->uv, &file->job.work, do_job, on_done) == 0;
    return file->writing;
}

static void on_time(uv_timer_t *timer)
{
    struct hb_status_file *file = timer->data;

    file->begun = true;
    if (!begin_write(file) && file->dirty)
        uv_timer_start(timer, on_time, HB_STATUS_FILE_RETRY_MS, 0);
}

/* As soon as it may be: with the next turn of the loop, or when the rest is over. */
static void plan(struct hb_status_file *file)
{
    uint64_t now_ms = uv_now(file->uv);

    uv_timer_start(&file->timer, on_time, file->not_before_ms > now_ms ? file->not_before_ms - now_ms : 0, 0);
}

static void finish(struct hb_status_file *file)
{
    bool worth = file->begun && uv_now(file->uv) >= file->held_until_ms; /* else what the file says is better still */

    uv_timer_stop(&file->timer);
    if (file->writing || (file->dirty && worth && begin_write(file)))
        return;
    if (!uv_is_closing((uv_handle_t *)&file->timer))
        uv_close((uv_handle_t *)&file->timer, NULL);
}

static void on_done(uv_work_t *work, int status)
{
    struct hb_status_file *file = work->data;
    int error = file->job.error;

    (void)status; /* nobody cancels it */
    file->writing = false;
    rest(file);
    if (error != 0)
        failed(file, file->job.step, error, strerror(error));
    else
        succeeded(file);
    if (file->closing) {
        file->dirty &= error == 0;
        finish(file);
    } else if (error != 0) {
        uv_timer_start(&file->timer, on_time, HB_STATUS_FILE_RETRY_MS, 0);
    } else if (file->dirty) {
        plan(file);
    }
}

static void on_changed(void *self, const struct hb_effect *effect, struct hb_moment now)
{
    struct hb_status_file *file = self;

    (void)effect;
    (void)now;
    if (file->closing)
        return;
    file->dirty = true;
    if (!file->writing)
        plan(file);
}

/* ---- its life ---- */

static bool is_same_file(const char *path, const char *suffix, const char *other)
{
    struct hb_buf name;
    struct stat one, two;
    bool same;

    hb_buf_init(&name, HB_STATUS_FILE_PATH_MAX);
    hb_buf_printf(&name, "%s%s", path, suffix);
    same = hb_buf_status(&name) == HB_OK && stat(name.bytes, &one) == 0 && stat(other, &two) == 0 &&
           one.st_dev == two.st_dev && one.st_ino == two.st_ino;
    hb_buf_free(&name);
    return same;
}

void hb_status_file_check(const char *path, const char *targets_path, struct hb_buf *sentences)
{
    const char *slash = strrchr(path, '/');
    struct hb_buf directory;
    struct stat status;

    hb_buf_init(&directory, HB_STATUS_FILE_PATH_MAX);
    if (slash != NULL)
        hb_buf_append(&directory, path, (size_t)(slash - path + 1));
    hb_buf_append_char(&directory, '.');
    if (hb_buf_status(&directory) != HB_OK || access(directory.bytes, W_OK | X_OK) != 0)
        hb_buf_printf(sentences, "HEALTH_STATUS_FILE=%s: must be in a directory that can be written to: %s\n", path,
                      strerror(errno));
    else if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
        hb_buf_printf(sentences, "HEALTH_STATUS_FILE=%s: must be a file, or not there yet\n", path);
    else if (targets_path != NULL &&
             (is_same_file(path, "", targets_path) || is_same_file(path, TEMPORARY, targets_path)))
        hb_buf_printf(sentences,
                      "HEALTH_STATUS_FILE=%s: must be another file than TARGETS_FILE, which it or its "
                      "temporary file (" TEMPORARY ") would replace\n",
                      path);
    hb_buf_free(&directory);
}

struct hb_status_file *hb_status_file_new(struct uv_loop_s *uv, const char *path, struct hb_manager *manager)
{
    struct hb_status_file *file = calloc(1, sizeof *file);
    struct hb_buf temporary;

    if (file == NULL)
        return NULL;
    hb_buf_init(&temporary, HB_STATUS_FILE_PATH_MAX);
    hb_buf_printf(&temporary, "%s" TEMPORARY, path);
    file->temporary = hb_buf_take(&temporary);
    if (file->temporary == NULL || uv_timer_init(uv, &file->timer) != 0) {
        free(file->temporary);
        free(file);
        return NULL;
    }
    file->uv = uv;
    file->registry = hb_manager_registry(manager);
    file->path = path;
    file->job.path = path;
    file->job.temporary = file->temporary;
    hb_buf_init(&file->job.text, HB_HEALTH_STATUS_BYTES_MAX);
    hb_buf_init(&file->written, HB_HEALTH_STATUS_BYTES_MAX);
    file->timer.data = file->job.work.data = file;
    if (access(path, F_OK) == 0)
        file->not_before_ms = file->held_until_ms = uv_now(uv) + HB_STATUS_FILE_HOLD_MS;
    file->dirty = true;
    plan(file);
    hb_manager_add_listener(manager, (struct hb_listener_port){file, on_changed});
    return file;
}

void hb_status_file_close(struct hb_status_file *file)
{
    if (file == NULL || file->closing)
        return;
    file->closing = true;
    finish(file);
}

void hb_status_file_free(struct hb_status_file *file)
{
    if (file == NULL)
        return;
    hb_buf_free(&file->job.text);
    hb_buf_free(&file->written);
    free(file->temporary);
    free(file);
}
